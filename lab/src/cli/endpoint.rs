//! `lab run --on endpoint`: which cluster is meant, and what `--dry-run` says.

use std::path::PathBuf;
use std::sync::Arc;

use swarm::ctx::Addr;

use super::env::from_shell;
use super::{Exit, world_error};
use crate::replay::Ended;
use crate::scenario::endpoint::{self as file, Endpoint};
use crate::scenario::{Report, Scenario};
use crate::world::WorldError;
use crate::world::endpoint::{EndpointWorld, Target, plan, refused};

/// Arguments of `--on endpoint`.
#[derive(clap::Args)]
pub struct At {
    /// Where the manager of a cluster that stands listens: tcp://HOST:PORT (endpoint). Without it:
    /// the endpoint file's, the shell's DOCKER_HOST, the scenario's
    #[arg(short = 'H', long, value_name = "URL")]
    host: Option<String>,
    /// The folder with a client's ca.pem, cert.pem and key.pem, for a cluster with TLS (endpoint).
    /// Without it: the endpoint file's, the shell's DOCKER_CERT_PATH
    #[arg(long, value_name = "DIR")]
    cert_path: Option<PathBuf>,
    /// A file that says how to have power over the hosts (endpoint)
    #[arg(long, value_name = "FILE")]
    endpoint: Option<PathBuf>,
    /// Only says what would be done; asks the cluster how it is and changes nothing (endpoint)
    #[arg(long)]
    pub dry_run: bool,
}

impl At {
    /// Whether any of them is there.
    pub fn given(&self) -> bool {
        let paths = self.cert_path.is_some() || self.endpoint.is_some();
        paths || self.host.is_some() || self.dry_run
    }

    /// What the endpoint file says, if one is named.
    ///
    /// # Errors
    /// Every mistake of the file.
    pub fn file(&self) -> Result<Endpoint, Report> {
        self.endpoint.as_deref().map_or_else(|| Ok(Endpoint::default()), file::load)
    }

    /// The cluster that is meant for a scenario.
    ///
    /// # Errors
    /// There is no address, or it is none.
    pub fn target(&self, scenario: &Scenario, file: &Endpoint) -> Result<Target, WorldError> {
        let tcp = |url: &String| url.starts_with("tcp://");
        let url = (self.host.clone())
            .or_else(|| file.endpoint.clone())
            .or_else(|| from_shell("DOCKER_HOST").filter(tcp))
            .or_else(|| scenario.cluster.endpoint());
        let help = "-H says where the manager listens, as in tcp://dockerswarm01:2375";
        let url = url.ok_or_else(|| WorldError::new("the scenario has no manager", help))?;
        let manager: Addr =
            url.parse().map_err(|e| WorldError::new(format!("`{url}`: {e}"), help))?;
        let certs = (self.cert_path.clone())
            .or_else(|| file.certs.clone())
            .or_else(|| from_shell("DOCKER_CERT_PATH").map(PathBuf::from));
        Ok(Target { manager, certs, file: file.clone() })
    }
}

/// Prints what a run would do, then whether the cluster would let it.
pub fn dry_run(scenario: &Scenario, target: &Target, until: Option<usize>) -> Exit {
    let moved = match refused(scenario, target, until) {
        Ok(moved) => moved,
        Err(mistakes) => return super::run::report_end(&Ended::Unsupported(Report::new(mistakes))),
    };
    println!("{}", plan::lines(&moved, target, until).join("\n"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let looked = match runtime {
        Ok(runtime) => runtime
            .block_on(async { EndpointWorld::new(Arc::new(moved), target.clone()).look().await }),
        Err(e) => Err(WorldError::new(format!("cannot start a runtime: {e}"), "")),
    };
    match looked {
        Ok(guest) => {
            println!("\n  the cluster is there, and nothing stands against it");
            let hidden: Vec<_> = guest.out_of_reach.into_iter().collect();
            if !hidden.is_empty() {
                let hidden = hidden.join(", ");
                println!(
                    "  engines that do not answer here, so that their truth is unknown: {hidden}"
                );
            }
            Exit::Passed
        }
        Err(error) => world_error(&error),
    }
}
