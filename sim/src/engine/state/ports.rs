//! Published ports: what is wanted, what is free.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use super::config;
use super::refusal::Refusal;

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A port of a container that its host's port leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The container's port.
    pub private: u16,
    /// Its protocol.
    pub proto: Proto,
    /// The host's address; `0.0.0.0` is every address.
    pub ip: String,
    /// The host's port.
    pub public: u16,
    /// Whether the engine chose the host's port.
    pub random: bool,
}

/// A publication that a container asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Wanted {
    private: u16,
    proto: Proto,
    ip: String,
    /// First and last acceptable host port; `None` leaves it to the engine.
    host: Option<(u16, u16)>,
}

/// Reads `80`, `80/udp`.
pub(in crate::engine) fn parse(text: &str) -> Option<(u16, Proto)> {
    let (number, proto) = text.split_once('/').unwrap_or((text, "tcp"));
    let proto = match proto {
        "tcp" => Proto::Tcp,
        "udp" => Proto::Udp,
        "sctp" => Proto::Sctp,
        _ => return None,
    };
    Some((number.parse().ok()?, proto))
}

/// The ports that a container exposes or publishes, in order.
pub(in crate::engine) fn exposed(
    config: &Map<String, Value>,
    host: &Map<String, Value>,
) -> BTreeSet<(u16, Proto)> {
    let keys = |map: &Map<String, Value>, name: &str| -> Vec<String> {
        let object = map.get(name).and_then(Value::as_object);
        object.map(|object| object.keys().cloned().collect()).unwrap_or_default()
    };
    let mut all = keys(config, "ExposedPorts");
    all.extend(keys(host, "PortBindings"));
    all.iter().filter_map(|text| parse(text)).collect()
}

/// The publications that a container asks for, by port.
///
/// # Errors
/// 400 `invalid port specification: "<text>"`.
pub(in crate::engine) fn wanted(
    config: &Map<String, Value>,
    host: &Map<String, Value>,
) -> Result<Vec<Wanted>, Refusal> {
    let mut out = Vec::new();
    let mut bound = BTreeSet::new();
    let none = Map::new();
    let bindings = host.get("PortBindings").and_then(Value::as_object).unwrap_or(&none);
    for (key, list) in bindings {
        let (private, proto) = parse(key).ok_or_else(|| invalid(key))?;
        for binding in list.as_array().map(Vec::as_slice).unwrap_or_default() {
            let field = |name| {
                let object = binding.as_object()?;
                config::get(object, name)?.as_str()
            };
            let ip = match field("HostIp") {
                None | Some("") => "0.0.0.0",
                Some(ip) => ip,
            };
            let host = host_range(field("HostPort").unwrap_or_default())?;
            out.push(Wanted { private, proto, ip: ip.to_owned(), host });
            bound.insert((private, proto));
        }
    }
    if host.get("PublishAllPorts") == Some(&Value::Bool(true)) {
        for (private, proto) in exposed(config, host) {
            if !bound.contains(&(private, proto)) {
                out.push(Wanted { private, proto, ip: "0.0.0.0".into(), host: None });
            }
        }
    }
    out.sort_by_key(|wanted| (wanted.private, wanted.proto));
    Ok(out)
}

fn invalid(text: &str) -> Refusal {
    Refusal::bad(format!("invalid port specification: \"{text}\""))
}

fn host_range(text: &str) -> Result<Option<(u16, u16)>, Refusal> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(Some((first, last))),
        _ => Err(invalid(text)),
    }
}

/// Which host ports are in use.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Ports {
    range: (u16, u16),
    /// The port dealt out last, by protocol: the next one is above it, as an engine does it.
    last: BTreeMap<Proto, u16>,
    taken: BTreeSet<(Proto, u16, String)>,
}

impl Ports {
    pub(in crate::engine) fn new(range: (u16, u16)) -> Self {
        Self { range, last: BTreeMap::new(), taken: BTreeSet::new() }
    }

    /// Takes all that is wanted, or nothing.
    ///
    /// # Errors
    /// The engine's words for the first port that is in use.
    pub(in crate::engine) fn allocate(
        &mut self,
        wanted: &[Wanted],
    ) -> Result<Vec<Published>, String> {
        let mut done: Vec<Published> = Vec::new();
        for want in wanted {
            match self.allocate_one(want) {
                Ok(published) => done.push(published),
                Err(text) => {
                    self.release(&done);
                    return Err(text);
                }
            }
        }
        Ok(done)
    }

    pub(in crate::engine) fn release(&mut self, published: &[Published]) {
        for port in published {
            self.taken.remove(&(port.proto, port.public, port.ip.clone()));
        }
    }

