//! `lab fault`: throws a fault by hand, with the verbs that a scenario has for it.

use std::sync::Arc;

use clap::Subcommand;

use super::Exit;
use crate::event::Memory;
use crate::runner::fault::InForce;
use crate::scenario::cluster::Cluster;
use crate::scenario::fault::{Action, Hosts, Part};
use crate::scenario::{Range, Span, Spanned};
use crate::world::docker::{DockerWorld, Options, standing};
use crate::world::{World as _, WorldError};

/// How often healing looks for what is wrong: what is inside a host that stands still is seen only
/// once the host goes on, and what a host lacks once it runs.
const LOOKS: usize = 3;

const PARTS: [Part; 5] = [Part::Host, Part::Engine, Part::Agent, Part::Manager, Part::Store];

/// Arguments of `lab fault`.
#[derive(clap::Args)]
pub struct Args {
    /// The cluster, by the scenario's name or the run's; without, the only one that is up
    #[arg(long, value_name = "NAME", global = true)]
    cluster: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

/// Hosts are separated by commas or blanks; `dockerhost[01:03]` is three of them.
#[derive(Subcommand)]
enum Verb {
    /// Ends hosts at once, or one process of each: `kill dockerhost02`, `kill engine of dockerhost02`
    Kill(Struck),
    /// Ends hosts in good order, or one process of each
    Stop(Struck),
    /// Starts hosts with all that ran on them, or one process of each
    Start(Struck),
    /// Stops and starts hosts, or one process of each
    Restart(Struck),
    /// Makes hosts stand still: nothing runs, while their kernels keep every connection
    Pause(Named),
    /// Makes hosts go on
    Unpause(Named),
    /// Loses what two groups send each other: `cut dockerhost02 from dockerswarm01`
    Cut {
        /// `HOSTS from HOSTS`; `HOSTS` alone are cut off from all others
        #[arg(required = true)]
        words: Vec<String>,
        /// Loses only what the first group sends
        #[arg(long)]
        one_way: bool,
    },
    /// Resets every connection between two groups: `reset dockerhost02 from dockerswarm01`
    Reset {
        /// `HOSTS from HOSTS`; `HOSTS` alone lose their connections with all others
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Takes hosts off the network
    Disconnect(Named),
    /// Makes hosts send slowly
    Slow {
        /// The hosts
        #[arg(required = true)]
        hosts: Vec<String>,
        /// Kilobits per second
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        kbits: u64,
    },
    /// Undoes what is wrong with hosts; without, with all of them
    Heal {
        /// The hosts, or `everything`
        hosts: Vec<String>,
    },
}

#[derive(clap::Args)]
struct Struck {
    /// `HOSTS`, or `engine of HOSTS`; likewise `agent`, `manager`, `store`
    #[arg(required = true)]
    words: Vec<String>,
}

#[derive(clap::Args)]
struct Named {
    /// The hosts
    #[arg(required = true)]
    hosts: Vec<String>,
}

/// Strikes, and prints each thing that was done.
pub fn run(args: &Args) -> Exit {
    super::docker_verb(async {
        let standing = standing::find(args.cluster.as_deref()).await?;
        let cluster = standing.cluster()?;
        let action = action(&args.verb, &cluster)
            .map_err(|what| WorldError::new(what, format!("hosts: {}", names(&cluster))))?;
        let options = Options::new(Arc::new(Memory::default()), Arc::new(|_| {}))?;
        let mut world = DockerWorld::attach(standing.run(), options).await?;
        let mut done = 0;
        let healing = matches!(action, Action::Heal(_));
        for _ in 0..if healing { LOOKS } else { 1 } {
            let in_force = if healing { world.look().await?.wrong } else { Vec::new() };
            for fault in InForce::of(&in_force).parts(&action, &cluster) {
                world.apply(&fault).await?;
                // At once: the next one may fail.
                println!("  ✓ {fault}");
                done += 1;
            }
        }
        Ok(if done == 0 { "  nothing is wrong".to_owned() } else { String::new() })
    })
}

fn names(cluster: &Cluster) -> String {
    cluster.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// What the words ask for, or what is wrong with them.
fn action(verb: &Verb, cluster: &Cluster) -> Result<Action, String> {
    let named = |named: &Named| hosts(&named.hosts, Part::Host, cluster);
    Ok(match verb {
        Verb::Kill(struck) => struck.to(Action::Kill, cluster)?,
        Verb::Stop(struck) => struck.to(Action::Stop, cluster)?,
        Verb::Start(struck) => struck.to(Action::Start, cluster)?,
        Verb::Restart(struck) => struck.to(Action::Restart, cluster)?,
        Verb::Pause(hosts) => Action::Pause(named(hosts)?),
        Verb::Unpause(hosts) => Action::Unpause(named(hosts)?),
        Verb::Cut { words, one_way } => {
            let (between, and) = groups(words, cluster)?;
            Action::Cut { between, and, one_way: *one_way }
        }
        Verb::Reset { words } => {
            let (between, and) = groups(words, cluster)?;
            Action::Reset { between, and }
        }
        Verb::Disconnect(hosts) => Action::Disconnect(named(hosts)?),
        Verb::Slow { hosts: slow, kbits } => Action::Slow {
            hosts: hosts(slow, Part::Host, cluster)?,
            delay: None,
            kbits: Some(*kbits),
        },
        Verb::Heal { hosts } if hosts.is_empty() || hosts == &["everything"] => {
            Action::Heal(Vec::new())
        }
        Verb::Heal { hosts: ill } => Action::Heal(hosts(ill, Part::Host, cluster)?),
    })
}

impl Struck {
    fn to(&self, make: fn(Part, Hosts) -> Action, cluster: &Cluster) -> Result<Action, String> {
        let (part, words) = match self.words.as_slice() {
            [part, of, rest @ ..] if of == "of" => {
                let known = PARTS.into_iter().find(|known| known.to_string() == *part);
                (known.ok_or_else(|| format!("a host has no `{part}`"))?, rest)
            }
            words => (Part::Host, words),
        };
        Ok(make(part, hosts(words, part, cluster)?))
    }
}

/// The hosts before and behind the word `from`; without it, the others are the second group.
fn groups(words: &[String], cluster: &Cluster) -> Result<(Hosts, Hosts), String> {
    let mut groups = words.splitn(2, |word| word == "from");
    let first = hosts(groups.next().unwrap_or_default(), Part::Host, cluster)?;
    let is_first = |name: &str| first.iter().any(|host| host.value == name);
    let second = match groups.next() {
        Some(words) => hosts(words, Part::Host, cluster)?,
        None => {
            let all = cluster.hosts.iter().map(|host| host.name.clone());
            let others = all.filter(|name| !is_first(name));
            others.map(|name| Spanned::new(name, Span::default())).collect()
        }
    };
    match second.iter().find(|host| is_first(&host.value)) {
        Some(both) => Err(format!("`{}` is in both groups", both.value)),
        None if second.is_empty() => Err("there is no other host".to_owned()),
        None => Ok((first, second)),
    }
}

/// The hosts that words name, ranges expanded; each must have `part`.
fn hosts(words: &[String], part: Part, cluster: &Cluster) -> Result<Hosts, String> {
    let mut found = Hosts::new();
    let texts = words.iter().flat_map(|word| word.split(',')).filter(|text| !text.is_empty());
    for text in texts {
        for name in Range::parse(text).map_err(|why| format!("`{text}`: {why}"))?.all() {
            let host = cluster.host(&name).ok_or_else(|| format!("there is no host `{name}`"))?;
            if !part.is_on(host) {
                return Err(format!("`{name}` has no {part}"));
            }
            found.push(Spanned::new(name, Span::default()));
        }
    }
    if found.is_empty() { Err("which hosts?".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::scenario::{Overrides, Source, parse};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// The smallest parts that a command line stands for, or what is wrong with it.
    fn parts(line: &str) -> Result<Vec<String>, String> {
        let file = "name: demo\ncluster:\n  hosts:\n    boss: { store: consul, manager: {} }\n    \
                    'e[1:3]': { engine: {} }\nsteps: [{ wait: { healthy: 1 } }]\n";
        let scenario = parse(Source::new("demo.yaml", file), &Overrides::default());
        let cluster = scenario.unwrap_or_else(|report| panic!("{report}")).cluster;
        let words = ["fault"].into_iter().chain(line.split(' '));
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        let action = action(&line.args.verb, &cluster)?;
        let parts = InForce::default().parts(&action, &cluster);
        Ok(parts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn words_become_faults() {
        for (line, expected) in [
            ("pause e2", &["pause e2"][..]),
            ("kill e[1:2] e3", &["kill e1", "kill e2", "kill e3"]),
            ("kill engine of e1,e2", &["kill engine of e1", "kill engine of e2"]),
            ("restart manager of boss", &["stop manager of boss", "start manager of boss"]),
            ("cut e1 from boss", &["cut e1 -> boss", "cut boss -> e1"]),
            ("cut e1,e2 from boss --one-way", &["cut e1 -> boss", "cut e2 -> boss"]),
            ("cut boss --one-way", &["cut boss -> e1", "cut boss -> e2", "cut boss -> e3"]),
            ("reset e1 from boss --cluster demo", &["reset e1 <-> boss"]),
            ("disconnect e3", &["disconnect e3"]),
            ("slow e3 --kbits 800", &["slow e3"]),
            ("heal", &[]),
        ] {
            let expected = expected.iter().map(|part| (*part).to_owned()).collect();
            assert_eq!(parts(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        for (line, expected) in [
            ("pause e9", "there is no host `e9`"),
            ("pause ,", "which hosts?"),
            ("pause e[3:1]", "`e[3:1]`: the range is empty: did you mean `[1:3]`?"),
            ("kill engine of boss", "`boss` has no engine"),
            ("kill kernel of e1", "a host has no `kernel`"),
            ("cut e1 from e1", "`e1` is in both groups"),
            ("cut e1 from", "which hosts?"),
            ("cut boss,e[1:3]", "there is no other host"),
        ] {
            assert_eq!(parts(line), Err(expected.to_owned()), "{line}");
        }
        assert!(parts("slow e1").unwrap_err().contains("--kbits"));
        assert!(parts("slow e1 --kbits 0").unwrap_err().contains("kbits"));
    }
}
