//! Where to listen or connect: `tcp://host:port` or `unix://path`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addr {
    /// A host (name or IP, without brackets) and a port.
    Tcp {
        /// Host name or IP literal; empty means every address when listening.
        host: String,
        /// Port, 1 to 65535; 0 when listening means any free one.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Addr {
    /// A TCP endpoint.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp { host: host.into(), port }
    }

    /// The host part; empty for a Unix socket.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Tcp { host, .. } => host,
            Self::Unix(_) => "",
        }
    }

    /// The port; 0 for a Unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port, .. } => *port,
            Self::Unix(_) => 0,
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why a text is not an endpoint. The words are those of Go's `net.SplitHostPort`, which users of
/// the classic manager know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddrError(String);

impl fmt::Display for AddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AddrError {}

/// Splits `host:port`, `[ipv6]:port` or `:port` into its halves without looking into them.
///
/// # Errors
/// `address <text>: missing port in address` or `address <text>: too many colons in address`.
pub fn split_host_port(text: &str) -> Result<(&str, &str), AddrError> {
    let fail = |why: &str| Err(AddrError(format!("address {text}: {why}")));
    if let Some(rest) = text.strip_prefix('[') {
        let Some(end) = rest.find(']') else {
            return fail("missing ']' in address");
        };
        return match rest[end + 1..].strip_prefix(':') {
            Some(port) if port.contains(':') => fail("too many colons in address"),
            Some(port) => Ok((&rest[..end], port)),
            None => fail("missing port in address"),
        };
    }
    match text.rsplit_once(':') {
        None => fail("missing port in address"),
        Some((host, _)) if host.contains(':') => fail("too many colons in address"),
        Some((host, port)) => Ok((host, port)),
    }
}

impl FromStr for Addr {
    type Err = AddrError;

    /// Reads `[tcp://]host:port` or `unix://path`.
    fn from_str(text: &str) -> Result<Self, AddrError> {
        if let Some(path) = text.strip_prefix("unix://") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let bare = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = split_host_port(bare)?;
        let port = port
            .parse()
            .map_err(|_| AddrError(format!("address {bare}: invalid port \"{port}\"")))?;
        Ok(Self::tcp(host, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_printed() {
        for (text, printed) in [
            ("tcp://127.0.0.1:2375", "127.0.0.1:2375"),
            ("host:1", "host:1"),
            (":4000", ":4000"),
            ("[::1]:2375", "[::1]:2375"),
            ("unix:///var/run/swarm.sock", "/var/run/swarm.sock"),
        ] {
            assert_eq!(text.parse::<Addr>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn errors_use_the_words_of_go() {
        let error = |text: &str| text.parse::<Addr>().unwrap_err().to_string();
        assert_eq!(error("a"), "address a: missing port in address");
        assert_eq!(error("::1:2375"), "address ::1:2375: too many colons in address");
        assert_eq!(error("a:65536"), "address a:65536: invalid port \"65536\"");
    }
}
