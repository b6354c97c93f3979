//! The `lab` command.

/// The simulator allocates small JSON values by the million: a third less time at 1,000 engines.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // SAFETY: this is the first thing that the process does.
    unsafe { lab::cli::env::restore() };
    std::process::exit(lab::cli::main(std::env::args_os().collect()));
}
