//! Waits until a world can be used.

use std::time::Duration;

use futures_util::future::join_all;
use swarm::ctx::Ctx;

use super::hosts::Plan;
use super::logs::Board;
use crate::node::probe;
use crate::node::spec::Gate;
use crate::runner::Access;
use crate::world::WorldError;

/// How long a cluster may take. Engines alone take three seconds on an idle machine.
const WITHIN: Duration = Duration::from_secs(60);

/// Returns when every engine and store answers, every process runs and every manager listens.
pub(super) async fn wait(plan: &Plan<'_>, client: &Ctx, board: &Board) -> Result<(), WorldError> {
    let failed = |what: String| WorldError::new(what, "");
    let tls = plan.pki.map(|pki| Access::new(client, Some(pki)).witness_tls(pki));
    let ready = async {
        let engines = plan.cluster.engines().flat_map(|(host, _)| plan.engine_gates(host));
        let gates: Vec<Gate> = engines.chain(plan.store_gates()).collect();
        join_all(gates.iter().map(|gate| probe::open(gate, tls.as_ref()))).await;
        board.all_run(&plan.processes()).await?;
        let managers = plan.cluster.hosts.iter().filter_map(|host| {
            host.manager.as_ref().map(|manager| probe::listens(host.address, manager.port))
        });
        join_all(managers).await;
        Ok(())
    };
    tokio::select! {
        done = ready => done.map_err(failed),
        what = board.failure() => Err(failed(what)),
        () = tokio::time::sleep(WITHIN) => {
            let what = format!("the cluster was not up after {} s", WITHIN.as_secs());
            Err(WorldError::new(what, "the event log (`--log FILE`) has what each process said"))
        }
    }
}
