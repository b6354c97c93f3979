//! Requests that take time: starting, stopping, removing, pulling.

use std::io;
use std::time::Duration;

use swarm::ctx::{Addr, Listener};

use super::run::Engine;
use super::state::signal;
use super::state::{Moment, Plan, Refusal, State, image};

/// How often a start tries other ports when something outside has taken the chosen ones.
const ATTEMPTS: usize = 10;

/// A socket that could not be had.
struct Taken {
    index: usize,
}

fn busy(state: &State, id: &str) -> bool {
    state.containers.get(id).is_some_and(|container| container.starting)
}

impl Engine {
    /// The full ID of a container, once no start of it is under way.
    ///
    /// # Errors
    /// As [`super::state::State::container`].
    pub(super) async fn settled(&self, name: &str) -> Result<String, Refusal> {
        let id = self.read(|state| state.container(name).map(|c| c.id.clone()))?;
        self.until(|state| (!busy(state, &id)).then_some(())).await;
        Ok(id)
    }

    /// Changes a container once no start of it is under way.
    ///
    /// # Errors
    /// As [`super::state::State::container`], and what the change refuses.
    pub(super) async fn change<T>(
        &self,
        name: &str,
        mut change: impl FnMut(&mut State, &Moment<'_>, &str) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        loop {
            let id = self.settled(name).await?;
            // Another request may have begun a start since the look.
            let done = self
                .update(|state, moment| (!busy(state, &id)).then(|| change(state, moment, &id)));
            if let Some(outcome) = done {
                return outcome;
            }
        }
    }

    /// Starts a container by hand.
    ///
    /// # Errors
    /// 304 when it runs, 404, 409, 500.
    pub(super) async fn start(&self, name: &str) -> Result<(), Refusal> {
        self.start_process(name, false).await
    }

    /// Starts a container; `automatic` means by its restart policy.
    pub(super) async fn start_process(&self, name: &str, automatic: bool) -> Result<(), Refusal> {
        let (id, sockets) = self.prepare(name, automatic).await?;
        let id = id.as_str();
        self.update(|state, moment| state.start_connected(moment, id));
        tokio::time::sleep(self.spec.timings.start).await;
        let launch = self.update(|state, moment| state.start_finish(moment, id))?;
        self.launch(&launch, sockets);
        Ok(())
    }

    /// Takes the addresses, ports and sockets that a container needs.
    async fn prepare(
        &self,
        name: &str,
        automatic: bool,
    ) -> Result<(String, Vec<Box<dyn Listener>>), Refusal> {
        let mut attempt = 1;
        loop {
            let plan = self
                .change(name, |state, moment, id| state.start_begin(moment, id, automatic))
                .await?;
            match self.listen(&plan).await {
                Ok(sockets) => return Ok((plan.id, sockets)),
                Err(_) if plan.random && attempt < ATTEMPTS => {
                    self.update(|state, _| state.start_abort(&plan.id));
                    attempt += 1;
                }
                Err(Taken { index }) => {
                    let listen = &plan.listen[index];
                    return Err(self.update(|state, m| state.socket_in_use(m, &plan.id, listen)));
                }
            }
        }
    }

    async fn listen(&self, plan: &Plan) -> Result<Vec<Box<dyn Listener>>, Taken> {
        let mut sockets = Vec::new();
        for (index, listen) in plan.listen.iter().enumerate() {
            let host = if listen.ip.is_empty() { &self.spec.address } else { &listen.ip };
            let bound: io::Result<_> = self.ctx.net.listen(&Addr::tcp(host, listen.port)).await;
            sockets.push(bound.map_err(|_| Taken { index })?);
        }
        Ok(sockets)
    }

