//! What happens to a container after its start: signals, ends, restarts, removal.

use std::time::Duration;

use super::container::{Container, LogLine, Status};
use super::program::Stream;
use super::refusal::Refusal;
use super::{Effect, Moment, REMEMBERED, State, signal};

/// The first wait before an automatic restart; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait before an automatic restart.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// A run of this many seconds starts the waits anew.
const GOOD_RUN: i64 = 10;

impl State {
    /// Sends a signal to a container's process.
    ///
    /// # Errors
    /// 409 `Container <id> is not running`.
    pub(in crate::engine) fn signal(
        &mut self,
        moment: &Moment<'_>,
        id: &str,
        number: u8,
    ) -> Result<(), Refusal> {
        let container = self.by_id(id)?;
        if !container.running() {
            return Err(not_running(id));
        }
        // With a stop signal of its own, only that one and KILL are a wish that it should end;
        // without one, every signal is. The engine's rule, quirk included.
        let configured = container.configured_stop_signal();
        let ends = number == signal::KILL || configured.is_none_or(|stop| stop == number);
        container.cancelled |= ends;
        container.manually_stopped = true;
        if container.status == Status::Restarting {
            if ends {
                self.give_up_restart(moment, id);
            }
            return Ok(());
        }
        let paused = container.status == Status::Paused;
        self.emit_container(moment, id, "kill", &[("signal", &number.to_string())]);
        if paused && ends {
            self.thaw(moment, id);
        } else if paused {
            self.by_id(id)?.pending.push(number);
            return Ok(());
        }
        self.deliver(moment, id, number);
        Ok(())
    }

    fn deliver(&mut self, moment: &Moment<'_>, id: &str, number: u8) {
        let Some(container) = self.containers.get(id) else {
            return;
        };
        let init = container.init();
        let verdict = container.program.as_ref().and_then(|p| p.on_signal(number, init));
        if let Some(code) = verdict {
            self.exited(moment, id, container.run, code);
        }
    }

    /// The process of run `run` ended with `code`. Nothing, if that run is over already.
    pub(in crate::engine) fn exited(&mut self, moment: &Moment<'_>, id: &str, run: u64, code: i64) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let alive = matches!(container.status, Status::Running | Status::Paused);
        if container.run != run || !alive {
            return;
        }
        container.finished = Some(moment.now);
        container.exit_code = code;
        container.pid = 0;
        container.exits += 1;
        let again = restart_delay(container, moment);
        container.status = match again {
            Some(_) => Status::Restarting,
            None => Status::Exited,
        };
        let removed = again.is_none() && container.auto_remove() && !container.held;
        self.effects.push(Effect::Halt { id: id.to_owned() });
        if let Some(delay) = again {
            container.restart_count += 1;
            container.backoff = delay;
            self.effects.push(Effect::RestartAfter { id: id.to_owned(), run, delay });
        }
        self.emit_container(moment, id, "die", &[("exitCode", &code.to_string())]);
        self.emit_network(moment, id, "disconnect");
        self.disconnect(id);
        if removed {
            self.destroy(moment, id, true);
        }
    }

    /// A container that waits for its restart is told not to.
    fn give_up_restart(&mut self, moment: &Moment<'_>, id: &str) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        container.status = Status::Exited;
        container.exits += 1;
        if container.auto_remove() {
            self.destroy(moment, id, true);
        }
    }

    /// Whether this container still waits for the restart that followed run `run`.
    pub(in crate::engine) fn awaits_restart(&self, id: &str, run: u64) -> bool {
        let container = self.containers.get(id);
        container.is_some_and(|c| c.run == run && c.status == Status::Restarting && !c.starting)
    }

    /// The process of run `run` wrote a line.
    pub(in crate::engine) fn printed(
        &mut self,
        moment: &Moment<'_>,
        id: &str,
        run: u64,
        stream: Stream,
        text: &str,
    ) {
        if let Some(container) = self.containers.get_mut(id)
            && container.run == run
        {
            let text = text.to_owned();
            container.logs.push(LogLine { time: moment.now, stream, text });
        }
    }

    /// Freezes a container.
    ///
    /// # Errors
    /// 409 when it does not run, is paused already, or restarts.
    pub(in crate::engine) fn pause(
        &mut self,
        moment: &Moment<'_>,
        id: &str,
    ) -> Result<(), Refusal> {
        let container = self.by_id(id)?;
        match container.status {
            Status::Running => {}
            Status::Paused => {
                return Err(Refusal::conflict(format!("Container {id} is already paused")));
            }
            Status::Restarting => {
                return Err(Refusal::conflict(format!(
                    "Container {id} is restarting, wait until the container is running"
                )));
            }
            Status::Created | Status::Exited => return Err(not_running(id)),
        }
        container.status = Status::Paused;
        self.emit_container(moment, id, "pause", &[]);
        Ok(())
    }