    fn allocate_one(&mut self, want: &Wanted) -> Result<Published, String> {
        let Wanted { private, proto, ref ip, host } = *want;
        let public = match host {
            Some((first, last)) => {
                let free = (first..=last).find(|port| self.user(proto, *port, ip).is_none());
                match free {
                    Some(port) => port,
                    None => return Err(self.refuse(proto, first, ip)),
                }
            }
            None => self.random(proto, ip).ok_or("all ports are allocated")?,
        };
        self.taken.insert((proto, public, ip.clone()));
        Ok(Published { private, proto, ip: ip.clone(), public, random: host.is_none() })
    }

    /// The address on which `port` is in use, when that is in the way of `ip`.
    fn user(&self, proto: Proto, port: u16, ip: &str) -> Option<&str> {
        let from = (proto, port, String::new());
        let users = self.taken.range(from..).take_while(|(p, n, _)| (*p, *n) == (proto, port));
        users
            .map(|(_, _, used)| used.as_str())
            .find(|used| *used == ip || *used == "0.0.0.0" || ip == "0.0.0.0")
    }

    fn refuse(&self, proto: Proto, port: u16, ip: &str) -> String {
        if self.taken.contains(&(proto, port, ip.to_owned())) {
            return format!("Bind for {ip}:{port} failed: port is already allocated");
        }
        // Another address of the same port: the allocator does not see it, the kernel does.
        format!(
            "Error starting userland proxy: listen {proto}4 {ip}:{port}: bind: address already \
             in use"
        )
    }

    fn random(&mut self, proto: Proto, ip: &str) -> Option<u16> {
        let (first, last) = self.range;
        let next = match self.last.get(&proto) {
            Some(port) if *port < last => port + 1,
            _ => first,
        };
        let port =
            (next..=last).chain(first..next).find(|port| self.user(proto, *port, ip).is_none())?;
        self.last.insert(proto, port);
        Some(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn want(bindings: Value, all: bool) -> Vec<Wanted> {
        let config = json!({"ExposedPorts": {"80/tcp": {}, "53/udp": {}}});
        let host = json!({"PortBindings": bindings, "PublishAllPorts": all});
        wanted(config.as_object().unwrap(), host.as_object().unwrap()).unwrap()
    }

    fn publics(ports: &mut Ports, wanted: &[Wanted]) -> Vec<u16> {
        ports.allocate(wanted).unwrap().iter().map(|port| port.public).collect()
    }

    #[test]
    fn a_port_is_given_once() {
        let mut ports = Ports::new((32768, 32770));
        let fixed = want(json!({"80/tcp": [{"HostPort": "80"}]}), false);
        let held = ports.allocate(&fixed).unwrap();
        assert_eq!(
            ports.allocate(&fixed).unwrap_err(),
            "Bind for 0.0.0.0:80 failed: port is already allocated"
        );
        let one = want(json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]}), false);
        let text = ports.allocate(&one).unwrap_err();
        assert!(text.ends_with("listen tcp4 127.0.0.1:80: bind: address already in use"), "{text}");
        let udp = want(json!({"80/udp": [{"HostPort": "80"}]}), false);
        assert_eq!(publics(&mut ports, &udp), [80]);
        ports.release(&held);
        assert_eq!(publics(&mut ports, &one), [80]);
    }

    #[test]
    fn random_ports_go_up_and_round() {
        let mut ports = Ports::new((32768, 32770));
        let all = want(json!({"80/tcp": [{}], "90/tcp": [{"HostPort": "0"}]}), false);
        let held = ports.allocate(&all).unwrap();
        assert_eq!(held.iter().map(|p| p.public).collect::<Vec<_>>(), [32768, 32769]);
        ports.release(&held);
        assert_eq!(publics(&mut ports, &all), [32770, 32768], "it does not go back at once");
        assert_eq!(ports.allocate(&all).unwrap_err(), "all ports are allocated");
        let one = want(json!({"80/tcp": [{}]}), false);
        assert_eq!(publics(&mut ports, &one), [32769], "a failure takes nothing");
    }

    #[test]
    fn publish_all_adds_what_is_exposed() {
        let both = want(json!({"80/tcp": [{"HostPort": "8080-8081"}]}), true);
        assert_eq!(both.iter().map(|w| w.private).collect::<Vec<_>>(), [53, 80]);
        let mut ports = Ports::new((32768, 60999));
        assert_eq!(publics(&mut ports, &both), [32768, 8080]);
        assert_eq!(publics(&mut ports, &both), [32769, 8081]);
        let host = json!({"PortBindings": {"80/tcp": [{"HostPort": "abc"}]}});
        let refusal = wanted(&Map::new(), host.as_object().unwrap()).unwrap_err();
        assert_eq!(refusal, Refusal::bad("invalid port specification: \"abc\""));
    }
}
