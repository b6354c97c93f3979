//! Claims made while a call to an engine is under way: no name and no resource is promised twice.

use super::{Cluster, Facts, NameTaken, Node, Refusal, Reservation, SWARM_ID_LABEL};
use crate::scheduler::{Rejection, Request, Scheduler};

impl Cluster {
    /// Whether `name` is free: on registered nodes, among creates and among renames under way.
    /// The empty name always is.
    ///
    /// # Errors
    /// The name is in use.
    pub fn check_name(&self, name: &str) -> Result<(), NameTaken> {
        let bare = bare(name);
        if bare.is_empty() {
            return Ok(());
        }
        let mut names = self
            .registered()
            .flat_map(|node| node.containers.values())
            .flat_map(|container| &container.facts.names);
        let taken = names.any(|taken| self::bare(taken) == bare)
            || self.reservations.values().any(|reservation| reservation.name == bare)
            || self.renames.contains_key(bare);
        if taken { Err(NameTaken(name.to_owned())) } else { Ok(()) }
    }

    /// Checks the name, chooses a node and claims both for a container with this swarm ID: one
    /// step, so that of two creates at the same time the second sees the first. The claim lasts
    /// until [`Cluster::release`]. `random(n)` gives a number below `n`.
    ///
    /// # Errors
    /// The name is in use, the swarm ID is being created already, or no node fits.
    pub fn reserve(
        &mut self,
        request: &Request,
        swarm_id: &str,
        scheduler: &Scheduler,
        random: &mut dyn FnMut(u64) -> u64,
    ) -> Result<Reservation, Refusal> {
        self.check_name(&request.name).map_err(Refusal::Name)?;
        if self.reservations.contains_key(swarm_id) {
            let message = format!("Conflict: a container with swarm ID {swarm_id} is being made");
            return Err(Refusal::Scheduling(Rejection { message, ..Rejection::default() }));
        }
        let placement = scheduler.place(self, request, random).map_err(Refusal::Scheduling)?;
        let node = placement.ranked.first().expect("a placement names at least one node").clone();
        let mut facts = request.facts.clone();
        facts.swarm_id = Some(swarm_id.to_owned());
        facts.labels.insert(SWARM_ID_LABEL.to_owned(), swarm_id.to_owned());
        let reservation = Reservation {
            swarm_id: swarm_id.to_owned(),
            name: bare(&request.name).to_owned(),
            node,
            facts,
            summary: placement.summary,
        };
        self.reservations.insert(swarm_id.to_owned(), reservation.clone());
        Ok(reservation)
    }

    /// Ends the claim of a create, whether it succeeded (then the container is in the cache and
    /// speaks for itself) or failed.
    pub fn release(&mut self, swarm_id: &str) {
        self.reservations.remove(swarm_id);
    }

    /// Claims a name for a rename on the node at `addr`, until [`Cluster::release_name`]. (The
    /// classic manager only checks, so that two renames at the same time both succeed.)
    ///
    /// # Errors
    /// The name is in use.
    pub fn claim_name(&mut self, name: &str, addr: &str) -> Result<(), NameTaken> {
        self.check_name(name)?;
        self.renames.insert(bare(name).to_owned(), addr.to_owned());
        Ok(())
    }

    /// Ends the claim of a rename.
    pub fn release_name(&mut self, name: &str) {
        self.renames.remove(bare(name));
    }

    /// The creates under way on a node whose containers are not in its cache yet.
    pub fn pending(&self, node: &Node) -> impl Iterator<Item = &Reservation> {
        let of_node = self.reservations.values().filter(|pending| pending.node == node.addr);
        of_node.filter(|pending| {
            let mut cached = node.containers.values();
            !cached.any(|container| container.facts.swarm_id.as_ref() == Some(&pending.swarm_id))
        })
    }

    /// Everything that claims something of the node: its containers in any state and the creates
    /// under way.
    pub fn claims<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Facts> {
        let cached = node.containers.values().map(|container| &container.facts);
        cached.chain(self.pending(node).map(|pending| &pending.facts))
    }
}

fn bare(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}
