//! Serves one fake engine on a real port: `cargo run -p sim --example engine -- 127.0.0.1:2399`.
//!
//! Then `docker -H tcp://127.0.0.1:2399 run -d -p 8080:80 nginx` and so on.

use sim::engine::{Engine, Spec};
use swarm::ctx::{Addr, Level, real};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let at: Addr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:2399").parse()?;
    let mut spec = Spec::new("engine-1", at.host());
    spec.labels = vec!["zone=external".into(), "disk=ssd".into()];
    spec.registry = vec!["alpine".into(), "redis:7".into()];
    let engine = Engine::new(real::ctx(Level::Info), spec);
    engine.observe(|kind, fields| println!("{kind} {fields}"));
    engine.serve(at).await?;
    Ok(())
}
