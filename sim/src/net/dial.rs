//! Opening connections: attempts, their repetitions, the backlog.

use std::io::ErrorKind;
use std::task::Waker;

use super::conn::{Conn, End, Life, Payload, Side};
use super::core::{BACKLOG_MAX, ConnId, Core, Effects, Event, HostId, ListenerId, ScopeId, Target};

/// When the attempts to connect follow each other, counted from the first, and when the last one
/// has failed (Linux: six repetitions).
const SYN_AT_US: [u64; 8] =
    [0, 1_000_000, 3_000_000, 7_000_000, 15_000_000, 31_000_000, 63_000_000, 127_000_000];
/// The attempt at which an address that nobody answers for is unreachable (Linux: three look-ups
/// of a neighbour, a second apart).
const UNREACHABLE_AT: usize = 2;

/// How far an attempt to connect is.
pub(super) struct Dial {
    started_us: u64,
    attempt: usize,
    result: Option<Result<(), ErrorKind>>,
    waker: Option<Waker>,
}

impl Dial {
    /// The attempt has succeeded.
    pub(super) fn succeeded(&self) -> bool {
        self.result == Some(Ok(()))
    }
}

impl Core {
    /// Starts an attempt to connect; [`Core::poll_dial`] tells how it goes.
    pub(super) fn dial(
        &mut self,
        now_us: u64,
        (host, scope): (HostId, ScopeId),
        target: Target,
        fx: &mut Effects,
    ) -> ConnId {
        let to = match &target {
            Target::Tcp(address, _) => self.route(host, *address),
            Target::Unix(_) => Some(host),
        };
        // An address that nobody has draws as the host itself: it only needs some number.
        let peer = to.unwrap_or(host);
        let count = self.conn_counts.entry((host, peer)).or_default();
        let number = *count;
        *count += 1;
        let draws = self.stream(host, peer);
        let (client_port, server_port) = match &target {
            Target::Tcp(_, port) => (self.ephemeral_port(host), *port),
            Target::Unix(_) => (0, 0),
        };
        let id = self.next_conn;
        self.next_conn += 1;
        let client = End {
            host: Some(host),
            scope: Some(scope),
            held: true,
            life: Life::Open,
            ..End::default()
        };
        let server = End { host: to, ..End::default() };
        let dial = Some(Dial { started_us: now_us, attempt: 0, result: None, waker: None });
        let delay = self.delay((host, peer), &draws, [number, 0, 0], 1_000_000);
        self.conns.insert(
            id,
            Conn { client, server, target, client_port, server_port, draws, number, dial },
        );
        self.schedule(now_us + delay, Event::Syn(id), fx);
        id
    }

