//! An engine over time: the state, and the tasks that carry out what it asks for.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::{Map, Value, json};
use swarm::ctx::http::serve;
use swarm::ctx::{Addr, Ctx, Listener, TaskGuard};
use tokio::sync::Notify;

use super::http;
use super::spec::Spec;
use super::state::event::{Event, Topic};
use super::state::program::{End, Step};
use super::state::{Effect, Launch, Moment, State, Status};
use super::web;

type Observer = Arc<dyn Fn(&str, Value) + Send + Sync>;

/// One fake engine. It lives as long as its server and its containers' tasks, which all belong to
/// the host of its [`Ctx`].
pub struct Engine {
    pub(super) ctx: Ctx,
    pub(super) spec: Spec,
    inner: Mutex<Inner>,
    /// Told of every change of the state.
    pub(super) changed: Notify,
    observers: Mutex<Vec<Observer>>,
    /// Open streams of `/events`.
    pub(super) listeners: AtomicUsize,
    me: Weak<Engine>,
}

struct Inner {
    state: State,
    /// What runs for each container: its process and its sockets.
    tasks: BTreeMap<String, Vec<TaskGuard>>,
}

impl Engine {
    /// A newly installed engine.
    #[must_use]
    pub fn new(ctx: Ctx, spec: Spec) -> Arc<Self> {
        let state = State::new(&spec, &Moment { now: ctx.now(), rng: &*ctx.rng });
        Self::with(ctx, spec, state)
    }

    /// An engine that comes back with the state of an earlier one, as after a power cut: no
    /// process has survived, and restart policies are honoured at once.
    #[must_use]
    pub fn resume(ctx: Ctx, spec: Spec, state: State) -> Arc<Self> {
        let engine = Self::with(ctx, spec, state);
        engine.update(|state, moment| state.boot(moment));
        engine
    }

