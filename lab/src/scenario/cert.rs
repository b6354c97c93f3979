//! Certificates: who holds them, and what may be wrong with them.

use super::record::choice;

choice! {
    /// What is wrong with a certificate, if anything.
    pub enum CertKind: "a kind of certificate" {
        /// Nothing: it gets its holder in.
        Good = "good",
        /// It names no address and no host.
        NoSan = "no-san",
        /// It names another address and another host.
        WrongSan = "wrong-san",
        /// It was valid until a year ago.
        Expired = "expired",
        /// It is valid in a year.
        NotYetValid = "not-yet-valid",
        /// An authority that nobody trusts has signed it.
        OtherCa = "other-ca",
        /// It is for servers only, though its holder also connects to others.
        NoClientAuth = "no-client-auth",
        /// There is none: the server speaks plain HTTP where TLS is expected.
        Plain = "plain",
    }
}

choice! {
    /// Whose certificate it is, where a host has more than one.
    pub enum Holder: "a holder" {
        /// The Docker engine.
        Engine = "engine",
        /// The manager.
        Manager = "manager",
    }
}

choice! {
    /// How somebody who does not get in tries to.
    pub enum Guise: "a guise" {
        /// With a good certificate: gets in.
        Client = "client",
        /// In plain HTTP, though the server speaks TLS.
        Http = "http",
        /// Without a certificate.
        NoCertificate = "no-certificate",
        /// With a certificate for servers only.
        NoClientAuth = "no-client-auth",
        /// With a certificate that was valid until a year ago.
        Expired = "expired",
        /// With a certificate that is valid in a year.
        NotYetValid = "not-yet-valid",
        /// With a certificate of an authority that nobody trusts.
        OtherCa = "other-ca",
        /// With no newer version of TLS than 1.1.
        OldTls = "tls-1.1",
    }
}
