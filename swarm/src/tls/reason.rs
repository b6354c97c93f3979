//! Why a connection was refused, in the words of Go's `crypto/tls` and `crypto/x509`: those that
//! every message of Docker's own tools is made of, and that people search for.

use std::fmt;
use std::io;

use jiff::Timestamp;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// One end did not accept the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(io::ErrorKind::InvalidData, refused)
    }
}

impl Refused {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The error of a handshake, in words if TLS was the reason.
    pub(super) fn handshake(error: io::Error) -> io::Error {
        match error.kind() {
            // The peer hung up in the middle of it.
            io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::UnexpectedEof, "EOF"),
            _ => Self::worded(error),
        }
    }

    /// The error of a stream, in words if TLS was the reason.
    pub(super) fn worded(error: io::Error) -> io::Error {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(tls) => Self(words(tls)).into(),
            None => error,
        }
    }
}

/// The refusal behind an error, if that is what it is.
pub(crate) fn refusal(error: &io::Error) -> Option<&Refused> {
    error.get_ref()?.downcast_ref()
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => format!("x509: {}", certificate(why)),
        Error::AlertReceived(alert) => match alert_text(*alert) {
            Some(text) => format!("remote error: tls: {text}"),
            None => format!("remote error: tls: alert({})", u8::from(*alert)),
        },
        Error::InvalidMessage(_) => {
            "tls: first record does not look like a TLS handshake".to_owned()
        }
        Error::NoCertificatesPresented => "tls: client didn't provide a certificate".to_owned(),
        Error::PeerIncompatible(why) => format!("tls: {}", incompatible(why)),
        other => format!("tls: {other}"),
    }
}

fn incompatible(why: &PeerIncompatible) -> String {
    use PeerIncompatible::{
        ServerDoesNotSupportTls12Or13, ServerTlsVersionIsDisabledByOurConfig,
        SupportedVersionsExtensionRequired, Tls12NotOffered, Tls12NotOfferedOrEnabled,
    };
    match why {
        ServerDoesNotSupportTls12Or13 | ServerTlsVersionIsDisabledByOurConfig => {
            "server selected unsupported protocol version".to_owned()
        }
        Tls12NotOffered | Tls12NotOfferedOrEnabled | SupportedVersionsExtensionRequired => {
            "client offered only unsupported versions".to_owned()
        }
        other => Error::PeerIncompatible(other.clone()).to_string(),
    }
}

fn certificate(why: &CertificateError) -> String {
    use CertificateError as E;
    const DATE: &str = "certificate has expired or is not yet valid";
    match why {
        E::ExpiredContext { time, not_after } => {
            format!("{DATE}: current time {} is after {}", date(*time), date(*not_after))
        }
        E::NotValidYetContext { time, not_before } => {
            format!("{DATE}: current time {} is before {}", date(*time), date(*not_before))
        }
        E::Expired | E::NotValidYet => DATE.to_owned(),
        // A signature that does not fit is that of another authority with the same name.
        E::UnknownIssuer | E::BadSignature => "certificate signed by unknown authority".to_owned(),
        E::NotValidForNameContext { expected, presented } => wrong_name(expected, presented),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } | E::NotValidForName => {
            "certificate specifies an incompatible key usage".to_owned()
        }
        E::BadEncoding => "malformed certificate".to_owned(),
        other => other.to_string(),
    }
}

/// rustls looks at the certificate's alternative names alone, as Go does; a common name does not
/// count.
fn wrong_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let host = expected.to_str();
    if let ServerName::IpAddress(_) = expected {
        let ips = of_kind(presented, "IpAddress");
        return match ips.is_empty() {
            true => format!(
                "cannot validate certificate for {host} because it doesn't contain any IP SANs"
            ),
            false => format!("certificate is valid for {}, not {host}", ips.join(", ")),
        };
    }
    let names = of_kind(presented, "DnsName");
    match names.is_empty() {
        true => {
            format!("certificate is not valid for any names, but wanted to match {host}")
        }
        false => format!("certificate is valid for {}, not {host}", names.join(", ")),
    }
}

/// The names of one kind, out of a list such as `DnsName("a")`, `IpAddress(10.0.0.1)`.
fn of_kind<'p>(presented: &'p [String], kind: &str) -> Vec<&'p str> {
    let inside = |name: &'p String| {
        let name = name.strip_prefix(kind)?.strip_prefix('(')?.strip_suffix(')')?;
        Some(name.trim_matches('"'))
    };
    presented.iter().filter_map(inside).collect()
}

/// A date as Go prints it in such errors: RFC 3339, UTC, whole seconds.
fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Go's names of the alerts.
fn alert_text(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as A;
    Some(match alert {
        A::CloseNotify => "close notify",
        A::UnexpectedMessage => "unexpected message",
        A::BadRecordMac => "bad record MAC",
        A::DecryptionFailed => "decryption failed",
        A::RecordOverflow => "record overflow",
        A::DecompressionFailure => "decompression failure",
        A::HandshakeFailure => "handshake failure",
        A::BadCertificate => "bad certificate",
        A::UnsupportedCertificate => "unsupported certificate",
        A::CertificateRevoked => "revoked certificate",
        A::CertificateExpired => "expired certificate",
        A::CertificateUnknown => "unknown certificate",
        A::IllegalParameter => "illegal parameter",
        A::UnknownCA => "unknown certificate authority",
        A::AccessDenied => "access denied",
        A::DecodeError => "error decoding message",
        A::DecryptError => "error decrypting message",
        A::ExportRestriction => "export restriction",
        A::ProtocolVersion => "protocol version not supported",
        A::InsufficientSecurity => "insufficient security level",
        A::InternalError => "internal error",
        A::InappropriateFallback => "inappropriate fallback",
        A::UserCanceled => "user canceled",
        A::NoRenegotiation => "no renegotiation",
        A::MissingExtension => "missing extension",
        A::UnsupportedExtension => "unsupported extension",
        A::CertificateUnobtainable => "certificate unobtainable",
        A::UnrecognisedName => "unrecognized name",
        A::BadCertificateStatusResponse => "bad certificate status response",
        A::BadCertificateHashValue => "bad certificate hash value",
        A::UnknownPSKIdentity => "unknown PSK identity",
        A::CertificateRequired => "certificate required",
        A::NoApplicationProtocol => "no application protocol",
        _ => return None,
    })
}