    /// Stops a container: its stop signal, `timeout` seconds of patience (negative: for ever;
    /// `None`: the container's own), then KILL.
    ///
    /// # Errors
    /// 304 when it does not run, 404.
    pub(super) async fn stop(&self, name: &str, timeout: Option<i64>) -> Result<(), Refusal> {
        let id = self.settled(name).await?;
        let (running, first, own) = self.read(|state| {
            state.container(&id).map(|c| (c.running(), c.stop_signal(), c.stop_timeout()))
        })?;
        if !running {
            return Err(Refusal::not_modified());
        }
        let exits = self.exits(&id);
        self.update(|state, moment| state.signal(moment, &id, first))?;
        let ended = self.ended(&id, exits);
        match u64::try_from(timeout.unwrap_or(own)) {
            Err(_) => ended.await,
            Ok(seconds) => {
                let patience = Duration::from_secs(seconds);
                if tokio::time::timeout(patience, ended).await.is_err() {
                    // It may have ended in this very moment: then there is nobody to kill.
                    let _ = self.update(|state, m| state.signal(m, &id, signal::KILL));
                }
            }
        }
        tokio::time::sleep(self.spec.timings.stop).await;
        self.update(|state, moment| state.note(moment, &id, "stop"));
        Ok(())
    }

    /// How often the container's process has ended so far.
    pub(super) fn exits(&self, id: &str) -> u64 {
        self.read(|state| state.containers.get(id).map_or(0, |container| container.exits))
    }

    /// Waits until the container's process has ended more often than `exits` times.
    pub(super) async fn ended(&self, id: &str, exits: u64) {
        self.until(|state| match state.containers.get(id) {
            Some(container) if container.exits == exits => None,
            _ => Some(()),
        })
        .await;
    }

    /// Sends a signal; KILL waits for the end.
    ///
    /// # Errors
    /// 404 and 409, as `Cannot kill container: <name>: …`.
    pub(super) async fn kill(&self, name: &str, number: u8) -> Result<(), Refusal> {
        let failed =
            |refusal: Refusal| refusal.prefixed(&format!("Cannot kill container: {name}: "));
        self.change(name, |state, m, id| state.signal(m, id, number)).await.map_err(failed)?;
        let wait = match number {
            signal::KILL => self.spec.timings.stop,
            _ => self.spec.timings.other,
        };
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Stops a container if it runs, and starts it.
    ///
    /// # Errors
    /// 404, and what a start may say.
    pub(super) async fn restart(&self, name: &str, timeout: Option<i64>) -> Result<(), Refusal> {
        let id = self.settled(name).await?;
        self.update(|state, _| state.hold(&id, true));
        let stopped = self.stop(&id, timeout).await;
        self.update(|state, _| state.hold(&id, false));
        if let Err(refusal) = stopped
            && refusal.status != 304
        {
            return Err(refusal);
        }
        match self.start_process(&id, false).await {
            // Somebody else has started it in between: it has been restarted all the same.
            Err(refusal) if refusal.status == 304 => {}
            other => other?,
        }
        self.update(|state, moment| state.note(moment, &id, "restart"));
        Ok(())
    }

    /// Removes a container.
    ///
    /// # Errors
    /// 404, 409 when it runs.
    pub(super) async fn remove(
        &self,
        name: &str,
        force: bool,
        volumes: bool,
    ) -> Result<(), Refusal> {
        self.change(name, |state, m, id| state.remove(m, id, force, volumes)).await?;
        tokio::time::sleep(self.spec.timings.remove).await;
        Ok(())
    }

    /// Whether a pull would find the image.
    ///
    /// # Errors
    /// What an engine says without a registry (500), or about an unknown repository (404).
    pub(super) fn in_registry(&self, reference: &str) -> Result<(), Refusal> {
        if self.spec.registry.is_empty() {
            return Err(Refusal::server(
                "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: \
                 no such host",
            ));
        }
        let same = |known: &String| image::familiar(known).is_ok_and(|known| known == reference);
        if self.spec.registry.iter().any(same) {
            return Ok(());
        }
        let repository = reference.rsplit_once(':').map_or(reference, |(repository, _)| repository);
        Err(Refusal::not_found(format!(
            "pull access denied for {repository}, repository does not exist or may require \
             'docker login': denied: requested access to the resource is denied"
        )))
    }
}
