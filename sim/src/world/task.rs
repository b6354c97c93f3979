//! Tasks of a host.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use swarm::ctx::{BoxFuture, Task};
use tokio::time::Sleep;

use super::crypto;
use super::host::Scope;
use super::shared::Shared;

/// A future in the scope of a process: dropped when the process ends, not polled while its host
/// is paused, polled late while it is slow. A panic in it fails the whole run.
struct HostTask {
    shared: Arc<Shared>,
    scope: Arc<Scope>,
    id: u64,
    name: &'static str,
    /// The process ends with this task.
    main: bool,
    future: Option<BoxFuture<'static, ()>>,
    /// The delay before the next poll on a slow host.
    delay: Option<Pin<Box<Sleep>>>,
}

impl Shared {
    /// Runs `future` as a task of `scope`.
    #[expect(clippy::disallowed_methods, reason = "this is what Ctx::spawn is made of")]
    pub(crate) fn spawn(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        name: &'static str,
        main: bool,
        future: BoxFuture<'static, ()>,
    ) -> Task {
        let id = self.next_id();
        let task = HostTask {
            shared: Arc::clone(self),
            scope: Arc::clone(scope),
            id,
            name,
            main,
            future: Some(future),
            delay: None,
        };
        let handle = tokio::spawn(task).abort_handle();
        scope.adopt(id, handle.clone());
        Task::new(handle)
    }
}

impl HostTask {
    /// Whether the host is too slow to poll the future now.
    fn late(&mut self, cx: &mut Context<'_>) -> bool {
        if self.delay.is_none() {
            let slow = self.scope.host.gate.slow();
            if slow.is_zero() {
                return false;
            }
            self.delay = Some(Box::pin(tokio::time::sleep(slow)));
        }
        let Some(delay) = &mut self.delay else { return false };
        if delay.as_mut().poll(cx).is_pending() {
            return true;
        }
        self.delay = None;
        false
    }

    fn fail(&self, payload: &(dyn Any + Send)) {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("a value that is no text");
        let (name, process, host) = (self.name, self.scope.name, &self.scope.host.name);
        let at = self.shared.now().as_secs_f64();
        self.shared
            .fail(format!("task {name} of {process} on host {host} panicked at {at:.6} s: {text}"));
    }
}

impl Future for HostTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.scope.alive() {
            this.future = None;
            return Poll::Ready(());
        }
        if this.scope.host.gate.park(this.id, cx.waker()) || this.late(cx) {
            return Poll::Pending;
        }
        this.shared.watch(&this.scope.host.name, this.name);
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            crypto::on_host(&this.scope.host, || future.as_mut().poll(cx))
        }));
        let ended = match polled {
            Ok(Poll::Pending) => !this.scope.alive(),
            Ok(Poll::Ready(())) => true,
            Err(payload) => {
                this.fail(payload.as_ref());
                true
            }
        };
        if !ended {
            return Poll::Pending;
        }
        this.future = None;
        if this.main && this.scope.alive() {
            this.shared.end_process(&this.scope, "process.exited");
        }
        Poll::Ready(())
    }
}

impl Drop for HostTask {
    fn drop(&mut self) {
        self.scope.forget(self.id);
    }
}
