//! Segments under way: delivery, loss, retransmission, resets.

use std::io::ErrorKind;

use serde_json::{Value, json};

use super::conn::{Payload, Segment, Side};
use super::core::{ConnId, Core, Effects, Event, NetRecord, RTO_MIN_US};
use crate::rng::siphash24;

/// The longest wait between two tries to send the same data (Linux).
const RTO_MAX_US: u64 = 120_000_000;
/// How often the same data is sent again before the connection is given up (Linux:
/// `tcp_retries2`), a quarter of an hour.
const RETRIES_MAX: u32 = 15;

impl Core {
    /// Puts a segment of `side` onto the wire, behind those already there.
    pub(super) fn send(
        &mut self,
        now_us: u64,
        id: ConnId,
        side: Side,
        payload: Payload,
        fx: &mut Effects,
    ) {
        let Some(arrival_us) = self.arrival(now_us, id, side) else { return };
        let conn = self.conns.get_mut(&id).expect("it has an arrival");
        let end = conn.end(side);
        end.last_due_us = arrival_us;
        if let Payload::Data(bytes) = &payload {
            end.queue_len += bytes.len();
        }
        end.queue.push_back(Segment { due_us: arrival_us, payload });
        if !end.scheduled {
            end.scheduled = true;
            self.schedule(arrival_us, Event::Deliver(id, side), fx);
        }
    }

    /// When a packet sent now arrives: never before an earlier one.
    fn arrival(&mut self, now_us: u64, id: ConnId, side: Side) -> Option<u64> {
        let conn = self.conns.get_mut(&id)?;
        let path = conn.path(side)?;
        let (draws, number) = (conn.draws, conn.number);
        let end = conn.end(side);
        end.sent += 1;
        let (sent, last_due_us) = (end.sent, end.last_due_us);
        let purpose = 2 + u64::from(side == Side::Server);
        let delay = self.delay(path, &draws, [number, purpose, sent], RTO_MIN_US);
        Some(last_due_us.max(now_us + delay))
    }

    /// The oldest segment of `side` is due, or due again.
    pub(super) fn on_deliver(&mut self, now_us: u64, id: ConnId, side: Side, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Some((from, to)) = conn.path(side) else { return };
        let end = conn.end(side);
        end.scheduled = false;
        // Asking for window is repeated for ever, data is not.
        if end.retries > RETRIES_MAX && (end.unacked || !end.queue.is_empty()) {
            return self.give_up(id, side, fx);
        }
        if !self.open(from, to) {
            return self.lost(now_us, id, side, fx);
        }
        let acknowledged = self.open(to, from);
        while let Some(conn) = self.conns.get_mut(&id) {
            let end = conn.end(side);
            if end.queue.front().is_none_or(|segment| segment.due_us > now_us) {
                break;
            }
            let segment = end.queue.pop_front().expect("the queue has a front");
            if let Payload::Data(bytes) = &segment.payload {
                end.queue_len -= bytes.len();
            }
            end.unacked |= !acknowledged && end.alive();
            self.arrive(now_us, id, side, segment.payload, fx);
        }
        self.after_delivery(now_us, id, side, acknowledged, fx);
        self.forget_if_finished(id);
    }

    /// What follows a delivery: the sender learns of it or tries again, and the next segment is
    /// scheduled.
    fn after_delivery(
        &mut self,
        now_us: u64,
        id: ConnId,
        side: Side,
        acknowledged: bool,
        fx: &mut Effects,
    ) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let end = conn.end(side);
        if acknowledged {
            end.retries = 0;
            end.unacked = false;
            end.credit = 0;
            self.wake_writer(id, side, fx);
        } else if end.unacked || end.credit > 0 {
            return self.back_off(now_us, id, side, fx);
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let end = conn.end(side);
        if let Some(next) = end.queue.front().map(|segment| segment.due_us)
            && !end.scheduled
        {
            end.scheduled = true;
            self.schedule(next, Event::Deliver(id, side), fx);
        }
    }

    /// The way is cut or the other host silent.
    fn lost(&mut self, now_us: u64, id: ConnId, side: Side, fx: &mut Effects) {
        let conn = self.conns.get_mut(&id).expect("the caller has it");
        let end = conn.end(side);
        if end.alive() {
            return self.back_off(now_us, id, side, fx);
        }
        // Nobody is left to send it again.
        end.queue.clear();
        end.queue_len = 0;
        self.forget_if_finished(id);
    }

