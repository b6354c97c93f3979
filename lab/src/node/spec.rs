//! What a node is told to be, as JSON on its command line.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// What a node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Its address on the cluster's network. It is given after the start, so the node waits for it.
    pub address: Ipv4Addr,
    /// The memory it claims to have, in bytes; the real one without.
    pub memory: Option<u64>,
    /// Files below [`IMAGES`] that its engine loads as soon as it answers, without `.tar`.
    pub images: Vec<String>,
    /// What runs on it.
    pub processes: Vec<Process>,
}

/// A program that runs on a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its name: [`ENGINE`], `agent` or `manager`.
    pub name: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// URLs that must answer before it starts, see [`Gate`].
    pub gates: Vec<Gate>,
    /// What is started instead while it has no certificate.
    pub uncertified: Option<Uncertified>,
}

/// What a process is without its certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Uncertified {
    /// The certificate's file: it has none while that is absent or empty.
    pub cert: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
}

/// An `http://ADDRESS:PORT/PATH` (or `https://…`) that must answer 200 with something else than the empty JSON
/// string, which is how Consul says that it has no leader yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The server.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// The path, with its leading slash.
    pub path: String,
    /// Whether it speaks TLS. Whose certificate it shows does not matter here.
    pub tls: bool,
}

/// The process that is the Docker engine: the one that images are loaded into.
pub const ENGINE: &str = "engine";

/// Where a node's own files are: this program, another manager, images.
pub const HOME: &str = "/lab";

/// Where a node finds images to load: `NAME.tar`, in the format of `docker save`.
pub const IMAGES: &str = "/lab/images";

/// The name of an image's file below [`IMAGES`].
#[must_use]
pub fn image_file(image: &str) -> String {
    image.chars().map(|c| if "/:@".contains(c) { '_' } else { c }).collect()
}