    fn with(ctx: Ctx, spec: Spec, state: State) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            ctx,
            spec,
            inner: Mutex::new(Inner { state, tasks: BTreeMap::new() }),
            changed: Notify::new(),
            observers: Mutex::new(Vec::new()),
            listeners: AtomicUsize::new(0),
            me: me.clone(),
        })
    }

    /// Serves the Docker Engine API on `at` for ever.
    ///
    /// # Errors
    /// When `at` cannot be listened on.
    pub async fn serve(self: Arc<Self>, at: Addr) -> io::Result<()> {
        let listener = self.ctx.net.listen(&at).await?;
        self.serve_on(listener).await;
        Ok(())
    }

    /// Serves the Docker Engine API on a bound socket for ever.
    pub async fn serve_on(self: Arc<Self>, listener: Box<dyn Listener>) {
        let ctx = self.ctx.clone();
        serve(ctx, listener, move |request| http::answer(Arc::clone(&self), request)).await;
    }

    /// Calls `observer` for everything that happens, in order: a kind such as `container.start`
    /// or `image.pull`, and the fields `id`, `name` and what else belongs to it. The observer
    /// runs at once, inside the change it is told of: it must be quick, and may read the state.
    pub fn observe(&self, observer: impl Fn(&str, Value) + Send + Sync + 'static) {
        lock(&self.observers).push(Arc::new(observer));
    }

    /// A copy of the state as it is now.
    #[must_use]
    pub fn state(&self) -> State {
        lock(&self.inner).state.clone()
    }

    /// What the engine was told to be.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Looks at the state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&lock(&self.inner).state)
    }

    /// Changes the state, does what the change asks for, and tells whoever waits or observes.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State, &Moment<'_>) -> T) -> T {
        let moment = Moment { now: self.ctx.now(), rng: &*self.ctx.rng };
        let mut inner = lock(&self.inner);
        let before = inner.state.events.next();
        let out = change(&mut inner.state, &moment);
        for effect in inner.state.take_effects() {
            self.apply(&mut inner, effect);
        }
        let happened = happened(&inner.state, before);
        drop(inner);
        let observers = lock(&self.observers).clone();
        for (kind, fields) in happened {
            for observer in &observers {
                observer(&kind, fields.clone());
            }
        }
        self.changed.notify_waiters();
        out
    }

    fn apply(&self, inner: &mut Inner, effect: Effect) {
        match effect {
            Effect::Halt { id } => drop(inner.tasks.remove(&id)),
            Effect::RestartAfter { id, run, delay } => {
                let me = self.me.clone();
                self.ctx.spawn("container-restart", async move {
                    tokio::time::sleep(delay).await;
                    if let Some(engine) = me.upgrade()
                        && engine.read(|state| state.awaits_restart(&id, run))
                    {
                        // A start that fails leaves its reason in the container.
                        let _ = engine.start_process(&id, true).await;
                    }
                });
            }
        }
    }

    /// Runs a container's process, and its web server behind `sockets`.
    pub(super) fn launch(&self, launch: &Launch, sockets: Vec<Box<dyn Listener>>) {
        let Some(me) = self.me.upgrade() else {
            return;
        };
        let (id, run) = (launch.id.clone(), launch.run);
        let mut guards = Vec::new();
        for socket in sockets {
            let server = web::serve(Arc::clone(&me), socket, id.clone(), run);
            guards.push(self.ctx.spawn("container-web", server).abort_on_drop());
        }
        let process = process(me, launch.clone());
        guards.push(self.ctx.spawn("container-process", process).abort_on_drop());
        let mut inner = lock(&self.inner);
        // A process that has ended already must not leave its sockets behind.
        let current = inner.state.containers.get(&id).is_some_and(|c| c.run == run && c.running());
        if current {
            inner.tasks.insert(id, guards);
        }
    }

    /// Waits until `ready` finds what it looks for in the state.
    pub(super) async fn until<T>(&self, mut ready: impl FnMut(&State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Listening first: a change between the look and the wait is not missed.
            changed.as_mut().enable();
            if let Some(found) = self.read(&mut ready) {
                return found;
            }
            changed.await;
        }
    }

    /// Runs `work` to its end even if whoever asked for it goes away, as an engine does.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, finished) = tokio::sync::oneshot::channel();
        self.ctx.spawn("engine-request", async move {
            // Nobody waits any more: the work is done all the same.
            let _ = done.send(work.await);
        });
        finished.await.ok()
    }
}

/// The lock of a value that every holder leaves in order.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The events from number `from` on, as observers get them.
fn happened(state: &State, mut from: u64) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    while let Some((next, event)) = state.events.at(from) {
        from = next;
        out.push((kind(event), fields(event)));
    }
    out
}

fn kind(event: &Event) -> String {
    // The words of the story: an engine calls these differently.
    let action = match (event.topic, event.action.as_str()) {
        (Topic::Container, "destroy") => "remove",
        (_, action) => action,
    };
    format!("{}.{action}", event.topic.as_str())
}

fn fields(event: &Event) -> Value {
    let mut fields = Map::new();
    fields.insert("id".into(), json!(event.id));
    for (key, value) in &event.attributes {
        fields.insert(key.clone(), json!(value));
    }
    Value::Object(fields)
}

/// The life of a container's process. It is aborted when the process is killed.
async fn process(engine: Arc<Engine>, launch: Launch) {
    let Launch { id, run, program } = launch;
    for step in &program.steps {
        thawed(&engine, &id, run).await;
        match step {
            Step::Print(stream, text) => {
                engine.update(|state, moment| state.printed(moment, &id, run, *stream, text));
            }
            Step::Sleep(duration) => tokio::time::sleep(*duration).await,
        }
    }
    thawed(&engine, &id, run).await;
    match program.end {
        End::Exit(code) => engine.update(|state, moment| state.exited(moment, &id, run, code)),
        End::Serve | End::Never => std::future::pending().await,
    }
}

/// Waits while the container is frozen.
async fn thawed(engine: &Engine, id: &str, run: u64) {
    engine
        .until(|state| match state.containers.get(id) {
            Some(container) if container.run == run && container.status == Status::Paused => None,
            _ => Some(()),
        })
        .await;
}
