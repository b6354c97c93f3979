//! One connection: opening, reading, writing, closing.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::task::{Poll, Waker};

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::core::{BACKLOG_MAX, ConnId, Core, Effects, Event, HostId, ListenerId, ScopeId, Target};
use crate::rng::Stream;

/// How many bytes may be under way or unread in one direction.
pub(super) const WINDOW: usize = 256 * 1024;
/// When the attempts to connect follow each other, counted from the first, and when the last one
/// has failed (Linux: six repetitions).
const SYN_AT_US: [u64; 8] =
    [0, 1_000_000, 3_000_000, 7_000_000, 15_000_000, 31_000_000, 63_000_000, 127_000_000];
/// The attempt at which an address that nobody answers for is unreachable (Linux: three look-ups
/// of a neighbour, a second apart).
const UNREACHABLE_AT: usize = 2;

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The end that connected.
    Client,
    /// The end that accepted.
    Server,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What a segment carries.
pub(super) enum Payload {
    /// The end of the handshake: the connection may be accepted.
    Open,
    /// Bytes.
    Data(Bytes),
    /// Nothing more will come.
    Fin,
}

/// A segment under way.
pub(super) struct Segment {
    pub(super) due_us: u64,
    pub(super) payload: Payload,
}

/// What the kernel of an end knows of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    /// Nothing.
    #[default]
    Closed,
    /// It answered an attempt and waits for the handshake to end.
    Opening,
    /// Segments are taken.
    Open,
    /// It was reset, timed out, or lost with its host: segments are answered by resets.
    Dead,
}

/// One end: its socket, and what it has under way to the other end.
#[derive(Default)]
pub(super) struct End {
    /// The host, once known: an attempt may go to an address that nobody has.
    pub(super) host: Option<HostId>,
    /// Who holds the socket; `None` while it waits to be accepted.
    pub(super) scope: Option<ScopeId>,
    /// Somebody holds the socket or may yet accept it.
    pub(super) held: bool,
    pub(super) life: Life,
    /// Reported once, by whichever of read and write comes first.
    pub(super) error: Option<ErrorKind>,
    pub(super) inbox: VecDeque<Bytes>,
    pub(super) inbox_len: usize,
    pub(super) fin_received: bool,
    pub(super) fin_sent: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// Segments under way, oldest first.
    pub(super) queue: VecDeque<Segment>,
    pub(super) queue_len: usize,
    /// Something was delivered whose acknowledgement could not come back.
    pub(super) unacked: bool,
    /// Bytes the other end has read without being able to say so.
    pub(super) credit: usize,
    /// How often in a row the oldest segment was sent again.
    pub(super) retries: u32,
    /// Whether an [`Event::Deliver`] for this end is on the heap.
    pub(super) scheduled: bool,
    pub(super) last_due_us: u64,
    pub(super) sent: u64,
}

/// How far an attempt to connect is.
pub(super) struct Dial {
    started_us: u64,
    attempt: usize,
    result: Option<Result<(), ErrorKind>>,
    waker: Option<Waker>,
}

/// A connection.
pub(super) struct Conn {
    pub(super) client: End,
    pub(super) server: End,
    pub(super) target: Target,
    pub(super) client_port: u16,
    pub(super) server_port: u16,
    /// The draws of its packets, and its number among the connections of the two hosts.
    pub(super) draws: Stream,
    pub(super) number: u64,
    dial: Option<Dial>,
}

impl Conn {
    pub(super) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// The end of `side` and the other one.
    pub(super) fn ends(&mut self, side: Side) -> (&mut End, &mut End) {
        match side {
            Side::Client => (&mut self.client, &mut self.server),
            Side::Server => (&mut self.server, &mut self.client),
        }
    }

    /// The hosts a packet of `side` travels between.
    pub(super) fn path(&self, side: Side) -> Option<(HostId, HostId)> {
        let (client, server) = (self.client.host?, self.server.host?);
        Some(if side == Side::Client { (client, server) } else { (server, client) })
    }

    /// The attempt to connect has succeeded.
    pub(super) fn established(&self) -> bool {
        self.dial.as_ref().is_none_or(|dial| dial.result == Some(Ok(())))
    }

    pub(super) fn joins(&self, a: HostId, b: HostId) -> bool {
        let ends = (self.client.host, self.server.host);
        ends == (Some(a), Some(b)) || ends == (Some(b), Some(a))
    }

    /// Bytes of `side`'s window in use.
    fn window_used(&self, side: Side) -> usize {
        let (from, to) = match side {
            Side::Client => (&self.client, &self.server),
            Side::Server => (&self.server, &self.client),
        };
        from.queue_len + from.credit + to.inbox_len
    }

    /// Nobody holds an end and nothing is under way.
    fn finished(&self) -> bool {
        let done = |end: &End| !end.held && end.queue.is_empty();
        self.dial.is_none() && done(&self.client) && done(&self.server)
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

    /// Fills `buf` with what has arrived; nothing added means the end.
    pub(super) fn read(
        &mut self,
        now_us: u64,
        (id, side): (ConnId, Side),
        buf: &mut ReadBuf<'_>,
        waker: &Waker,
        fx: &mut Effects,
    ) -> Poll<Result<(), ErrorKind>> {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Poll::Ready(Err(ErrorKind::NotConnected));
        };
        let end = conn.end(side);
        if !end.held {
            return Poll::Ready(Err(ErrorKind::NotConnected));
        }
        if end.inbox.is_empty() && buf.remaining() > 0 {
            // Linux's order: after a FIN the end is the end, whatever came later.
            if end.fin_received {
                return Poll::Ready(Ok(()));
            }
            if let Some(kind) = end.error.take() {
                return Poll::Ready(Err(kind));
            }
            if !end.alive() {
                return Poll::Ready(Ok(()));
            }
            end.reader = Some(waker.clone());
            return Poll::Pending;
        }
        let count = end.inbox_len.min(buf.remaining());
        while buf.remaining() > 0
            && let Some(front) = end.inbox.front_mut()
        {
            buf.put_slice(&front.split_to(buf.remaining().min(front.len())));
            if front.is_empty() {
                end.inbox.pop_front();
            }
        }
        end.inbox_len -= count;
        self.window_opened(now_us, id, side.other(), count, fx);
        Poll::Ready(Ok(()))
    }

