//! `port`: no host port of a node is claimed twice.
//!
//! A container claims its ports from the request on and until it is removed, running or not. As in
//! the classic manager, the protocol of a published port is not looked at.

use super::{Request, Test, View};
use crate::cluster::{Facts, HostPort, Port};
use crate::scheduler::view::display_name;

/// The test for the request's network mode.
pub(super) fn test(request: &Request) -> Box<dyn Test> {
    if request.facts.host_network {
        Box::new(HostMode(request.facts.exposed().map(str::to_owned).collect()))
    } else {
        Box::new(BridgeMode(request.bindings.clone()))
    }
}

/// The requested bindings.
struct BridgeMode(Vec<HostPort>);

impl BridgeMode {
    fn conflict<'a>(&'a self, view: &View<'a>) -> Option<(&'a HostPort, &'a Facts)> {
        self.0.iter().find_map(|wanted| {
            let takes = |facts: &&Facts| facts.ports().any(|port| conflict(wanted.as_port(), port));
            view.claims().find(takes).map(|facts| (wanted, facts))
        })
    }
}

impl Test for BridgeMode {
    fn fits(&self, view: &View<'_>) -> bool {
        self.conflict(view).is_none()
    }

    fn wanted(&self, view: &View<'_>) -> String {
        self.conflict(view).map_or_else(String::new, |(port, _)| port.port.clone())
    }

    fn reason(&self, view: &View<'_>) -> String {
        self.conflict(view).map_or_else(String::new, |(port, facts)| {
            format!("{} is taken by {}", port.port, display_name(facts))
        })
    }

    fn conditions(&self) -> Vec<String> {
        self.0.iter().map(|wanted| format!("port {} (Bridge mode)", wanted.port)).collect()
    }
}

/// The exposed ports, which are the host's own in host mode.
struct HostMode(Vec<String>);

impl HostMode {
    fn conflict<'a>(&'a self, view: &View<'a>) -> Option<(&'a str, &'a Facts)> {
        self.0.iter().find_map(|wanted| {
            let takes =
                |facts: &&Facts| facts.host_network && facts.exposed().any(|port| port == wanted);
            view.claims().find(takes).map(|facts| (wanted.as_str(), facts))
        })
    }
}

impl Test for HostMode {
    fn fits(&self, view: &View<'_>) -> bool {
        self.conflict(view).is_none()
    }

    fn wanted(&self, view: &View<'_>) -> String {
        self.conflict(view).map_or_else(String::new, |(port, _)| port.to_owned())
    }

    fn reason(&self, view: &View<'_>) -> String {
        self.conflict(view).map_or_else(String::new, |(port, facts)| {
            format!("{port} is taken by {}", display_name(facts))
        })
    }

    fn conditions(&self) -> Vec<String> {
        self.0.iter().map(|port| format!("port {port} (Host mode)")).collect()
    }
}

/// Whether two bindings cannot be on one node: the same port text on the same address, or either
/// on all addresses.
fn conflict(wanted: Port<'_>, taken: Port<'_>) -> bool {
    wanted.port == taken.port
        && (wanted.ip == taken.ip || wanted.is_everywhere() || taken.is_everywhere())
}
