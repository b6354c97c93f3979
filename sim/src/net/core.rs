//! Hosts, links, ports and the heap of events.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use serde_json::Value;

use super::conn::{Conn, Side};
use crate::rng::Stream;

/// A host's index in [`Core::hosts`].
pub(crate) type HostId = usize;
/// A process (or the host itself) that owns sockets.
pub(crate) type ScopeId = u64;
/// A connection; never used twice.
pub(crate) type ConnId = u64;
/// A listening socket; never used twice.
pub(crate) type ListenerId = u64;

/// How many connections wait for `accept` before further attempts go unanswered; what tokio asks
/// the operating system for.
pub(super) const BACKLOG_MAX: usize = 1024;
/// The first wait before lost data is sent again, and the cap of its doubling (Linux).
pub(super) const RTO_MIN_US: u64 = 200_000;
/// The first port given to sockets that ask for none, and the last (Linux's default range).
const EPHEMERAL: (u16, u16) = (32_768, 60_999);

/// How one direction between two hosts behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The shortest one-way delay in microseconds.
    pub min_us: u64,
    /// The longest one-way delay in microseconds.
    pub max_us: u64,
    /// Lost segments per million. TCP repairs a loss at the price of its retransmission delay.
    pub loss_ppm: u32,
}

impl Link {
    /// A quiet local network.
    pub const LAN: Self = Self { min_us: 100, max_us: 400, loss_ppm: 0 };
    /// A host talking to itself.
    const LOOPBACK: Self = Self { min_us: 10, max_us: 30, loss_ppm: 0 };
}

/// What must be done once the core is unlocked again: waking a task may call back into it.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) wakes: Vec<Waker>,
    pub(crate) records: Vec<NetRecord>,
}

/// A record for the trace.
pub(crate) struct NetRecord {
    pub(crate) time_us: u64,
    pub(crate) host: String,
    pub(crate) kind: &'static str,
    pub(crate) fields: Value,
}

impl Effects {
    pub(super) fn wake(&mut self, waker: &mut Option<Waker>) {
        self.wakes.extend(waker.take());
    }
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A TCP port at an address.
    Tcp(Ipv4Addr, u16),
    /// A Unix socket of the same host.
    Unix(PathBuf),
}

/// One host as the network sees it.
pub(super) struct NetHost {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    pub(super) up: bool,
    ports: BTreeMap<Target, ListenerId>,
    next_port: u16,
}

pub(super) struct ListenerState {
    host: HostId,
    at: Target,
    scope: ScopeId,
    pub(super) backlog: VecDeque<ConnId>,
    pub(super) waker: Option<Waker>,
}

/// What happens later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A connection attempt reaches its target.
    Syn(ConnId),
    /// The answer to an attempt is back.
    SynAck { conn: ConnId, refused: bool },
    /// The first segment that `side` has under way is due.
    Deliver(ConnId, Side),
    /// A reset reaches `side`.
    Reset(ConnId, Side),
}

/// The network.
pub(crate) struct Core {
    seed: u64,
    pub(super) hosts: Vec<NetHost>,
    by_address: BTreeMap<Ipv4Addr, HostId>,
    cut: BTreeSet<(HostId, HostId)>,
    links: BTreeMap<(HostId, HostId), Link>,
    pub(super) default_link: Link,
    pub(super) conns: BTreeMap<ConnId, Conn>,
    pub(super) conn_counts: BTreeMap<(HostId, HostId), u64>,
    pub(super) next_conn: ConnId,
    pub(super) listeners: BTreeMap<ListenerId, ListenerState>,
    next_listener: ListenerId,
    heap: BinaryHeap<Reverse<(u64, u64, Event)>>,
    next_event: u64,
    /// When the pump will look next; `u64::MAX` when it waits to be woken.
    armed_us: u64,
    pump: Option<Waker>,
    /// Whether delivered segments are recorded.
    segments: Arc<AtomicBool>,
}

impl Core {
    pub(crate) fn new(seed: u64, segments: Arc<AtomicBool>) -> Self {
        Self {
            seed,
            hosts: Vec::new(),
            by_address: BTreeMap::new(),
            cut: BTreeSet::new(),
            links: BTreeMap::new(),
            default_link: Link::LAN,
            conns: BTreeMap::new(),
            conn_counts: BTreeMap::new(),
            next_conn: 0,
            listeners: BTreeMap::new(),
            next_listener: 0,
            heap: BinaryHeap::new(),
            next_event: 0,
            armed_us: u64::MAX,
            pump: None,
            segments,
        }
    }

