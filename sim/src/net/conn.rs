//! One connection: its two ends, reading, writing, closing.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::task::{Poll, Waker};

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::core::{ConnId, Core, Effects, HostId, ScopeId, Target};
use super::dial::Dial;
use crate::rng::Stream;

/// How many bytes may be under way or unread in one direction.
pub(super) const WINDOW: usize = 256 * 1024;
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
    /// Whether a delivery for this end is on the heap.
    pub(super) scheduled: bool,
    pub(super) last_due_us: u64,
    pub(super) sent: u64,
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
    pub(super) dial: Option<Dial>,
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
        self.dial.as_ref().is_none_or(Dial::succeeded)
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
