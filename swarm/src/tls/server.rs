//! The side that is connected to.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::ctx::{Addr, BoxFuture, BoxStream, Ctx, Level, Listener};

use super::stream::{Opening, Prefixed, Worded};
use super::{ALPN, Authorities, Identity, Refused, Wall};

/// How long a client may take for the handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How long a client that is refused before the handshake may take to read why.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// The answer of Go's HTTPS servers to plain HTTP, byte for byte.
const PLAIN_HTTP_ANSWER: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// How many bytes a ClientHello has up to and including its version: a record's header, a
/// handshake's, the version.
const HELLO_START: usize = 5 + 4 + 2;

/// A fatal alert, `protocol_version`.
const OUTDATED_ALERT: &[u8] = &[21, 3, 1, 0, 2, 2, 70];

/// How connections of clients are secured. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<ServerConfig>);

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tls::Server")
    }
}

impl Server {
    /// A server that shows `identity` and takes only clients that `authorities` have signed;
    /// without authorities it does not ask for certificates.
    ///
    /// # Errors
    /// When the authorities cannot be used to verify clients.
    pub fn new(
        ctx: &Ctx,
        identity: &Identity,
        authorities: Option<&Authorities>,
    ) -> Result<Self, String> {
        let provider = Arc::new(ctx.rng.crypto());
        let wall = Arc::new(Wall(Arc::clone(&ctx.clock)));
        let builder = ServerConfig::builder_with_details(Arc::clone(&provider), wall)
            .with_safe_default_protocol_versions()
            .expect("the provider serves TLS 1.2 and 1.3");
        let builder = match authorities {
            Some(authorities) => {
                let roots = Arc::clone(&authorities.0);
                let inner = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| error.to_string())?;
                builder.with_client_cert_verifier(Arc::new(LikeGo(inner)))
            }
            None => builder.with_no_client_auth(),
        };
        let resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&identity.0)));
        let mut config = builder.with_cert_resolver(resolver);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// A listener whose connections are secured. Each makes its handshake when it is first used,
    /// so a slow client keeps nobody waiting but itself. Who does not get in is logged.
    #[must_use]
    pub fn listener(&self, ctx: &Ctx, inner: Box<dyn Listener>) -> Box<dyn Listener> {
        Box::new(TlsListener { ctx: ctx.clone(), server: self.clone(), inner })
    }

    /// Makes the handshake with the client at the other end of `stream`. A client that speaks
    /// plain HTTP is told so.
    ///
    /// # Errors
    /// A [`Refused`] inside when the handshake failed, else what the stream says.
    pub async fn accept(&self, mut stream: BoxStream) -> io::Result<BoxStream> {
        let mut start = [0; HELLO_START];
        stream.read_exact(&mut start[..1]).await.map_err(Refused::handshake)?;
        // A method begins with a capital letter, no record of TLS does.
        if start[0].is_ascii_uppercase() {
            farewell(stream, PLAIN_HTTP_ANSWER).await;
            return Err(Refused::new("client sent an HTTP request to an HTTPS server").into());
        }
        stream.read_exact(&mut start[1..]).await.map_err(Refused::handshake)?;
        if is_outdated(start) {
            farewell(stream, OUTDATED_ALERT).await;
            return Err(Refused::new("tls: client offered only unsupported versions").into());
        }
        let stream = Prefixed::new(start.to_vec(), stream);
        match TlsAcceptor::from(Arc::clone(&self.0)).accept(stream).await {
            Ok(stream) => Ok(Box::new(Worded::new(stream))),
            Err(error) => Err(Refused::handshake(error)),
        }
    }

    async fn accept_in_time(&self, stream: BoxStream) -> io::Result<BoxStream> {
        match tokio::time::timeout(HANDSHAKE_LIMIT, self.accept(stream)).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "i/o timeout")),
        }
    }
}

/// Whether a ClientHello offers no more than TLS 1.1. rustls refuses it, too, but for the lack of an
/// extension that came with TLS 1.2, and so with an alert that tells the client nothing.
fn is_outdated(start: [u8; HELLO_START]) -> bool {
    let (handshake, client_hello) = (22, 1);
    let version = u16::from_be_bytes([start[9], start[10]]);
    start[0] == handshake && start[5] == client_hello && version < 0x0303
}

/// Tells a client why it is refused. Whether it listens is its own affair.
async fn farewell(mut stream: BoxStream, words: &[u8]) {
    let work = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        // Closing before all is read would reset the connection, and might take the words away
        // from the client.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    let _ = tokio::time::timeout(FAREWELL_LIMIT, work).await;
}

struct TlsListener {
    ctx: Ctx,
    server: Server,
    inner: Box<dyn Listener>,
}

impl Listener for TlsListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let (stream, peer) = self.inner.accept().await?;
            let (ctx, server, from) = (self.ctx.clone(), self.server.clone(), peer.clone());
            let handshake = async move {
                let result = server.accept_in_time(stream).await;
                if let Err(error) = &result {
                    // The line of Go's HTTP server, as the classic manager writes it.
                    let text = format!("http: TLS handshake error from {from}: {error}");
                    ctx.log(Level::Warn, text);
                }
                result
            };
            Ok((Box::new(Opening::new(Box::pin(handshake))) as BoxStream, peer))
        })
    }

    fn local_addr(&self) -> Addr {
        self.inner.local_addr()
    }
}

/// Verifies clients as rustls does, but sends a client whose certificate is not meant for clients
/// the alert that Docker engines send: `bad certificate`, not `unsupported certificate`.
#[derive(Debug)]
struct LikeGo(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for LikeGo {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        use CertificateError::{InvalidPurpose, InvalidPurposeContext, NotValidForName};
        let result = self.0.verify_client_cert(end_entity, intermediates, now);
        result.map_err(|error| match error {
            // Of the errors with that alert, the one that means something else nowhere: clients
            // are not verified by name.
            Error::InvalidCertificate(InvalidPurpose | InvalidPurposeContext { .. }) => {
                Error::InvalidCertificate(NotValidForName)
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
