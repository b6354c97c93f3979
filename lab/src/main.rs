//! The `lab` command.

/// The simulator allocates small JSON values by the million: a third less time at 1,000 engines.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of a shell for a program that wrote to a pipe nobody reads: 128 and SIGPIPE.
const UNREAD: i32 = 141;

/// Whoever reads the report may have seen enough, as `head` has: that is no bug of ours. What the run
/// has started is removed by its guard.
fn end_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to std") && text.contains("Broken pipe") {
            std::process::exit(UNREAD);
        }
        usual(panic);
    }));
}

fn main() {
    end_with_the_reader();
    // SAFETY: this is the first thing that the process does.
    unsafe { lab::cli::env::restore() };
    std::process::exit(lab::cli::main(std::env::args_os().collect()));
}
