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
        let mut words = Vec::new();
        for cluster in &clusters {
            let things = standing::remove(cluster).await?;
            let things = count(things, "thing");
            words.push(format!("removed {}: {things}, and nothing is left", cluster.title()));
        }
        if words.is_empty() {
            words.push("no cluster is up".to_owned());
        } else if super::env::is_set() {
            words.push("  eval \"$(cargo lab env --unset)\"   takes `lab env` back".to_owned());
        }
        Ok(words.join("\n"))
    })
}
