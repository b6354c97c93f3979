//! What goes wrong in the real world, and by which means.
//!
//! | fault | means |
//! | --- | --- |
//! | host killed, stopped, started, paused | the node's container is |
//! | process killed, stopped, started | the node's own supervisor is told to |
//! | cut | the receiver's kernel drops what comes from the sender's address |
//! | reset | both kernels answer with a reset for a moment |
//! | disconnected | the node's container leaves the network |
//! | slow | the node's kernel sends no faster than so many bits per second |

use std::time::Duration;

use testcontainers::bollard::Docker;
use testcontainers::bollard::models::NetworkDisconnectRequest;
use testcontainers::bollard::query_parameters::{
    KillContainerOptions, StartContainerOptions, StopContainerOptions,
};

use super::exec::exec;
use super::{DockerWorld, connect, engine_error, logs, network};
use crate::scenario::fault::Action;
use crate::world::fault::Part;
use crate::world::{Fault, WorldError};

/// How long connections are reset: long enough for what is under way to be sent again.
const RESET_FOR: Duration = Duration::from_secs(2);

/// What the real world cannot do of a scenario's faults.
///
/// # Errors
/// What, as a sentence's beginning and advice.
pub fn supports(action: &Action) -> Result<(), (String, String)> {
    match action {
        Action::Slow { delay: Some(_), .. } => {
            let what = "real networks here cannot delay packets (the kernel has no netem)";
            Err((what.into(), "use `kbits`".into()))
        }
        _ => Ok(()),
    }
}

impl DockerWorld {
    pub(super) async fn strike(&mut self, fault: &Fault) -> Result<(), WorldError> {
        let docker = connect().await?;
        let failed = |error| engine_error(&fault.to_string(), error);
        match fault {
            Fault::Kill(part @ (Part::Host | Part::Store), host) => {
                for id in self.containers(*part, host).iter().rev() {
                    let killed = docker.kill_container(id, None::<KillContainerOptions>).await;
                    killed.map_err(failed)?;
                }
            }
            Fault::Stop(part @ (Part::Host | Part::Store), host) => {
                for id in self.containers(*part, host).iter().rev() {
                    let stopped = docker.stop_container(id, None::<StopContainerOptions>).await;
                    stopped.map_err(failed)?;
                }
            }
            Fault::Start(part @ (Part::Host | Part::Store), host) => {
                self.revive(&docker, *part, host).await?;
            }
            Fault::Kill(part, host) => self.order(&docker, host, "kill", *part).await?,
            Fault::Stop(part, host) => self.order(&docker, host, "stop", *part).await?,
            Fault::Start(part, host) => self.order(&docker, host, "start", *part).await?,
            Fault::Pause(host) => {
                for id in self.containers(Part::Host, host) {
                    docker.pause_container(&id).await.map_err(failed)?;
                }
            }
            Fault::Resume(host) => {
                for id in self.containers(Part::Host, host) {
                    docker.unpause_container(&id).await.map_err(failed)?;
                }
            }
            Fault::Cut { from, to } => self.drop_from(&docker, "-I", from, to).await?,
            Fault::Mend { from, to } => self.drop_from(&docker, "-D", from, to).await?,
            Fault::Reset { a, b } => self.reset(&docker, a, b).await?,
            Fault::Disconnect(host) => {
                let container = self.node(host)?;
                let leave = NetworkDisconnectRequest { container, force: Some(true) };
                let left = docker.disconnect_network(&self.network(), leave).await;
                left.map_err(failed)?;
            }
            Fault::Connect(host) => {
                let address = self.cluster.host(host).map(|host| host.address);
                let address = address.ok_or_else(|| no_node(host))?;
                network::join(&docker, &self.network(), &self.node(host)?, address).await?;
            }
            Fault::Slow { host, kbits, .. } => {
                let rate = format!("{}kbit", kbits.unwrap_or(u64::from(u32::MAX)));
                let how = ["rate", &rate, "burst", "16kb", "latency", "400ms"];
                let queue = ["tc", "qdisc", "replace", "dev", "eth0", "root", "tbf"];
                self.exec(&docker, host, &[&queue[..], &how[..]].concat()).await?;
            }
            Fault::Speed(host) => {
                self.exec(&docker, host, &["tc", "qdisc", "del", "dev", "eth0", "root"]).await?;
            }
        }
        Ok(())
    }

