//! The store as a pure state machine: keys, locks, sessions, indexes. Time is passed in.
//!
//! Every write that a client asks for takes the next index, as an entry of Consul's log does, even
//! when it changes nothing. A blocking query compares indexes: that of a key is the one of its
//! last change; that of a prefix is the highest among its keys and what was deleted below it, or
//! that of the whole store when there is neither. What was deleted is remembered for ever (Consul:
//! fifteen minutes), so indexes never go back.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use super::session::{Behavior, LOCK_DELAY_MAX, Session, SessionRequest};

/// The index before the first write: a fresh server has some entries in its log already.
const FIRST_INDEX: u64 = 10;

/// A key with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The value, any bytes.
    pub value: Vec<u8>,
    /// A number that clients may use as they like.
    pub flags: u64,
    /// The session that holds the lock; empty for none.
    pub session: String,
    /// How often the lock was taken.
    pub lock_index: u64,
    /// The index of the creation.
    pub create_index: u64,
    /// The index of the last change.
    pub modify_index: u64,
}

/// A condition of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// None: last write wins.
    Always,
    /// The key's modify index is this one; 0 means that there is no such key.
    Index(u64),
    /// The session gets the lock, or has it.
    Acquire(String),
    /// The session has the lock; it is released by the write.
    Release(String),
}

/// The store.
#[derive(Clone, Debug)]
pub struct State {
    node: String,
    index: u64,
    /// The index of the last change of any key, and of any session; 0 before the first.
    keys_index: u64,
    sessions_index: u64,
    keys: BTreeMap<String, Entry>,
    /// Deleted keys and prefixes, with the index of the deletion.
    graves: BTreeMap<String, u64>,
    sessions: BTreeMap<String, Session>,
    /// Until when a key cannot be locked.
    lock_delays: BTreeMap<String, Duration>,
}

