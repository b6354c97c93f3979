//! Which host ports are claimed where.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::tally::Tally;
use crate::cluster::Port;

/// Nodes by claimed port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports(BTreeMap<String, Use>);

/// Who uses one port.
#[derive(Clone, Debug, Default)]
struct Use {
    /// On whatever address.
    any: Tally,
    /// On all addresses.
    everywhere: Tally,
    /// On the address that is written like this.
    by_ip: BTreeMap<String, Tally>,
}

impl Ports {
    pub(super) fn add(&mut self, port: Port<'_>, slot: u32, universe: usize) {
        if !self.0.contains_key(port.port) {
            self.0.insert(port.port.to_string(), Use::default());
        }
        let used = self.0.get_mut(port.port).expect("there since the line above");
        used.any.add(slot, universe);
        if port.is_everywhere() {
            used.everywhere.add(slot, universe);
        } else {
            super::tally(&mut used.by_ip, port.ip).add(slot, universe);
        }
    }

    pub(super) fn sub(&mut self, port: Port<'_>, slot: u32) {
        let Some(used) = self.0.get_mut(port.port) else { return };
        used.any.sub(slot);
        if port.is_everywhere() {
            used.everywhere.sub(slot);
        } else {
            super::sub_tally(&mut used.by_ip, port.ip, slot);
        }
        if used.any.is_empty() {
            self.0.remove(port.port);
        }
    }

    /// Drops the nodes where `wanted` is claimed: the same port on the same address, or either on
    /// all addresses.
    pub(crate) fn drop_from(&self, wanted: Port<'_>, set: &mut Bits) {
        let Some(used) = self.0.get(wanted.port) else { return };
        if wanted.is_everywhere() {
            used.any.drop_from(set);
            return;
        }
        used.everywhere.drop_from(set);
        if let Some(same) = used.by_ip.get(wanted.ip) {
            same.drop_from(set);
        }
    }

    /// Everything it says, for comparison.
    pub(super) fn entries(&self) -> impl Iterator<Item = (String, Vec<(u32, u32)>)> + '_ {
        self.0.iter().flat_map(|(port, used)| {
            let by_ip = used.by_ip.iter().map(move |(ip, t)| (format!("{port} on {ip}"), t));
            let fixed = [(port.clone(), &used.any), (format!("{port} on *"), &used.everywhere)];
            fixed.into_iter().chain(by_ip).map(|(what, tally)| (what, tally.entries()))
        })
    }
}