    /// Schedules the next try of `side`.
    pub(super) fn back_off(&mut self, now_us: u64, id: ConnId, side: Side, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let end = conn.end(side);
        if end.scheduled {
            return;
        }
        if end.queue.is_empty() && !end.unacked && end.credit == 0 {
            end.retries = 0;
            return;
        }
        let rto_us = (RTO_MIN_US << end.retries.min(16)).min(RTO_MAX_US);
        end.retries += 1;
        end.scheduled = true;
        self.schedule(now_us + rto_us, Event::Deliver(id, side), fx);
    }

    /// The last try of `side` stayed without an answer.
    fn give_up(&mut self, id: ConnId, side: Side, fx: &mut Effects) {
        let end = self.conns.get_mut(&id).expect("the caller has it").end(side);
        end.error = Some(ErrorKind::TimedOut);
        end.die();
        fx.wake(&mut end.reader);
        fx.wake(&mut end.writer);
        self.forget_if_finished(id);
    }

    /// A segment of `side` reaches the other end.
    fn arrive(&mut self, now_us: u64, id: ConnId, side: Side, payload: Payload, fx: &mut Effects) {
        if self.recording() {
            self.record(now_us, id, side, &payload, fx);
        }
        let conn = self.conns.get_mut(&id).expect("the caller has it");
        let (sender, receiver) = conn.ends(side);
        if let Payload::Open = payload {
            // A sender that died since leaves a connection to accept, which then reads the reset.
            return self.on_open(now_us, id, fx);
        }
        if !receiver.alive() {
            // No such connection here (any more): a reset, unless the sender is gone as well.
            if sender.alive() {
                self.send_reset(now_us, id, side.other(), fx);
            }
            return;
        }
        match payload {
            Payload::Data(_) if !receiver.held => {
                receiver.die();
                self.send_reset(now_us, id, side.other(), fx);
            }
            Payload::Data(bytes) => {
                receiver.inbox_len += bytes.len();
                receiver.inbox.push_back(bytes);
                fx.wake(&mut receiver.reader);
            }
            Payload::Fin => {
                receiver.fin_received = true;
                fx.wake(&mut receiver.reader);
            }
            Payload::Open => {}
        }
    }

    /// Records a delivery.
    fn record(&self, now_us: u64, id: ConnId, side: Side, payload: &Payload, fx: &mut Effects) {
        let conn = &self.conns[&id];
        let (from, to) = conn.path(side).expect("a segment has a path");
        fx.records.push(NetRecord {
            time_us: now_us,
            host: self.hosts[to].name.clone(),
            kind: "segment.delivered",
            fields: json!({
                "from": self.hosts[from].name,
                "ports": [conn.client_port, conn.server_port],
                "what": describe(payload),
            }),
        });
    }

    /// Sends a reset from `side` to the other end. It is not repeated when it is lost.
    pub(super) fn send_reset(&mut self, now_us: u64, id: ConnId, side: Side, fx: &mut Effects) {
        if let Some(arrival_us) = self.arrival(now_us, id, side) {
            self.schedule(arrival_us, Event::Reset(id, side.other()), fx);
        }
    }

    /// A reset reaches `side`.
    pub(super) fn on_reset(&mut self, id: ConnId, side: Side, fx: &mut Effects) {
        let Some(conn) = self.conns.get(&id) else { return };
        let Some((from, to)) = conn.path(side.other()) else { return };
        if self.open(from, to) {
            self.break_end(id, side, fx);
        }
    }

    /// The connection of `side` is broken, as if by a reset.
    pub(super) fn break_end(&mut self, id: ConnId, side: Side, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let end = conn.end(side);
        if !end.alive() {
            return;
        }
        // Linux: a socket that had seen the end already reports a broken pipe.
        let kind =
            if end.fin_received { ErrorKind::BrokenPipe } else { ErrorKind::ConnectionReset };
        end.error = Some(kind);
        end.die();
        end.queue.clear();
        end.queue_len = 0;
        fx.wake(&mut end.reader);
        fx.wake(&mut end.writer);
        self.forget_if_finished(id);
    }
}

/// A segment in a trace: its length and a hash of its bytes.
fn describe(payload: &Payload) -> Value {
    match payload {
        Payload::Open => json!("open"),
        Payload::Fin => json!("fin"),
        Payload::Data(bytes) => {
            json!({"length": bytes.len(), "hash": format!("{:016x}", siphash24([0, 0], bytes))})
        }
    }
}