    /// `sender`'s peer has read `count` bytes.
    fn window_opened(
        &mut self,
        now_us: u64,
        id: ConnId,
        sender: Side,
        count: usize,
        fx: &mut Effects,
    ) {
        let Some(conn) = self.conns.get(&id) else { return };
        let Some((from, to)) = conn.path(sender) else { return };
        let told = self.open(to, from);
        let end = self.conns.get_mut(&id).expect("it was there").end(sender);
        if told {
            end.credit = 0;
        } else if end.alive() {
            end.credit += count;
            if end.writer.is_some() {
                self.back_off(now_us, id, sender, fx);
            }
            return;
        }
        self.wake_writer(id, sender, fx);
    }

    /// Wakes a writer once a third of its window is free, as Linux does.
    pub(super) fn wake_writer(&mut self, id: ConnId, side: Side, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.window_used(side) <= WINDOW / 3 * 2 {
            fx.wake(&mut conn.end(side).writer);
        }
    }

    /// Takes up to a window of the `total` bytes that `copy` yields. `Ok(None)`: no room yet.
    pub(super) fn write(
        &mut self,
        now_us: u64,
        (id, side): (ConnId, Side),
        total: usize,
        waker: &Waker,
        copy: impl FnOnce(usize) -> Bytes,
        fx: &mut Effects,
    ) -> Result<Option<usize>, ErrorKind> {
        let Some(conn) = self.conns.get_mut(&id) else { return Err(ErrorKind::BrokenPipe) };
        let used = conn.window_used(side);
        let end = conn.end(side);
        if let Some(kind) = end.error.take() {
            return Err(kind);
        }
        if !end.held || !end.alive() || end.fin_sent {
            return Err(ErrorKind::BrokenPipe);
        }
        if total == 0 {
            return Ok(Some(0));
        }
        if used >= WINDOW {
            end.writer = Some(waker.clone());
            if end.credit > 0 {
                self.back_off(now_us, id, side, fx);
            }
            return Ok(None);
        }
        let bytes = copy(total.min(WINDOW - used));
        let count = bytes.len();
        self.send(now_us, id, side, Payload::Data(bytes), fx);
        Ok(Some(count))
    }

    /// Ends the direction from `side` after what was written.
    pub(super) fn shut(&mut self, now_us: u64, id: ConnId, side: Side, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let end = conn.end(side);
        if end.alive() && !end.fin_sent {
            end.fin_sent = true;
            self.send(now_us, id, side, Payload::Fin, fx);
        }
    }

    /// Closes the socket of `side`: with a reset when something was left unread, else after what
    /// was written. An attempt that is still under way is forgotten.
    pub(super) fn close(&mut self, now_us: u64, id: ConnId, side: Side, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !conn.established() {
            self.conns.remove(&id);
            return;
        }
        conn.dial = None;
        let end = conn.end(side);
        if !end.held {
            return;
        }
        if end.alive() && end.inbox_len > 0 {
            return self.abort(now_us, id, side, fx);
        }
        end.release();
        self.shut(now_us, id, side, fx);
        self.forget_if_finished(id);
    }

    /// Drops the socket of `side` and tells the other end by a reset.
    pub(super) fn abort(&mut self, now_us: u64, id: ConnId, side: Side, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let end = conn.end(side);
        end.release();
        end.die();
        self.send_reset(now_us, id, side, fx);
        self.forget_if_finished(id);
    }

    /// The socket of `side` is gone with its host; nobody is told.
    pub(super) fn vanish(&mut self, id: ConnId, side: Side, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let end = conn.end(side);
        fx.wake(&mut end.reader);
        fx.wake(&mut end.writer);
        end.release();
        end.die();
        if side == Side::Client {
            if !conn.established() {
                self.conns.remove(&id);
                return;
            }
            conn.dial = None;
        }
        self.forget_if_finished(id);
    }

    pub(super) fn forget_if_finished(&mut self, id: ConnId) {
        if self.conns.get(&id).is_some_and(Conn::finished) {
            self.conns.remove(&id);
        }
    }

    /// The connection ends that `wanted` picks.
    pub(super) fn sides(&self, wanted: impl Fn(&End) -> bool) -> Vec<(ConnId, Side)> {
        let mut found = Vec::new();
        for (id, conn) in &self.conns {
            if wanted(&conn.client) {
                found.push((*id, Side::Client));
            }
            if wanted(&conn.server) {
                found.push((*id, Side::Server));
            }
        }
        found
    }
}

impl End {
    pub(super) fn alive(&self) -> bool {
        self.life == Life::Open
    }

    /// Nobody holds the socket any more.
    pub(super) fn release(&mut self) {
        self.held = false;
        self.reader = None;
        self.writer = None;
        self.inbox.clear();
        self.inbox_len = 0;
    }

    /// The kernel forgets the connection. What is on the wire may still arrive, but what was
    /// waiting to be sent again will not be.
    pub(super) fn die(&mut self) {
        if self.life != Life::Closed {
            self.life = Life::Dead;
        }
        self.unacked = false;
        self.credit = 0;
        if self.retries > 0 {
            self.queue.clear();
            self.queue_len = 0;
        }
    }
}