impl State {
    /// An empty store on a server of that name.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            index: FIRST_INDEX,
            keys_index: 0,
            sessions_index: 0,
            keys: BTreeMap::new(),
            graves: BTreeMap::new(),
            sessions: BTreeMap::new(),
            lock_delays: BTreeMap::new(),
        }
    }

    /// The server's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The index of the last write.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    fn next_index(&mut self) -> u64 {
        self.index += 1;
        self.index
    }

    /// A key, with the index for a blocking query on it.
    #[must_use]
    pub fn get(&self, key: &str) -> (u64, Option<&Entry>) {
        match self.keys.get(key) {
            Some(entry) => (entry.modify_index, Some(entry)),
            None => (self.keys_index, None),
        }
    }

    /// The keys that begin with `prefix`, in order, with the index for a blocking query on them.
    #[must_use]
    pub fn list<'a>(&'a self, prefix: &str) -> (u64, Vec<(&'a str, &'a Entry)>) {
        let found: Vec<(&str, &Entry)> = from(&self.keys, prefix).collect();
        let newest = found.iter().map(|(_, entry)| entry.modify_index).max();
        let buried = from(&self.graves, prefix).map(|(_, index)| *index).max();
        let index = match newest.max(buried) {
            Some(index) if !prefix.is_empty() => index,
            _ => self.keys_index,
        };
        (index, found)
    }

    /// The names of the keys that begin with `prefix`, each cut after the first `separator` beyond
    /// it and named once; no separator, no cut.
    #[must_use]
    pub fn names(&self, prefix: &str, separator: &str) -> (u64, Vec<String>) {
        let (index, found) = self.list(prefix);
        let mut names: Vec<String> = Vec::new();
        for (key, _) in found {
            let cut = match key[prefix.len()..].find(separator) {
                Some(at) if !separator.is_empty() => prefix.len() + at + separator.len(),
                _ => key.len(),
            };
            // Keys are sorted, so equal names follow each other.
            if names.last().is_none_or(|last| last != &key[..cut]) {
                names.push(key[..cut].to_owned());
            }
        }
        (index, names)
    }

    /// Writes a key. Returns whether the condition held.
    ///
    /// # Errors
    /// `missing session` and `invalid session "<id>"`, in Consul's words.
    pub fn put(
        &mut self,
        now: Duration,
        key: &str,
        value: Vec<u8>,
        flags: u64,
        condition: &Condition,
    ) -> Result<bool, String> {
        if let Condition::Acquire(_) = condition
            && self.lock_delays.get(key).is_some_and(|until| *until > now)
        {
            // Refused before it gets into the log: takes no index.
            return Ok(false);
        }
        let index = self.next_index();
        let old = self.keys.get(key);
        let mut new = Entry { value, flags, ..Entry::default() };
        match condition {
            Condition::Always => {}
            Condition::Index(wanted) => {
                if old.map_or(0, |old| old.modify_index) != *wanted {
                    return Ok(false);
                }
            }
            Condition::Acquire(session) => {
                self.check_session(session)?;
                new.lock_index = match old {
                    Some(old) if old.session == *session => old.lock_index,
                    Some(old) if !old.session.is_empty() => return Ok(false),
                    Some(old) => old.lock_index + 1,
                    None => 1,
                };
                new.session.clone_from(session);
            }
            Condition::Release(session) => {
                if session.is_empty() {
                    return Err("missing session".to_owned());
                }
                match old {
                    Some(old) if old.session == *session => new.lock_index = old.lock_index,
                    _ => return Ok(false),
                }
            }
        }
        if let Condition::Always | Condition::Index(_) = condition
            && let Some(old) = old
        {
            // A plain write leaves the lock with its holder. Consul forgets how often the lock was
            // taken (the field starts again at 0), and so do we.
            new.session.clone_from(&old.session);
        }
        self.set(index, key, new);
        Ok(true)
    }

    fn check_session(&self, session: &str) -> Result<(), String> {
        if session.is_empty() {
            return Err("missing session".to_owned());
        }
        if !self.sessions.contains_key(session) {
            return Err(format!("invalid session {session:?}"));
        }
        Ok(())
    }

    /// Stores an entry unless it changes nothing.
    fn set(&mut self, index: u64, key: &str, mut new: Entry) {
        new.create_index = index;
        new.modify_index = index;
        if let Some(old) = self.keys.get(key) {
            new.create_index = old.create_index;
            let same = Entry { modify_index: old.modify_index, ..new.clone() } == *old;
            if same {
                return;
            }
        }
        self.keys.insert(key.to_owned(), new);
        self.keys_index = index;
    }

    /// Deletes a key, if its modify index is `wanted` when that is given. Returns whether the key
    /// is gone.
    pub fn delete(&mut self, key: &str, wanted: Option<u64>) -> bool {
        let index = self.next_index();
        match self.keys.get(key) {
            None => true,
            Some(old) if wanted.is_some_and(|wanted| wanted != old.modify_index) => false,
            Some(_) => {
                self.bury(index, key);
                true
            }
        }
    }

    fn bury(&mut self, index: u64, key: &str) {
        self.keys.remove(key);
        self.graves.insert(key.to_owned(), index);
        self.keys_index = index;
    }

    /// Deletes every key that begins with `prefix`.
    pub fn delete_tree(&mut self, prefix: &str) {
        let index = self.next_index();
        let doomed: Vec<String> = from(&self.keys, prefix).map(|(key, _)| key.to_owned()).collect();
        if doomed.is_empty() {
            return;
        }
        for key in doomed {
            self.keys.remove(&key);
        }
        // One grave for all of them, as Consul digs it.
        if !prefix.is_empty() {
            self.graves.insert(prefix.to_owned(), index);
        }
        self.keys_index = index;
    }

    /// Creates a session. `id` must be new. The request was checked when it was decoded.
    pub fn create_session(&mut self, now: Duration, id: &str, mut request: SessionRequest) {
        let index = self.next_index();
        if request.node.is_empty() {
            request.node.clone_from(&self.node);
        }
        let ttl = request.ttl().ok().flatten();
        let mut session =
            Session { id: id.to_owned(), request, create_index: index, expires: None, ttl };
        session.renew(now);
        self.sessions.insert(id.to_owned(), session);
        self.sessions_index = index;
    }

    /// Starts the time to live of a session again.
    pub fn renew_session(&mut self, now: Duration, id: &str) -> Option<&Session> {
        let session = self.sessions.get_mut(id)?;
        session.renew(now);
        Some(session)
    }

    /// A session, with the index for a blocking query.
    #[must_use]
    pub fn session(&self, id: &str) -> (u64, Option<&Session>) {
        (self.sessions_index, self.sessions.get(id))
    }

    /// All sessions by identifier, with the index for a blocking query.
    #[must_use]
    pub fn sessions(&self) -> (u64, Vec<&Session>) {
        (self.sessions_index, self.sessions.values().collect())
    }

    /// Ends a session: its keys are released or deleted, and cannot be locked for a while.
    pub fn destroy_session(&mut self, now: Duration, id: &str) {
        let index = self.next_index();
        let Some(session) = self.sessions.remove(id) else { return };
        self.sessions_index = index;
        let delay = session.request.lock_delay.min(LOCK_DELAY_MAX);
        let held: Vec<(String, Entry)> = self
            .keys
            .iter()
            .filter(|(_, entry)| entry.session == id)
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        for (key, entry) in held {
            match session.request.behavior {
                Behavior::Release => {
                    self.set(index, &key, Entry { session: String::new(), ..entry });
                }
                Behavior::Delete => self.bury(index, &key),
            }
            if !delay.is_zero() {
                self.lock_delays.insert(key, now + delay);
            }
        }
    }

    /// When the next session ends by itself.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Duration> {
        self.sessions.values().filter_map(|session| session.expires).min()
    }

    /// Ends the sessions whose time is up. Returns how many there were.
    pub fn expire(&mut self, now: Duration) -> usize {
        let due: Vec<String> = self
            .sessions
            .values()
            .filter(|session| session.expires.is_some_and(|at| at <= now))
            .map(|session| session.id.clone())
            .collect();
        for id in &due {
            self.destroy_session(now, id);
        }
        self.lock_delays.retain(|_, until| *until > now);
        due.len()
    }

    /// The server starts again with what it had stored: every session gets its full time, and lock
    /// delays are forgotten, because a server keeps neither on disk.
    pub fn restart(&mut self, now: Duration) {
        self.lock_delays.clear();
        self.sessions.values_mut().for_each(|session| session.renew(now));
    }
}

/// The part of a sorted map whose keys begin with `prefix`.
fn from<'a, 'b, V>(
    map: &'a BTreeMap<String, V>,
    prefix: &'b str,
) -> impl Iterator<Item = (&'a str, &'a V)> + use<'a, 'b, V> {
    map.range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.as_str(), value))
}

#[cfg(test)]
mod tests;
