//! What an engine is told to be.

use std::time::Duration;

/// The machine, the version and the images of one engine.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Host name, as `/info` reports it.
    pub name: String,
    /// The host's IP address: published ports listen on it.
    pub address: String,
    /// Number of CPUs.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Engine labels, `key=value` each (what `dockerd --label` was given; nothing checks them).
    pub labels: Vec<String>,
    /// References of the images that are present from the start.
    pub images: Vec<String>,
    /// References that a pull finds. Empty: no registry is in reach and every pull fails.
    pub registry: Vec<String>,
    /// The engine's own ID; drawn if absent. Two engines may be given the same one: that is what a
    /// copied disk makes.
    pub id: Option<String>,
    /// Engine version, such as `20.10.24`.
    pub version: String,
    /// Highest API version.
    pub api: String,
    /// Lowest API version.
    pub min_api: String,
    /// First and last host port given to a publication that names none. Linux's default range of
    /// ephemeral ports, which is what an engine takes.
    pub random_ports: (u16, u16),
    /// How long operations take.
    pub timings: Timings,
}

impl Spec {
    /// An engine 20.10 of 2 CPUs and 4 GiB with `busybox` and `nginx`, and no registry in reach.
    #[must_use]
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
            cpus: 2,
            memory: 4 << 30,
            labels: Vec::new(),
            images: vec!["busybox".into(), "nginx".into()],
            registry: Vec::new(),
            id: None,
            version: "20.10.24".into(),
            api: "1.41".into(),
            min_api: "1.12".into(),
            random_ports: (32768, 60999),
            timings: Timings::default(),
        }
    }
}

/// How long each kind of operation takes before it is answered. The defaults are what an engine
/// 20.10 needed on a small machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Creating a container.
    pub create: Duration,
    /// Starting a container's process.
    pub start: Duration,
    /// Tearing a container down after its process ended.
    pub stop: Duration,
    /// Removing a container.
    pub remove: Duration,
    /// Inspecting one object.
    pub inspect: Duration,
    /// Listing objects, `/info`, `/version`.
    pub list: Duration,
    /// Pulling an image.
    pub pull: Duration,
    /// Everything else: pause, rename, top.
    pub other: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            create: ms(60),
            start: ms(250),
            stop: ms(100),
            remove: ms(20),
            inspect: ms(1),
            list: ms(2),
            pull: ms(3000),
            other: ms(20),
        }
    }
}

impl Timings {
    /// Everything happens at once.
    pub const INSTANT: Self = Self {
        create: Duration::ZERO,
        start: Duration::ZERO,
        stop: Duration::ZERO,
        remove: Duration::ZERO,
        inspect: Duration::ZERO,
        list: Duration::ZERO,
        pull: Duration::ZERO,
        other: Duration::ZERO,
    };
}
