//! `lab down`: removes clusters that are up, completely.

use super::Exit;
use crate::report::count;
use crate::world::docker::standing;

/// Arguments of `lab down`.
#[derive(clap::Args)]
pub struct Args {
    /// The scenario's name, or the run's; without, the only cluster that is up
    name: Option<String>,
    /// All clusters that are up
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

/// Removes them one after the other, and says when nothing is left.
pub fn run(args: &Args) -> Exit {
    super::docker_verb(async {
        let clusters = match args.all {
            true => standing::list().await?,
            false => vec![standing::find(args.name.as_deref()).await?],
        };
        for cluster in &clusters {
            let things = standing::remove(cluster).await?;
            let things = count(things, "thing");
            // At once: the next one may fail.
            println!("removed {}: {things}, and nothing is left", cluster.title());
        }
        Ok(match (clusters.is_empty(), super::env::is_set()) {
            (true, _) => "no cluster is up".to_owned(),
            (false, true) => {
                "  eval \"$(cargo lab env --unset)\"   takes `lab env` back".to_owned()
            }
            (false, false) => String::new(),
        })
    })
}
