//! What can happen to a cluster.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use serde_json::Value;

use crate::generate;
use crate::world::Container;

/// Something that happens. An `Index` picks one of those there are; `told` is whether an event of
/// it reaches the manager.
#[derive(Clone, Debug)]
pub enum Step {
    Create {
        name: String,
        body: Value,
    },
    /// The engine has made the container of a create.
    Made {
        which: Index,
        told: bool,
    },
    /// The create is over, whether its container was made or not.
    Over(Index),
    /// A container starts or dies.
    Run {
        which: Index,
        running: bool,
        told: bool,
    },
    Remove {
        which: Index,
        told: bool,
    },
    Rename {
        which: Index,
        name: &'static str,
        told: bool,
    },
    /// The engine answers to a list; the manager gets to read it only at [`Step::EndList`].
    BeginList(Index),
    EndList,
    Images(Index, Vec<Value>),
    Fail(Index),
    Succeed(Index),
    Join(Value),
    Leave(Index),
    /// The engine answers anew to `/info`.
    Reload {
        which: Index,
        info: Value,
    },
    /// Somebody makes a container without the manager.
    Foreign {
        which: Index,
        container: Container,
        told: bool,
    },
}

/// Steps in which the manager hears of everything and nobody works beside it.
pub fn orderly_step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    let name = || select(&generate::NAMES[..]);
    prop_oneof![
        40 => (generate::request_name(), generate::modest_body()).prop_map(|(name, mut body)| {
            // More than any node has, and still so when made into shares.
            let cpus = body["HostConfig"]["CpuShares"].as_i64().expect("generated as one");
            body["HostConfig"]["CpuShares"] = cpus.min(99).into();
            Step::Create { name, body }
        }),
        30 => index().prop_map(|which| Step::Made { which, told: true }),
        8 => index().prop_map(Step::Over),
        5 => (index(), any::<bool>())
            .prop_map(|(which, running)| Step::Run { which, running, told: true }),
        4 => index().prop_map(|which| Step::Remove { which, told: true }),
        6 => (index(), name()).prop_map(|(which, name)| Step::Rename { which, name, told: true }),
        5 => index().prop_map(Step::BeginList),
        5 => Just(Step::EndList),
        2 => (index(), generate::images()).prop_map(|(which, images)| Step::Images(which, images)),
        4 => index().prop_map(Step::Fail),
        5 => index().prop_map(Step::Succeed),
        4 => generate::info().prop_map(Step::Join),
        1 => index().prop_map(Step::Leave),
    ]
}

/// Any steps: events get lost, engines change, and others make containers.
pub fn wild_step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    let lossy = (orderly_step(), any::<bool>()).prop_map(|(mut step, heard)| {
        if let Step::Made { told, .. }
        | Step::Run { told, .. }
        | Step::Remove { told, .. }
        | Step::Rename { told, .. } = &mut step
        {
            *told = heard;
        }
        step
    });
    prop_oneof![
        12 => lossy,
        1 => (index(), generate::info()).prop_map(|(which, info)| Step::Reload { which, info }),
        2 => (index(), generate::container(), any::<bool>()).prop_map(
            |(which, container, told)| Step::Foreign { which, container, told },
        ),
    ]
}
