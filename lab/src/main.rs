//! The `lab` command.

/// The simulator allocates small JSON values by the million: a third less time at 1,000 engines.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    std::process::exit(lab::cli::main(std::env::args_os().collect()));
}