    /// The name of the network of the run.
    pub(super) fn network(&self) -> String {
        format!("lab-{}", self.owner.run)
    }

    /// The node of a host, and for the whole host also its store, which is on the node's network
    /// and so comes after it.
    fn containers(&self, part: Part, host: &str) -> Vec<String> {
        let of_host = self.running.iter().filter(|running| running.host == host);
        let meant = of_host.filter(|running| part == Part::Host || running.component.is_some());
        meant.map(|running| running.id.clone()).collect()
    }

    fn node(&self, host: &str) -> Result<String, WorldError> {
        let mut nodes = self.running.iter().filter(|running| running.component.is_none());
        let node = nodes.find(|running| running.host == host);
        Ok(node.ok_or_else(|| no_node(host))?.id.clone())
    }

    async fn revive(&mut self, docker: &Docker, part: Part, host: &str) -> Result<(), WorldError> {
        let Some(board) = self.board.clone() else { return Ok(()) };
        for id in self.containers(part, host) {
            let component = self.running.iter().find(|running| running.id == id);
            let component = component.and_then(|running| running.component);
            // Listening first: what is said from now on, and nothing from the life before.
            let output = logs::attach(docker, &id).await?;
            let told = logs::hear(output, board.clone(), host.to_owned(), component);
            self.followers.push(tokio::spawn(told).abort_handle());
            let started = docker.start_container(&id, None::<StartContainerOptions>).await;
            started.map_err(|e| engine_error(&format!("starting {host}"), e))?;
        }
        Ok(())
    }

    /// Tells the node's supervisor what to do with a process.
    async fn order(
        &self,
        docker: &Docker,
        host: &str,
        verb: &str,
        part: Part,
    ) -> Result<(), WorldError> {
        let part = part.to_string();
        self.exec(docker, host, &["/lab/lab", "node", "ctl", verb, &part]).await
    }

    /// Makes `to` drop what comes from `from`, or no longer: for itself and for its containers.
    async fn drop_from(
        &self,
        docker: &Docker,
        how: &str,
        from: &str,
        to: &str,
    ) -> Result<(), WorldError> {
        let address = self.cluster.host(from).map(|host| host.address.to_string());
        let address = address.unwrap_or_default();
        for chain in ["INPUT", "FORWARD"] {
            let rule = ["iptables", "-w", how, chain, "-s", &address, "-j", "DROP"];
            self.exec(docker, to, &rule).await?;
        }
        Ok(())
    }

    async fn reset(&self, docker: &Docker, a: &str, b: &str) -> Result<(), WorldError> {
        for how in ["-I", "-D"] {
            for (from, to) in [(a, b), (b, a)] {
                let address = self.cluster.host(from).map(|host| host.address.to_string());
                let address = address.unwrap_or_default();
                let from = ["iptables", "-w", how, "INPUT", "-p", "tcp", "-s", &address];
                let then = ["-j", "REJECT", "--reject-with", "tcp-reset"];
                self.exec(docker, to, &[&from[..], &then[..]].concat()).await?;
            }
            if how == "-I" {
                tokio::time::sleep(RESET_FOR).await;
            }
        }
        Ok(())
    }

    /// Runs a program on a host, to its end.
    async fn exec(&self, docker: &Docker, host: &str, argv: &[&str]) -> Result<(), WorldError> {
        exec(docker, &self.node(host)?, host, argv).await.map(drop)
    }
}

fn no_node(host: &str) -> WorldError {
    WorldError::new(format!("there is no node {host}"), "")
}