    /// Adds a host that is up. Returns its index, or `None` when the address is taken.
    pub(crate) fn add_host(&mut self, name: &str, address: Ipv4Addr) -> Option<HostId> {
        let id = self.hosts.len();
        if self.by_address.contains_key(&address) {
            return None;
        }
        self.by_address.insert(address, id);
        self.hosts.push(NetHost {
            name: name.to_owned(),
            address,
            up: true,
            ports: BTreeMap::new(),
            next_port: EPHEMERAL.0,
        });
        Some(id)
    }

    pub(super) fn schedule(&mut self, at_us: u64, event: Event, fx: &mut Effects) {
        self.heap.push(Reverse((at_us, self.next_event, event)));
        self.next_event += 1;
        if at_us < self.armed_us {
            fx.wake(&mut self.pump);
        }
    }

    /// Applies every event due at `now_us` and returns when the next one is. `pump` is woken
    /// when an earlier one is added.
    pub(super) fn advance(&mut self, now_us: u64, pump: &Waker, fx: &mut Effects) -> Option<u64> {
        while let Some(Reverse((at_us, _, event))) = self.heap.peek().copied() {
            if at_us > now_us {
                break;
            }
            self.heap.pop();
            self.apply(at_us, event, fx);
        }
        let next = self.heap.peek().map(|Reverse((at_us, ..))| *at_us);
        self.armed_us = next.unwrap_or(u64::MAX);
        self.pump = Some(pump.clone());
        next
    }

    fn apply(&mut self, now_us: u64, event: Event, fx: &mut Effects) {
        match event {
            Event::Syn(conn) => self.on_syn(now_us, conn, fx),
            Event::SynAck { conn, refused } => self.on_syn_ack(now_us, conn, refused, fx),
            Event::Deliver(conn, side) => self.on_deliver(now_us, conn, side, fx),
            Event::Reset(conn, side) => self.on_reset(conn, side, fx),
        }
    }

    /// Whether a packet sent from `from` arrives at `to` now.
    pub(super) fn open(&self, from: HostId, to: HostId) -> bool {
        self.hosts[to].up && (from == to || !self.cut.contains(&(from, to)))
    }

    /// The draws of the connections from `from` to `to`.
    pub(super) fn stream(&self, from: HostId, to: HostId) -> Stream {
        Stream::new(self.seed, &["link", &self.hosts[from].name, &self.hosts[to].name])
    }

    /// The delay of one packet in microseconds, with the repairs of its losses: the first takes
    /// `rto_us`, each further one twice as long as the one before.
    pub(super) fn delay(
        &self,
        (from, to): (HostId, HostId),
        draws: &Stream,
        packet: [u64; 3],
        rto_us: u64,
    ) -> u64 {
        let link = if from == to {
            Link::LOOPBACK
        } else {
            *self.links.get(&(from, to)).unwrap_or(&self.default_link)
        };
        let [conn, purpose, number] = packet;
        let mut delay = draws.between([conn, purpose, number, 0], link.min_us, link.max_us);
        // Ten losses in a row are 200 s of silence: more would only be noise.
        for attempt in 0..10 {
            let drawn = draws.between([conn, purpose, number, 1 + attempt], 0, 999_999);
            if drawn >= u64::from(link.loss_ppm) {
                break;
            }
            delay += rto_us << attempt;
        }
        delay
    }

    /// The host that owns `address`, as seen from `from`.
    pub(super) fn route(&self, from: HostId, address: Ipv4Addr) -> Option<HostId> {
        // Linux takes 0.0.0.0 as a target for the host itself.
        if address.is_loopback() || address.is_unspecified() {
            return Some(from);
        }
        self.by_address.get(&address).copied()
    }

    /// The listener of `host` that takes connections to `target`.
    pub(super) fn listener_at(&self, host: HostId, target: &Target) -> Option<ListenerId> {
        let ports = &self.hosts[host].ports;
        ports.get(target).copied().or_else(|| match target {
            Target::Tcp(_, port) => ports.get(&Target::Tcp(Ipv4Addr::UNSPECIFIED, *port)).copied(),
            Target::Unix(_) => None,
        })
    }

    /// A free port outside the ones listened on, in turn.
    pub(super) fn ephemeral_port(&mut self, host: HostId) -> u16 {
        let host = &mut self.hosts[host];
        loop {
            let port = host.next_port;
            host.next_port = if port == EPHEMERAL.1 { EPHEMERAL.0 } else { port + 1 };
            let taken =
                host.ports.keys().any(|at| matches!(at, Target::Tcp(_, used) if *used == port));
            if !taken {
                return port;
            }
        }
    }

