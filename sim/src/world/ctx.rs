//! The seam of production code over a simulated host; its sockets are in `crate::net`.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use serde_json::{Map, Value};
use swarm::ctx::{BoxFuture, Clock, Ctx, Files, Log, Record, Rng, Spawn, Task};

use super::crypto;
use super::host::{Owner, lock};
use super::shared::{HostCtx, Shared};
use crate::net::os_error;

/// The wall clock of every host when a world begins: 2026-01-01T00:00:00Z.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// A context that acts for `owner`.
pub(super) fn context(shared: &Arc<Shared>, owner: Owner) -> Ctx {
    let ctx = Arc::new(HostCtx { shared: Arc::clone(shared), owner });
    Ctx {
        net: ctx.clone(),
        clock: ctx.clone(),
        rng: ctx.clone(),
        spawn: ctx.clone(),
        files: ctx.clone(),
        log: ctx,
    }
}

impl Clock for HostCtx {
    fn wall(&self) -> SystemTime {
        let honest = EPOCH + self.shared.now();
        let offset_ms = self.owner.host().wall_offset_ms.load(Ordering::Relaxed);
        let offset = Duration::from_millis(offset_ms.unsigned_abs());
        let wall = if offset_ms < 0 { honest.saturating_sub(offset) } else { honest + offset };
        UNIX_EPOCH + wall
    }
}

impl Rng for HostCtx {
    fn fill(&self, purpose: &'static str, bytes: &mut [u8]) {
        self.owner.host().fill(self.shared.seed, purpose, bytes);
    }

    fn crypto(&self) -> CryptoProvider {
        crypto::provider()
    }
}

impl Spawn for HostCtx {
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Task {
        match self.owner.scope() {
            Ok(scope) => self.shared.spawn(&scope, name, false, future),
            Err(_) => dead_task(future),
        }
    }
}

/// The task of an owner that has ended: dropped before its first poll.
#[expect(clippy::disallowed_methods, reason = "the task does nothing, so it belongs to nobody")]
fn dead_task(future: BoxFuture<'static, ()>) -> Task {
    drop(future);
    Task::new(tokio::spawn(std::future::ready(())).abort_handle())
}

impl Files for HostCtx {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let files = lock(&self.owner.host().files);
        files.get(path).cloned().ok_or_else(|| os_error(ErrorKind::NotFound))
    }
}

impl Log for HostCtx {
    fn write(&self, record: &Record) {
        // What an ended process still says while its tasks are dropped is heard by nobody.
        if self.owner.scope().is_err() {
            return;
        }
        let mut fields = Map::new();
        fields.insert("message".to_owned(), record.message.clone().into());
        for (key, value) in &record.fields {
            fields.insert(key.clone(), value.clone().into());
        }
        let kind = format!("log.{}", record.level.as_str());
        let host = &self.owner.host().name;
        self.shared.record(host, self.owner.component(), &kind, Value::Object(fields));
    }
}
