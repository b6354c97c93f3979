//! The `lab` command.
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let code = match args.split_first() {
        Some((verb, rest)) if verb == "node" => lab::node::main(rest),
        Some((verb, rest)) if verb == "guard" => lab::world::docker::guard::main(rest),
        _ => {
            eprintln!("usage: lab node | guard");
            1
        }
    };
    std::process::exit(code)
}