    /// Opens a listening socket. Port 0 takes a free one.
    pub(super) fn listen(
        &mut self,
        host: HostId,
        scope: ScopeId,
        at: Target,
    ) -> Result<(ListenerId, Target), ErrorKind> {
        let at = match at {
            Target::Tcp(ip, port) => {
                let own = ip == self.hosts[host].address;
                if !own && !ip.is_loopback() && !ip.is_unspecified() {
                    return Err(ErrorKind::AddrNotAvailable);
                }
                let port = if port == 0 { self.ephemeral_port(host) } else { port };
                let clash = self.hosts[host].ports.keys().any(|other| match other {
                    Target::Tcp(taken, other) => {
                        *other == port
                            && (*taken == ip || taken.is_unspecified() || ip.is_unspecified())
                    }
                    Target::Unix(_) => false,
                });
                if clash {
                    return Err(ErrorKind::AddrInUse);
                }
                Target::Tcp(ip, port)
            }
            // What an earlier process left is replaced, as `swarm::ctx::real` does.
            unix @ Target::Unix(_) => unix,
        };
        let id = self.next_listener;
        self.next_listener += 1;
        self.hosts[host].ports.insert(at.clone(), id);
        let state =
            ListenerState { host, at: at.clone(), scope, backlog: VecDeque::new(), waker: None };
        self.listeners.insert(id, state);
        Ok((id, at))
    }

    /// Closes a listening socket; connections nobody accepted are reset.
    pub(super) fn close_listener(&mut self, now_us: u64, id: ListenerId, fx: &mut Effects) {
        let Some(mut listener) = self.listeners.remove(&id) else { return };
        let ports = &mut self.hosts[listener.host].ports;
        if ports.get(&listener.at) == Some(&id) {
            ports.remove(&listener.at);
        }
        fx.wake(&mut listener.waker);
        for conn in listener.backlog {
            self.abort(now_us, conn, Side::Server, fx);
        }
    }

    /// Closes every socket of `scope` as the kernel does for a dead process.
    pub(crate) fn close_scope(&mut self, now_us: u64, scope: ScopeId, fx: &mut Effects) {
        let dead: Vec<ListenerId> =
            self.listeners.iter().filter(|(_, l)| l.scope == scope).map(|(id, _)| *id).collect();
        for id in dead {
            self.close_listener(now_us, id, fx);
        }
        for (conn, side) in self.sides(|side| side.scope == Some(scope) && side.held) {
            self.close(now_us, conn, side, fx);
        }
    }

    /// Takes a host off the network without a word to anyone.
    pub(crate) fn power_off(&mut self, host: HostId, fx: &mut Effects) {
        self.hosts[host].up = false;
        let gone: Vec<ListenerId> =
            self.listeners.iter().filter(|(_, l)| l.host == host).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(mut listener) = self.listeners.remove(&id) {
                fx.wake(&mut listener.waker);
            }
        }
        self.hosts[host].ports.clear();
        for (conn, side) in self.sides(|side| side.host == Some(host)) {
            self.vanish(conn, side, fx);
        }
    }

    /// Puts a host back on the network.
    pub(crate) fn power_on(&mut self, host: HostId) {
        self.hosts[host].up = true;
    }

    /// Stops (or lets through again) everything sent from `from` to `to`.
    pub(crate) fn set_cut(&mut self, from: HostId, to: HostId, cut: bool) {
        if cut {
            self.cut.insert((from, to));
        } else {
            self.cut.remove(&(from, to));
        }
    }

    /// Sets how segments from `from` to `to` travel from now on.
    pub(crate) fn set_link(&mut self, from: HostId, to: HostId, link: Link) {
        self.links.insert((from, to), link);
    }

    /// Sets how segments travel where no link was set.
    pub(crate) fn set_default_link(&mut self, link: Link) {
        self.default_link = link;
    }

    /// Resets every connection between `a` and `b`, at both ends at once. Returns how many.
    pub(crate) fn reset_between(&mut self, a: HostId, b: HostId, fx: &mut Effects) -> usize {
        let hit: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, c)| c.joins(a, b) && c.established())
            .map(|(id, _)| *id)
            .collect();
        for conn in &hit {
            self.break_end(*conn, Side::Client, fx);
            self.break_end(*conn, Side::Server, fx);
        }
        hit.len()
    }

    /// Whether delivered segments are recorded.
    pub(super) fn recording(&self) -> bool {
        self.segments.load(Ordering::Relaxed)
    }
}
