//! `lab export`: the facts of a scenario's cluster for other tools.

use std::path::PathBuf;

use clap::ValueEnum;

use super::Exit;
use crate::export;
use crate::scenario::{self, Overrides};

/// Arguments of `lab export`.
#[derive(clap::Args)]
pub struct Args {
    /// Who reads them
    #[arg(value_enum)]
    format: Format,
    /// The scenario whose cluster is meant
    file: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// The Vagrantfile of this project
    Vagrant,
}

/// Prints them.
pub fn run(args: &Args) -> Exit {
    match (scenario::load(&args.file, &Overrides::default()), args.format) {
        (Ok(scenario), Format::Vagrant) => {
            print!("{}", export::vagrant(&scenario.cluster));
            Exit::Passed
        }
        (Err(report), _) => {
            eprint!("{}", report.render(super::color()));
            Exit::Invalid
        }
    }
}