    /// The outcome of an attempt, once there is one.
    pub(super) fn poll_dial(&mut self, id: ConnId, waker: &Waker) -> Option<Result<(), ErrorKind>> {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Some(Err(ErrorKind::ConnectionAborted));
        };
        let Some(dial) = &mut conn.dial else { return Some(Ok(())) };
        match dial.result {
            None => {
                dial.waker = Some(waker.clone());
                None
            }
            Some(Ok(())) => {
                conn.dial = None;
                Some(Ok(()))
            }
            Some(Err(kind)) => {
                self.conns.remove(&id);
                Some(Err(kind))
            }
        }
    }

    pub(super) fn on_syn(&mut self, now_us: u64, id: ConnId, fx: &mut Effects) {
        let Some(conn) = self.conns.get(&id) else { return };
        let Some(dial) = &conn.dial else { return };
        let attempt = dial.attempt;
        let (from, to) = (conn.client.host.expect("a client has a host"), conn.server.host);
        if attempt + 1 == SYN_AT_US.len() {
            return self.finish_dial(id, Err(ErrorKind::TimedOut), fx);
        }
        let to = match to {
            Some(to) if self.hosts[to].up => to,
            _ if attempt >= UNREACHABLE_AT => {
                return self.finish_dial(id, Err(ErrorKind::HostUnreachable), fx);
            }
            _ => return self.dial_again(now_us, id, fx),
        };
        if !self.open(from, to) {
            return self.dial_again(now_us, id, fx);
        }
        let conn = &self.conns[&id];
        let refused = match self.listener_at(to, &conn.target) {
            None => true,
            Some(listener) if self.listeners[&listener].backlog.len() >= BACKLOG_MAX => {
                return self.dial_again(now_us, id, fx);
            }
            Some(_) => false,
        };
        let conn = self.conns.get_mut(&id).expect("it was there");
        if !refused {
            conn.server.life = Life::Opening;
        }
        let conn = &self.conns[&id];
        let packet = [conn.number, 1, attempt as u64];
        let delay = self.delay((to, from), &conn.draws, packet, 1_000_000);
        self.schedule(now_us + delay, Event::SynAck { conn: id, refused }, fx);
    }

    pub(super) fn on_syn_ack(&mut self, now_us: u64, id: ConnId, refused: bool, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Some((from, to)) = conn.path(Side::Client) else { return };
        if conn.dial.is_none() {
            return;
        }
        if !self.open(to, from) {
            return self.dial_again(now_us, id, fx);
        }
        if refused {
            return self.finish_dial(id, Err(ErrorKind::ConnectionRefused), fx);
        }
        self.send(now_us, id, Side::Client, Payload::Open, fx);
        self.finish_dial(id, Ok(()), fx);
    }

    fn dial_again(&mut self, now_us: u64, id: ConnId, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Some(dial) = &mut conn.dial else { return };
        dial.attempt += 1;
        let (attempt, started_us, number) = (dial.attempt, dial.started_us, conn.number);
        let (draws, from) = (conn.draws, conn.client.host.expect("a client has a host"));
        let to = conn.server.host.unwrap_or(from);
        let mut at_us = started_us + SYN_AT_US[attempt];
        // The last entry is when the attempt is given up: no packet travels.
        if attempt + 1 < SYN_AT_US.len() {
            at_us += self.delay((from, to), &draws, [number, 0, attempt as u64], 1_000_000);
        }
        self.schedule(at_us.max(now_us), Event::Syn(id), fx);
    }

    fn finish_dial(&mut self, id: ConnId, result: Result<(), ErrorKind>, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Some(dial) = &mut conn.dial else { return };
        dial.result = Some(result);
        fx.wake(&mut dial.waker);
    }

    /// The next connection of a listener, whose socket `scope` owns from now on, and the peer's
    /// address. `Ok(None)`: none yet; `Err`: the listener is gone.
    pub(super) fn accept(
        &mut self,
        id: ListenerId,
        scope: ScopeId,
        waker: &Waker,
    ) -> Result<Option<(ConnId, String)>, ErrorKind> {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return Err(ErrorKind::InvalidInput);
        };
        let Some(id) = listener.backlog.pop_front() else {
            listener.waker = Some(waker.clone());
            return Ok(None);
        };
        let conn = self.conns.get_mut(&id).expect("the backlog holds its connections");
        conn.server.scope = Some(scope);
        let client = conn.client.host.expect("a client has a host");
        let peer = match &conn.target {
            Target::Unix(_) => String::new(),
            Target::Tcp(ip, _) if ip.is_loopback() || ip.is_unspecified() => {
                format!("127.0.0.1:{}", conn.client_port)
            }
            Target::Tcp(..) => format!("{}:{}", self.hosts[client].address, conn.client_port),
        };
        Ok(Some((id, peer)))
    }

    /// The handshake is complete at the server's end.
    pub(super) fn on_open(&mut self, now_us: u64, id: ConnId, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Some(host) = conn.server.host else { return };
        if conn.server.life != Life::Opening {
            // The host that answered the attempt has lost its memory since.
            return self.send_reset(now_us, id, Side::Server, fx);
        }
        conn.server.life = Life::Open;
        let target = conn.target.clone();
        match self.listener_at(host, &target) {
            Some(listener) => {
                self.conns.get_mut(&id).expect("it was there").server.held = true;
                let state = self.listeners.get_mut(&listener).expect("its port is bound");
                state.backlog.push_back(id);
                fx.wake(&mut state.waker);
            }
            None => self.abort(now_us, id, Side::Server, fx),
        }
    }
}
