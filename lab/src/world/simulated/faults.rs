//! What goes wrong in the simulator.

use sim::Link;

use super::{CLIENT, SimulatedWorld};
use crate::scenario::fault::Action;
use crate::world::fault::Part;
use crate::world::{Fault, WorldError};

/// What the simulator cannot do of a scenario's faults.
///
/// # Errors
/// What, as a sentence's beginning and advice.
pub fn supports(action: &Action) -> Result<(), (String, String)> {
    match action {
        Action::Slow { kbits: Some(_), .. } => {
            Err(("the simulator's network has no bandwidth".into(), "use `delay`".into()))
        }
        _ => Ok(()),
    }
}

impl SimulatedWorld {
    /// Does it at once: virtual time stands still meanwhile.
    pub(super) fn strike(&mut self, fault: &Fault) -> Result<(), WorldError> {
        match fault {
            Fault::Kill(Part::Host, host) => self.sim.power_off(host),
            Fault::Stop(Part::Host, host) => {
                self.sim.kill_host(host);
                self.sim.power_off(host);
            }
            Fault::Start(part, host) => return self.revive(*part, host),
            Fault::Kill(part, host) | Fault::Stop(part, host) => {
                if let Some(process) = self.processes.remove(&(host.clone(), *part)) {
                    process.kill();
                }
            }
            Fault::Pause(host) => self.sim.pause(host),
            Fault::Resume(host) => self.sim.resume(host),
            Fault::Cut { from, to } => self.sim.cut(from, to),
            Fault::Mend { from, to } => self.sim.heal(from, to),
            Fault::Reset { a, b } => {
                self.sim.reset(a, b);
            }
            Fault::Disconnect(host) => self.plug(host, false),
            Fault::Connect(host) => self.plug(host, true),
            Fault::Slow { host, delay, kbits: _ } => {
                let late = delay.unwrap_or_default().as_micros();
                let late = u64::try_from(late).unwrap_or(u64::MAX);
                let Link { min_us, max_us, loss_ppm } = Link::LAN;
                let min_us = min_us.saturating_add(late);
                let max_us = max_us.saturating_add(late);
                self.slow.insert(host.clone());
                self.link(host, Link { min_us, max_us, loss_ppm });
            }
            Fault::Speed(host) => {
                if self.slow.remove(host) {
                    self.link(host, Link::LAN);
                }
            }
        }
        Ok(())
    }

    fn revive(&mut self, part: Part, name: &str) -> Result<(), WorldError> {
        let Some(host) = self.cluster.host(name).cloned() else { return Ok(()) };
        if part == Part::Host {
            if !self.sim.is_up(name) {
                self.sim.boot(name);
            }
            for part in [Part::Store, Part::Engine, Part::Agent, Part::Manager] {
                self.start(&host, part);
            }
        } else if self.sim.is_up(name) {
            self.start(&host, part);
        } else {
            let what = format!("the {part} of {name} cannot start: the host is off");
            return Err(WorldError::new(what, "start the host first"));
        }
        Ok(())
    }

    /// Everybody else, the client included.
    fn others(&self, host: &str) -> Vec<String> {
        let names = self.cluster.hosts.iter().map(|host| host.name.clone());
        names.filter(|name| name != host).chain([CLIENT.to_owned()]).collect()
    }

    fn plug(&self, host: &str, plugged: bool) {
        for other in self.others(host) {
            for (from, to) in [(host, other.as_str()), (other.as_str(), host)] {
                if plugged { self.sim.heal(from, to) } else { self.sim.cut(from, to) }
            }
        }
    }

    fn link(&self, host: &str, link: Link) {
        for other in self.others(host) {
            self.sim.set_link(host, &other, link);
        }
    }
}