    /// Lets a frozen container go on.
    ///
    /// # Errors
    /// 500 `Container <id> is not paused`.
    pub(in crate::engine) fn unpause(
        &mut self,
        moment: &Moment<'_>,
        id: &str,
    ) -> Result<(), Refusal> {
        if self.by_id(id)?.status != Status::Paused {
            return Err(Refusal::server(format!("Container {id} is not paused")));
        }
        self.thaw(moment, id);
        Ok(())
    }

    fn thaw(&mut self, moment: &Moment<'_>, id: &str) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        container.status = Status::Running;
        let pending = std::mem::take(&mut container.pending);
        self.emit_container(moment, id, "unpause", &[]);
        for number in pending {
            self.deliver(moment, id, number);
        }
    }

    /// A restart by hand begins or ends: until it has ended the container is not removed.
    pub(in crate::engine) fn hold(&mut self, id: &str, held: bool) {
        if let Some(container) = self.containers.get_mut(id) {
            container.held = held;
        }
    }

    /// Tells of something that changed nothing: `stop`, `restart`, `top`.
    pub(in crate::engine) fn note(&mut self, moment: &Moment<'_>, id: &str, action: &str) {
        self.emit_container(moment, id, action, &[]);
    }

    /// Removes a container.
    ///
    /// # Errors
    /// 409 when it runs and `force` is not set.
    pub(in crate::engine) fn remove(
        &mut self,
        moment: &Moment<'_>,
        id: &str,
        force: bool,
        volumes: bool,
    ) -> Result<(), Refusal> {
        let container = self.by_id(id)?;
        if container.running() {
            if !force {
                let state = container.status.as_str();
                let first = match container.status {
                    Status::Paused => "Unpause and then stop",
                    _ => "Stop",
                };
                return Err(Refusal::conflict(format!(
                    "You cannot remove a {state} container {id}. {first} the container before \
                     attempting removal or force remove"
                )));
            }
            container.held = true;
            self.signal(moment, id, signal::KILL)?;
        }
        self.destroy(moment, id, volumes);
        Ok(())
    }

    /// Forgets a container that does not run.
    pub(super) fn destroy(&mut self, moment: &Moment<'_>, id: &str, volumes: bool) {
        if !self.containers.contains_key(id) {
            return;
        }
        self.emit_container(moment, id, "destroy", &[]);
        let Some(container) = self.containers.shift_remove(id) else {
            return;
        };
        self.names.remove(&container.name);
        if volumes {
            self.remove_anonymous(moment, &container.mounts);
        }
        if self.removed.len() == REMEMBERED {
            self.removed.pop_front();
        }
        self.removed.push_back((container.id, container.exit_code));
    }

    /// The engine comes back after it was cut off: no process has survived. Containers whose
    /// policy says so are started again; the others have exited with 255, as after a power cut.
    pub(in crate::engine) fn boot(&mut self, moment: &Moment<'_>) {
        self.effects.clear();
        let ids: Vec<String> = self.containers.keys().cloned().collect();
        for id in ids {
            self.disconnect(&id);
            let Some(container) = self.containers.get_mut(&id) else {
                continue;
            };
            container.starting = false;
            container.held = false;
            container.pending.clear();
            if container.running() {
                container.status = Status::Exited;
                container.exit_code = 255;
                container.finished = Some(moment.now);
                container.pid = 0;
                container.exits += 1;
            }
            if container.status != Status::Exited {
                continue;
            }
            // The policy is asked afresh: an `always` that was stopped by hand comes back too.
            container.cancelled = false;
            container.backoff = Duration::ZERO;
            if restart_delay(container, moment).is_some() {
                container.status = Status::Restarting;
                let (run, delay) = (container.run, Duration::ZERO);
                self.effects.push(Effect::RestartAfter { id, run, delay });
            } else if container.auto_remove() {
                self.destroy(moment, &id, true);
            }
        }
    }
}

pub(super) fn not_running(id: &str) -> Refusal {
    Refusal::conflict(format!("Container {id} is not running"))
}

/// How long to wait before the next run, or `None` when there is to be none.
fn restart_delay(container: &Container, moment: &Moment<'_>) -> Option<Duration> {
    let (policy, retries) = container.restart_policy();
    let again = match policy {
        "always" => true,
        "unless-stopped" => !container.manually_stopped,
        "on-failure" => {
            let left = retries == 0 || u64::from(container.restart_count) < retries;
            container.exit_code != 0 && left
        }
        _ => false,
    };
    if !again || container.cancelled || container.held {
        return None;
    }
    let ran = container.started.map_or(0, |started| moment.now.as_second() - started.as_second());
    Some(match container.backoff {
        Duration::ZERO => FIRST_BACKOFF,
        _ if ran >= GOOD_RUN => FIRST_BACKOFF,
        backoff => (backoff * 2).min(LONGEST_BACKOFF),
    })
}
