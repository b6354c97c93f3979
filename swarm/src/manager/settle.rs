//! Claims that outlive the call they were made for.
//!
//! When a call that changes something breaks without an answer, its effect is unknown. Until the
//! engine has shown what became of it, the name, ports and resources stay claimed: given to
//! somebody else, they might be taken twice.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use crate::cluster::SWARM_ID_LABEL;
use crate::engine::{Engine, EngineError};

use super::Manager;
use super::refresh::{Depth, id_of, list_path, rows};

/// The first pause before the engine is asked.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest pause, while the engine does not answer.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How often in a row a container must be missing to be believed absent: an engine that was frozen
/// may answer the question before it deals with the older create.
const ABSENCES: u32 = 2;

/// What a create has claimed. Dropping it releases the claim.
pub(super) struct Claim {
    manager: Arc<Manager>,
    swarm_id: String,
}

impl Claim {
    pub(super) fn new(manager: &Arc<Manager>, swarm_id: &str) -> Self {
        Self { manager: Arc::clone(manager), swarm_id: swarm_id.to_owned() }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.manager.with(|cluster| cluster.release(&self.swarm_id));
    }
}

/// The name that a rename has claimed. Dropping it releases the claim.
pub(super) struct NameClaim {
    manager: Arc<Manager>,
    name: String,
    addr: String,
}

impl NameClaim {
    /// For a name that has just been claimed on the node at `addr`.
    pub(super) fn new(manager: &Arc<Manager>, name: &str, addr: &str) -> Self {
        Self { manager: Arc::clone(manager), name: name.to_owned(), addr: addr.to_owned() }
    }
}

impl Drop for NameClaim {
    fn drop(&mut self) {
        self.manager.with(|cluster| {
            // The claims of a node that left went with it; this name may be somebody else's now.
            if cluster.node(&self.addr).is_some() {
                cluster.release_name(&self.name);
            }
        });
    }
}

impl Manager {
    /// The full ID of the container with this swarm ID, if the engine has it.
    pub(super) async fn find_created(
        &self,
        engine: &Engine,
        swarm_id: &str,
    ) -> Result<Option<String>, EngineError> {
        let path = list_path("label", &format!("{SWARM_ID_LABEL}={swarm_id}"));
        let listed = rows(engine.json(Method::GET, &path, None).await?);
        // Checked again: an engine that knows no such filter tells of all it has.
        let is_ours = |row: &&Value| {
            let labels = row.get("Labels");
            let id = labels.and_then(|labels| labels.get(SWARM_ID_LABEL)).and_then(Value::as_str);
            id == Some(swarm_id)
        };
        Ok(listed.iter().find(is_ours).map(|row| id_of(row).to_owned()))
    }

    /// Keeps the claim of a create whose outcome is unknown until the engine shows it.
    pub(super) fn settle_create(self: &Arc<Self>, engine: Arc<Engine>, claim: Claim) {
        let manager = Arc::clone(self);
        self.ctx.spawn("settle-create", async move {
            let (mut absences, mut pause) = (0, PAUSE);
            while absences < ABSENCES && manager.wait_for(&engine, pause).await {
                match manager.find_created(&engine, &claim.swarm_id).await {
                    Ok(None) => absences += 1,
                    Ok(Some(id)) => match manager.look_at(&engine, &id, Depth::Full).await {
                        Ok(_) => return,
                        Err(error) => manager.log_failed(&engine, "a container", &error),
                    },
                    Err(error) => {
                        manager.log_failed(&engine, "a container", &error);
                        pause = (pause * 2).min(PAUSE_MAX);
                    }
                }
            }
        });
    }

    /// Looks at a container until the engine has told of it; `claim` is kept meanwhile.
    pub(super) fn settle_container<C: Send + 'static>(
        self: &Arc<Self>,
        engine: Arc<Engine>,
        id: String,
        claim: C,
    ) {
        let manager = Arc::clone(self);
        self.ctx.spawn("settle-container", async move {
            let _claim = claim;
            let mut pause = PAUSE;
            while manager.wait_for(&engine, pause).await {
                match manager.look_at(&engine, &id, Depth::Full).await {
                    Ok(_) => return,
                    Err(error) => manager.log_failed(&engine, "a container", &error),
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        });
    }

    /// Waits; `false` when the engine has left, which settles everything.
    async fn wait_for(&self, engine: &Engine, pause: Duration) -> bool {
        tokio::time::sleep(pause).await;
        self.with_slot(engine, |_, _| ()).is_some()
    }
}
