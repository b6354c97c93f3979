//! Which engines belong to the cluster: a watched set of addresses, and how an engine joins it.

mod consul;
mod entry;
mod file;
mod nodes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::ctx::{BoxFuture, Ctx, TaskGuard};

pub use entry::Entry;

/// What a watch delivers: the whole set each time it changed, or why it could not be read. After an
/// error the last set stays valid.
pub type Batch = Result<Vec<Entry>, String>;

/// A place where engines are listed.
pub trait Discovery: Send + Sync {
    /// Watches the set as a task of the host. The first batch comes as soon as it is known, even
    /// when it is empty; later ones when the set has changed.
    fn watch(self: Arc<Self>) -> Watch;

    /// Enters `addr` for the time to live that the service was opened with. Call it again well
    /// before that time is over.
    ///
    /// # Errors
    /// Why it could not be entered; `not implemented in this discovery service` for lists that
    /// are written by hand.
    fn register<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// A watch. Dropping it ends its task.
pub struct Watch {
    batches: mpsc::Receiver<Batch>,
    _task: TaskGuard,
}

impl Watch {
    /// Runs `produce` as a task that sends batches.
    fn spawn<F>(ctx: &Ctx, produce: impl FnOnce(mpsc::Sender<Batch>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, batches) = mpsc::channel(16);
        let task = ctx.spawn("discovery", produce(sender));
        Self { batches, _task: task.abort_on_drop() }
    }

    /// The next batch or error. `None` when there will never be another one.
    pub async fn recv(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }
}

/// Opens the discovery service at `url`, in the grammar of the classic manager: `scheme://rest`, or
/// a bare list of nodes.
///
/// `heartbeat` is how often polled lists are read and the longest pause after an error; `ttl` how
/// long a registration lives (of no consequence to who only watches); `options` are the
/// `--discovery-opt` pairs.
///
/// # Errors
/// The classic manager's texts: an unknown scheme, a malformed list, a second Consul endpoint.
pub fn open(
    ctx: &Ctx,
    url: &str,
    heartbeat: Duration,
    ttl: Duration,
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn Discovery>, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("nodes", url));
    match scheme {
        "nodes" => Ok(Arc::new(nodes::Nodes::new(ctx, rest)?)),
        "file" => Ok(Arc::new(file::File::new(ctx, rest, heartbeat))),
        "consul" => Ok(Arc::new(consul::Consul::new(ctx, rest, heartbeat, ttl, options)?)),
        "token" | "etcd" | "zk" => Err(format!("discovery by {scheme} is not served yet")),
        _ => Err("discovery service not supported".to_owned()),
    }
}

/// The answer of a list that is written by hand.
fn cannot_register<'a>() -> BoxFuture<'a, Result<(), String>> {
    Box::pin(std::future::ready(Err("not implemented in this discovery service".to_owned())))
}

#[cfg(test)]
mod tests;
