//! Runs that cannot end are ended, with a message that says where to look.

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sim::World;

/// The message a run fails with.
fn failure<T: Future<Output = ()>>(main: impl FnOnce(World) -> T + Send) -> String {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        sim::run(1, |world| {
            world.add_host("a", Ipv4Addr::new(10, 0, 0, 1));
            main(world)
        });
    }));
    let payload = caught.expect_err("the run fails");
    match payload.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => (*payload.downcast_ref::<&str>().expect("a text")).to_owned(),
    }
}

#[test]
fn a_wait_for_nothing_is_a_deadlock() {
    let message = failure(|world| async move {
        world.start("a", "waiter", |_| std::future::pending());
        tokio::time::sleep(Duration::from_secs(5)).await;
        std::future::pending::<()>().await;
    });
    assert!(message.starts_with("deadlock: "), "{message}");
    assert!(message.contains("a: waiter"), "{message}");
    assert!(message.contains("process.started"), "{message}");
}

#[test]
fn running_without_time_passing_is_a_livelock() {
    let message = failure(|world| async move {
        world.start("a", "spinner", |_| async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            loop {
                tokio::task::yield_now().await;
            }
        });
        std::future::pending::<()>().await;
    });
    assert!(message.starts_with("livelock at 2.000000 s: "), "{message}");
    assert!(message.contains("spinner on a: "), "{message}");
}

#[test]
fn a_panic_of_any_task_fails_the_run() {
    let message = failure(|world| async move {
        world.start("a", "manager", |ctx| async move {
            ctx.spawn("refresh", async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                panic!("state is broken");
            });
            std::future::pending::<()>().await;
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    assert_eq!(
        message,
        "task refresh of manager on host a panicked at 3.000000 s: state is broken"
    );
}

#[test]
fn a_panic_of_the_program_keeps_its_message() {
    assert_eq!(failure(|_| async { panic!("expectation failed") }), "expectation failed");
    let message = failure(|world| async move { world.kill_host("b") });
    assert_eq!(message, "no host \"b\"; there are a");
}
