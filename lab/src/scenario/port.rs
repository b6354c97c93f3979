//! Published and exposed ports, as Docker people write them.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::context::Context;
use super::decode::{Decode, Word};
use super::record::choice;
use super::yaml::Node;

choice! {
    /// The protocol of a port.
    pub enum Protocol: "a protocol" {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
        /// SCTP.
        Sctp = "sctp",
    }
}

/// A published port: `80`, `80:80`, `127.0.0.1:80:80/udp`, `127.0.0.1::80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The address of the host it is bound to; all of them when there is none.
    pub ip: Option<Ipv4Addr>,
    /// The port of the host; the engine picks a free one when there is none.
    pub host: Option<u16>,
    /// The port inside the container.
    pub container: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// A port inside a container: `80`, `53/udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Its number.
    pub container: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl Exposed {
    /// Reads `80` or `53/udp`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (number, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((number, "tcp")) => (number, Protocol::Tcp),
            Some((number, "udp")) => (number, Protocol::Udp),
            Some((number, "sctp")) => (number, Protocol::Sctp),
            Some((_, other)) => {
                return Err(format!("unknown protocol `{other}`: tcp, udp or sctp"));
            }
        };
        Ok(Self { container: port_number(number)?, protocol })
    }
}

impl Port {
    /// Reads `[[IP:]HOST:]CONTAINER[/PROTOCOL]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let (ip, host, inside) = match parts[..] {
            [inside] => ("", "", inside),
            [host, inside] => ("", host, inside),
            [ip, host, inside] => (ip, host, inside),
            _ => return Err("a port is [[IP:]HOST:]CONTAINER[/PROTOCOL]".to_owned()),
        };
        let Exposed { container, protocol } = Exposed::parse(inside)?;
        let ip = match ip {
            "" => None,
            ip => Some(ip.parse().map_err(|_| format!("`{ip}` is not an IPv4 address"))?),
        };
        let host = match host {
            // `:80` is a typing error, `127.0.0.1::80` and `80` are not.
            "" if parts.len() == 2 => return Err("the port of the host is missing".to_owned()),
            "" => None,
            host => Some(port_number(host)?),
        };
        Ok(Self { ip, host, container, protocol })
    }

    /// Whether both want the same port of a host, as the classic manager sees it: it compares
    /// ports and addresses, not protocols.
    #[must_use]
    pub fn conflicts(&self, other: &Self) -> bool {
        let all = |ip: Option<Ipv4Addr>| ip.is_none_or(|ip| ip.is_unspecified());
        self.host.is_some()
            && self.host == other.host
            && (all(self.ip) || all(other.ip) || self.ip == other.ip)
    }
}

fn port_number(text: &str) -> Result<u16, String> {
    if text.contains('-') {
        return Err("ranges of ports are not supported: write one entry for each".to_owned());
    }
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{text}` is not a port number from 1 to 65535")),
    }
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.protocol)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ip) = self.ip {
            write!(f, "{ip}:")?;
        }
        match self.host {
            Some(host) => write!(f, "{host}:")?,
            None if self.ip.is_some() => f.write_str(":")?,
            None => {}
        }
        write!(f, "{}/{}", self.container, self.protocol)
    }
}

/// Reads a word, and then the word with `parse`.
fn parsed<T>(
    node: &Node,
    cx: &mut Context,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let Word(text) = Word::decode(node, cx)?;
    match parse(&text) {
        Ok(value) => Some(value),
        Err(why) => {
            cx.error(node.span, format!("`{text}` is not a port"), why)
                .note("examples: \"80\", \"80:80\", \"127.0.0.1:80:80/udp\"");
            None
        }
    }
}

impl Decode for Port {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        parsed(node, cx, Self::parse)
    }
}

impl Decode for Exposed {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        parsed(node, cx, Self::parse)
    }
}

impl JsonSchema for Port {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A published port: [[IP:]HOST:]CONTAINER[/PROTOCOL].",
            "type": ["string", "integer"],
            "pattern": "^(([0-9.]+:)?[0-9]*:)?[0-9]+(/(tcp|udp|sctp))?$",
            "minimum": 1,
            "maximum": 65535,
            "examples": ["80", "80:80", "127.0.0.1:80:80/udp"],
        })
    }
}

impl JsonSchema for Exposed {
    fn schema_name() -> Cow<'static, str> {
        "Exposed".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A port inside a container: CONTAINER[/PROTOCOL].",
            "type": ["string", "integer"],
            "pattern": "^[0-9]+(/(tcp|udp|sctp))?$",
            "minimum": 1,
            "maximum": 65535,
            "examples": ["80", "53/udp"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_docker_reads_them() {
        for (text, shown) in [
            ("80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            ("53:53/udp", "53:53/udp"),
            ("127.0.0.1:80:80", "127.0.0.1:80:80/tcp"),
            ("127.0.0.1::80/sctp", "127.0.0.1::80/sctp"),
        ] {
            assert_eq!(Port::parse(text).map(|port| port.to_string()).as_deref(), Ok(shown));
        }
        for text in ["", "0", "65536", ":80", "80:", "a:80", "80:80:80", "1:2:3:4", "80/", "-80"] {
            assert!(Port::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_conflict_as_the_classic_manager_sees_it() {
        let conflict = |one: &str, other: &str| {
            let read = |text| Port::parse(text).expect("the port is good");
            assert_eq!(read(one).conflicts(&read(other)), read(other).conflicts(&read(one)));
            read(one).conflicts(&read(other))
        };
        assert!(conflict("80:80", "80:8080"));
        assert!(conflict("53:53/udp", "53:53/tcp"), "protocols are not compared");
        assert!(conflict("10.0.0.1:80:80", "80:80"));
        assert!(conflict("10.0.0.1:80:80", "0.0.0.0:80:80"));
        assert!(!conflict("10.0.0.1:80:80", "10.0.0.2:80:80"));
        assert!(!conflict("80", "80"), "any free port is no conflict");
        assert!(!conflict("80:80", "81:80"));
    }
}
