//! Errors in the words of Linux, on every platform: the texts end up in logs, and logs in hashes.

use std::io::{self, ErrorKind};

/// The error of `kind` as Linux words it.
pub(crate) fn os_error(kind: ErrorKind) -> io::Error {
    let text = match kind {
        ErrorKind::NotFound => "No such file or directory (os error 2)",
        ErrorKind::BrokenPipe => "Broken pipe (os error 32)",
        ErrorKind::AddrInUse => "Address already in use (os error 98)",
        ErrorKind::AddrNotAvailable => "Cannot assign requested address (os error 99)",
        ErrorKind::NetworkUnreachable => "Network is unreachable (os error 101)",
        ErrorKind::ConnectionReset => "Connection reset by peer (os error 104)",
        ErrorKind::TimedOut => "Connection timed out (os error 110)",
        ErrorKind::ConnectionRefused => "Connection refused (os error 111)",
        ErrorKind::HostUnreachable => "No route to host (os error 113)",
        _ => return kind.into(),
    };
    io::Error::new(kind, text)
}
