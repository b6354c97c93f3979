//! Why a container goes where it goes, for people: asked of the scheduler that decides, on the
//! state it decides on.

use serde_json::Value;

use crate::cluster::{Cluster, Refusal};
use crate::scheduler::{Explanation, Request, Verdict};

use super::Manager;
use super::create::prefer_network;

impl Manager {
    /// What becomes of each node if `body` is sent as a create request now. Nothing is claimed, and
    /// no dice are thrown.
    ///
    /// # Errors
    /// What the client would be told before any node is looked at.
    pub fn explain(&self, name: &str, body: &Value) -> Result<Explanation, String> {
        let mut body = body.clone();
        let mut request = Request::from_create(name, &mut body)?;
        self.with(|cluster| {
            cluster.check_name(&request.name).map_err(|taken| taken.to_string())?;
            prefer_network(cluster, &mut request, &mut body);
            Ok(self.options.scheduler.explain(cluster, &request))
        })
    }

    /// What the log says of a create that was refused: where no node fits, what was against how
    /// many of them. (The client gets the classic text.)
    pub(super) fn refused(
        &self,
        cluster: &Cluster,
        what: &str,
        request: &Request,
        refusal: &Refusal,
    ) -> String {
        let explanation = match refusal {
            Refusal::Name(_) => None,
            Refusal::Scheduling(_) => Some(self.options.scheduler.explain(cluster, request)),
        };
        let fits = |verdict: &Verdict| matches!(verdict, Verdict::Fits { .. });
        match explanation {
            Some(why) if why.nodes.is_empty() => format!("no node for {what}: there is none"),
            Some(why) if !why.nodes.iter().any(|node| fits(&node.verdict)) => {
                format!("no node for {what}: {}", why.summary())
            }
            _ => format!("create {what}: {refusal}"),
        }
    }
}
