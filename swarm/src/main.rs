//! The `swarm` program.

use std::path::Path;

fn main() {
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let path = args.next().unwrap_or_default();
    let base = Path::new(&path).file_name().map(|name| name.to_string_lossy());
    let program = base.unwrap_or_else(|| "swarm".into());
    std::process::exit(swarm::cli::process(&program, args.collect()));
}
