//! Finding engines for what is no container.

use serde_json::Value;

use crate::scheduler::Request;

use super::Manager;

impl Manager {
    /// The node on which a container of this create request would be made now; nothing is claimed.
    ///
    /// # Errors
    /// What the client is told.
    pub fn choose(&self, mut body: Value) -> Result<String, String> {
        let request = Request::from_create("", &mut body)?;
        self.choose_for(&request)
    }

    /// The address of the node that the scheduler chooses for this request. Nothing is claimed.
    pub(super) fn choose_for(&self, request: &Request) -> Result<String, String> {
        let mut random = |bound| self.ctx.random_below("scheduler", bound);
        let scheduler = &self.options.scheduler;
        let choice = self.with(|cluster| scheduler.choose(cluster, request, &mut random));
        choice.map(|choice| choice.node).map_err(|rejection| rejection.message)
    }

    /// The addresses of the registered healthy nodes, in their order.
    pub(crate) fn healthy(&self) -> Vec<String> {
        self.with(|cluster| {
            let healthy = cluster.registered().filter(|node| node.is_healthy());
            healthy.map(|node| node.addr.clone()).collect()
        })
    }
}
