//! TLS above the seam, in both directions: the same code over an operating system's sockets and
//! over the simulator's.
//!
//! TLS 1.2 and 1.3, HTTP/1.1 only, no resumption: every connection proves its certificates anew,
//! so a certificate that was replaced is noticed at once (the classic manager resumes nothing,
//! either). The date comes from the context's clock, randomness from its
//! [`Rng::crypto`](crate::ctx::Rng::crypto). Errors are told in the words of Docker's own
//! tools; see [`reason`].

mod client;
mod identity;
mod reason;
mod server;
mod stream;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::ctx::{Clock, Ctx, go_error};

pub use client::Client;
pub use identity::{Authorities, Identity};
pub use reason::Refused;
pub(crate) use reason::refusal;
pub use server::Server;

/// The only protocol spoken above TLS.
const ALPN: &[u8] = b"http/1.1";

/// Both directions of one process, from one certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For the connections it opens.
    pub client: Client,
    /// For those it takes.
    pub server: Server,
}

impl Tls {
    /// TLS with the certificate and key in the files `cert` and `key`.
    ///
    /// With `ca`, the peers of both directions must have a certificate that an authority in that
    /// file has signed (`--tlsverify`); without, nobody's certificate is looked at (`--tls`).
    ///
    /// # Errors
    /// The classic manager's texts: `Couldn't load X509 key pair (<cert>, <key>): <why>. Key
    /// encrypted?` and `Couldn't read CA certificate: <why>`. A file without any certificate is
    /// such an error, too; the classic manager takes it for an authority that signs nothing.
    pub fn load(ctx: &Ctx, cert: &str, key: &str, ca: Option<&str>) -> Result<Self, String> {
        let identity = read(ctx, cert)
            .and_then(|cert| Ok((cert, read(ctx, key)?)))
            .and_then(|(cert, key)| Identity::from_pem(&ctx.rng.crypto(), &cert, &key))
            .map_err(|why| {
                format!("Couldn't load X509 key pair ({cert}, {key}): {why}. Key encrypted?")
            })?;
        let authorities = ca.map(|path| authorities(ctx, path)).transpose()?;
        Ok(Self {
            client: Client::new(ctx, Some(&identity), authorities.as_ref()),
            server: Server::new(ctx, &identity, authorities.as_ref())?,
        })
    }
}

impl Client {
    /// A client with the certificate and key in `cert` and `key`, for servers that the authorities
    /// in `ca` have signed.
    ///
    /// # Errors
    /// As [`Tls::load`].
    pub fn load(ctx: &Ctx, cert: &str, key: &str, ca: &str) -> Result<Self, String> {
        Tls::load(ctx, cert, key, Some(ca)).map(|tls| tls.client)
    }
}

fn authorities(ctx: &Ctx, path: &str) -> Result<Authorities, String> {
    read(ctx, path)
        .and_then(|pem| Authorities::from_pem(&pem))
        .map_err(|why| format!("Couldn't read CA certificate: {why}"))
}

/// Reads a file; errors in the words of Go.
fn read(ctx: &Ctx, path: &str) -> Result<Vec<u8>, String> {
    let read = ctx.files.read(Path::new(path));
    read.map_err(|error| format!("open {path}: {}", go_error(&error)))
}

/// The context's clock as rustls wants it.
struct Wall(Arc<dyn Clock>);

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wall")
    }
}

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        let since = self.0.wall().duration_since(std::time::SystemTime::UNIX_EPOCH);
        since.ok().map(UnixTime::since_unix_epoch)
    }
}

#[cfg(test)]
mod tests;
