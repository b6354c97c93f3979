//! The side that connects.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::ctx::{BoxStream, Ctx};

use super::stream::Worded;
use super::{ALPN, Authorities, Identity, Refused, Wall};

/// How connections to TLS servers are secured. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<ClientConfig>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tls::Client")
    }
}

impl Client {
    /// A client that offers `identity`, if it has one, to servers that ask for it, and connects
    /// only to servers that `authorities` have signed; without authorities, to any server.
    #[must_use]
    pub fn new(ctx: &Ctx, identity: Option<&Identity>, authorities: Option<&Authorities>) -> Self {
        let provider = Arc::new(ctx.rng.crypto());
        let verifier: Arc<dyn ServerCertVerifier> = match authorities {
            Some(authorities) => {
                let roots = Arc::clone(&authorities.0);
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .expect("authorities hold a certificate, and no revocation list is asked for")
            }
            None => Arc::new(Anybody(Arc::clone(&provider))),
        };
        let wall = Arc::new(Wall(Arc::clone(&ctx.clock)));
        let builder = ClientConfig::builder_with_details(provider, wall)
            .with_safe_default_protocol_versions()
            .expect("the provider serves TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            Some(identity) => {
                let resolver = SingleCertAndKey::from(Arc::clone(&identity.0));
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self(Arc::new(config))
    }

    /// Secures `stream`, whose other end must be `host` (a name or an IP address; of a Unix
    /// socket, which has neither, it must be `localhost`).
    ///
    /// There is no timeout here. In TLS 1.3 a server looks at the client's certificate only after
    /// the client is done: its refusal comes as an error of the first read.
    ///
    /// # Errors
    /// A [`Refused`] inside when the handshake failed, else what the stream says.
    pub async fn connect(&self, host: &str, stream: BoxStream) -> io::Result<BoxStream> {
        let host = if host.is_empty() { "localhost" } else { host };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Refused::new(format!("tls: invalid server name {host:?}")))?;
        let handshake = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream);
        match handshake.await {
            Ok(stream) => Ok(Box::new(Worded::new(stream))),
            Err(error) => Err(Refused::handshake(error)),
        }
    }
}

/// Takes any server for the right one, as long as it holds the key of the certificate it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
