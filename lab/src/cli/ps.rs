//! `lab ps`: what is up, and how it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use swarm::ctx::{Addr, Ctx};

use super::Exit;
use crate::event::Memory;
use crate::runner::access::Access;
use crate::runner::api::Api;
use crate::runner::view::{Document, Info};
use crate::scenario::cluster::{Cluster, Host, engine_port};
use crate::world::docker::look::Processes;
use crate::world::docker::standing::{self, Standing};
use crate::world::docker::{DockerWorld, Options};
use crate::world::{World as _, WorldError};

/// How long the manager may take to answer.
const WITHIN: Duration = Duration::from_secs(5);

/// Prints one cluster, or all that are up.
pub fn run(name: Option<&str>) -> Exit {
    super::docker_verb(async {
        let all = match name {
            Some(name) => vec![standing::find(Some(name)).await?],
            None => standing::list().await?,
        };
        let mut words = Vec::new();
        for one in &all {
            // One that is not whole must not hide the others.
            words.push(look(one).await.unwrap_or_else(|error| {
                format!("{}\n  error: {error}\n    = {}", one.title(), error.help)
            }));
        }
        Ok(if words.is_empty() { "no cluster is up".to_owned() } else { words.join("\n\n") })
    })
}

async fn look(standing: &Standing) -> Result<String, WorldError> {
    let cluster = standing.cluster()?;
    let options = Options::new(Arc::new(Memory::default()), Arc::new(|_| {}))?;
    let world = DockerWorld::attach(standing.run(), options).await?;
    let mut look = world.look().await?;
    let rows = cluster.hosts.iter().map(|host| {
        let processes = look.processes.remove(&host.name).unwrap_or_default();
        (host, processes)
    });
    let rows: Vec<_> = rows.collect();
    let info = match tokio::time::timeout(WITHIN, info(standing, &cluster, &world.client())).await {
        Ok(info) => info,
        Err(_) => Err(format!("no answer within {} s", WITHIN.as_secs())),
    };
    let table = table(&cluster, &rows, info.as_ref().ok());
    let mut lines = vec![head(standing, &cluster)];
    lines.extend(standing.file().map(|file| format!("  {file}")));
    lines.extend(standing.at_work().map(|pid| format!("  process {pid} still works on it")));
    lines.extend(["".to_owned(), table]);
    let wrong: Vec<_> = look.wrong.iter().map(ToString::to_string).collect();
    lines.extend((!wrong.is_empty()).then(|| format!("\n  in force: {}", wrong.join(", "))));
    lines.extend(info.err().map(|why| format!("\n  the manager does not answer: {why}")));
    Ok(lines.join("\n"))
}

/// What the manager says of its cluster.
async fn info(standing: &Standing, cluster: &Cluster, ctx: &Ctx) -> Result<Info, String> {
    let (host, manager) = cluster.manager().ok_or("there is none")?;
    let tls = standing.certs().map(|folder| Access::of_folder(ctx, Path::new(folder)));
    let addr = Addr::tcp(host.address.to_string(), manager.port);
    let api = Api::new(ctx, addr, tls.transpose()?);
    Ok(Info::from(api.get_as::<Document>("/info").await?))
}

fn head(standing: &Standing, cluster: &Cluster) -> String {
    let tls = if cluster.tls { "tls on" } else { "tls off" };
    let run = format!("run {}", standing.run());
    let words = [Some("docker"), Some(&run), Some(tls), standing.endpoint()];
    let words: Vec<_> = words.into_iter().flatten().collect();
    format!("{}   {}", standing.name(), words.join(" · "))
}

/// A row per host.
fn table(cluster: &Cluster, hosts: &[(&Host, Processes)], info: Option<&Info>) -> String {
    let row = |(host, processes): &(&Host, Processes)| {
        let processes = processes.iter().map(|(name, state)| format!("{name} {state}"));
        let node = info.map(|info| node(cluster, host, info)).unwrap_or_default();
        let processes = processes.collect::<Vec<_>>().join(", ");
        [host.name.clone(), host.address.to_string(), processes, node]
    };
    let head = ["HOST", "ADDRESS", "PROCESSES", "NODE"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(hosts.iter().map(row)).collect();
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let (a, b, c) = (width(0), width(1), width(2));
    let line = |[host, address, processes, node]: &[String; 4]| {
        let line = format!("  {host:a$}  {address:b$}  {processes:c$}  {node}");
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// How the manager finds the engine of a host, and why if that is not well.
fn node(cluster: &Cluster, host: &Host, info: &Info) -> String {
    let address = format!("{}:{}", host.address, engine_port(cluster.tls));
    match info.nodes.iter().find(|node| node.addr == address) {
        Some(node) if node.error.is_empty() || node.error == "(none)" => node.status.clone(),
        Some(node) => format!("{}: {}", node.status, node.error),
        None if host.engine.is_some() => "not known".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::view::InfoNode;
    use crate::scenario::{Overrides, Source, parse};

    const FILE: &str = "
name: demo
cluster:
  network: 10.0.0.0/24
  hosts:
    boss: { address: 10.0.0.200, store: consul, manager: {} }
    'e[1:3]': { engine: {} }
steps: [{ wait: { healthy: 1 } }]
";

    #[test]
    fn a_row_has_what_runs_on_a_host_and_what_the_manager_says() {
        let scenario = parse(Source::new("demo.yaml", FILE), &Overrides::default());
        let cluster = scenario.unwrap_or_else(|report| panic!("{report}")).cluster;
        let of = |names: &[(&str, &str)]| -> Processes {
            names.iter().map(|(name, state)| ((*name).into(), (*state).into())).collect()
        };
        let processes = [
            of(&[("manager", "running"), ("store", "running")]),
            of(&[("engine", "running"), ("agent", "running")]),
            of(&[("engine", "paused"), ("agent", "paused")]),
            of(&[("engine", "ended (signal: 9 (SIGKILL))"), ("agent", "running")]),
        ];
        let hosts: Vec<_> = cluster.hosts.iter().zip(processes).collect();
        let node = |host: &Host, status: &str, error: &str| InfoNode {
            addr: format!("{}:2375", host.address),
            status: status.into(),
            error: error.into(),
            ..InfoNode::default()
        };
        let nodes = vec![
            node(hosts[1].0, "Healthy", "(none)"),
            node(hosts[2].0, "Unhealthy", "Cannot connect"),
        ];
        let info = Info { nodes, ..Info::default() };
        insta::assert_snapshot!(table(&cluster, &hosts, Some(&info)));
        let silent = table(&cluster, &hosts, None);
        assert!(!silent.contains("Healthy") && silent.contains("agent paused"), "{silent}");
    }
}
