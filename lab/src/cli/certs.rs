//! `lab certs DIR [FILE]`: the certificates of a cluster, for use elsewhere.

use std::path::{Path, PathBuf};

use swarm::ctx::{self, Level};

use super::Exit;
use crate::export;
use crate::pki::{self, Keys, Pki};
use crate::scenario::{self, Overrides, Report, Scenario, Source};

/// The cluster of whoever names none.
const REFERENCE: &str = include_str!("../../../scenarios/vagrant4.yaml");

/// Arguments of `lab certs`.
#[derive(clap::Args)]
pub struct Args {
    /// Where to write them
    dir: PathBuf,
    /// The scenario whose hosts they are for; the four-node reference cluster without
    file: Option<PathBuf>,
    /// As many hosts as this, for machines beyond the scenario's (see `lab export`)
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
}

/// Writes the files and prints how a docker client uses them.
pub fn run(args: &Args) -> Exit {
    let scenario = match load(args.file.as_deref()) {
        Ok(scenario) => scenario,
        Err(report) => {
            eprint!("{}", report.render(super::color()));
            return Exit::Invalid;
        }
    };
    let now = ctx::real::ctx(Level::Error).clock.wall();
    let cluster = export::grown(&scenario.cluster, args.nodes.unwrap_or_default());
    let files = Pki::new(Keys::Fresh, now).files(&cluster);
    if let Err(why) = pki::write(&args.dir, &files) {
        eprintln!("error: {why}");
        return Exit::Environment;
    }
    println!("{} files in {}", files.iter().count(), args.dir.display());
    if let Some((host, manager)) = scenario.cluster.manager() {
        let dir = std::path::absolute(&args.dir).unwrap_or_else(|_| args.dir.clone());
        println!("  export DOCKER_HOST=tcp://{}:{}", host.address, manager.port);
        println!("  export DOCKER_CERT_PATH={} DOCKER_TLS_VERIFY=1", dir.display());
    }
    Exit::Passed
}

fn load(file: Option<&Path>) -> Result<Scenario, Report> {
    let overrides = Overrides { tls: Some(true) };
    match file {
        Some(file) => scenario::load(file, &overrides),
        None => scenario::parse(Source::new("vagrant4.yaml", REFERENCE), &overrides),
    }
}
