//! Runs the processes of a node.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::ImportImageOptionsBuilder;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::control::{SOCKET, STATUS, Verb};
use super::probe;
use super::report::Report;
use super::spec::{ENGINE, IMAGES, Process, Spec};

/// How long a process may take to end in good order before it is killed: what `docker stop` grants.
const GRACE: Duration = Duration::from_secs(10);

type Reply = oneshot::Sender<Result<(), String>>;
type Units = Rc<BTreeMap<String, mpsc::Sender<(Verb, Reply)>>>;
/// How each process is, in words.
type States = Rc<RefCell<BTreeMap<String, String>>>;

/// Runs `spec` until a signal asks the node to end.
pub(super) async fn run(spec: Spec) -> Result<(), String> {
    LocalSet::new().run_until(serve(spec)).await
}

async fn serve(spec: Spec) -> Result<(), String> {
    let listener = listen()?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|e| format!("waiting for signals: {e}"))?;
    probe::own_address(spec.address).await;
    let mut units = BTreeMap::new();
    let states = States::default();
    for process in spec.processes {
        let (orders, inbox) = mpsc::channel(8);
        units.insert(process.name.clone(), orders);
        let images = if process.name == ENGINE { spec.images.clone() } else { Vec::new() };
        let unit = Unit { process, images, child: None, states: states.clone() };
        unit.is("waiting");
        tokio::task::spawn_local(unit.live(inbox));
    }
    let units: Units = Rc::new(units);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    tokio::task::spawn_local(obey(stream, units.clone(), states.clone()));
                }
            }
        }
    }
    let stop = units.keys().map(|name| order(&units, Verb::Stop, name));
    for stopped in futures_util::future::join_all(stop).await {
        stopped?;
    }
    Ok(())
}

fn listen() -> Result<UnixListener, String> {
    let failed = |e| format!("{SOCKET}: {e}");
    std::fs::create_dir_all("/run/lab").map_err(failed)?;
    // Left by an earlier life of the node.
    let _ = std::fs::remove_file(SOCKET);
    UnixListener::bind(SOCKET).map_err(failed)
}

/// Carries out the order that comes in on `stream`.
async fn obey(stream: UnixStream, units: Units, states: States) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if stream.read_line(&mut line).await.is_err() {
        return;
    }
    let answer = match line.trim_end().split_once(' ') {
        Some((verb, process)) => match verb.parse() {
            Ok(verb) => order(&units, verb, process).await.err(),
            Err(unknown) => Some(unknown),
        },
        None if line.trim_end() == STATUS => Some(json!(*states.borrow()).to_string()),
        None => Some("an order is a verb and a process".to_owned()),
    };
    let answer = answer.unwrap_or_else(|| "ok".to_owned()) + "\n";
    // Whoever asked may have gone.
    let _ = stream.write_all(answer.as_bytes()).await;
}

async fn order(units: &Units, verb: Verb, process: &str) -> Result<(), String> {
    let known = || units.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let unit = units.get(process).ok_or_else(|| format!("no process `{process}`: {}", known()))?;
    let (reply, answer) = oneshot::channel();
    let gone = |_| format!("`{process}` is no longer looked after");
    unit.send((verb, reply)).await.map_err(|_| gone(()))?;
    answer.await.map_err(|_| gone(()))?
}

/// A process, running or not.
struct Unit {
    process: Process,
    images: Vec<String>,
    child: Option<Child>,
    states: States,
}

impl Unit {
    /// Starts the process when its gates open, then takes orders.
    async fn live(mut self, mut inbox: mpsc::Receiver<(Verb, Reply)>) {
        let gates = self.process.gates.clone();
        let tls = probe::own_client();
        let mut opening = std::pin::pin!(async {
            for gate in &gates {
                probe::open(gate, tls.as_ref()).await;
            }
        });
        let mut waiting = true;
        loop {
            tokio::select! {
                () = &mut opening, if waiting => {
                    waiting = false;
                    if let Err(what) = self.start().await {
                        self.is(&format!("failed ({what})"));
                        Report::Failed { what: what.into() }.print();
                    }
                }
                status = ended(&mut self.child) => self.report(status),
                order = inbox.recv() => {
                    let Some((verb, reply)) = order else { return };
                    waiting = false;
                    // Whoever asked may have gone.
                    let _ = reply.send(self.obey(verb).await);
                }
            }
        }
    }

    /// Notes how the process is.
    fn is(&self, state: &str) {
        self.states.borrow_mut().insert(self.process.name.clone(), state.to_owned());
    }

    async fn obey(&mut self, verb: Verb) -> Result<(), String> {
        match verb {
            Verb::Start if self.child.is_some() => Ok(()),
            Verb::Start => self.start().await,
            Verb::Stop => self.stop(GRACE).await,
            Verb::Kill => self.stop(Duration::ZERO).await,
            Verb::Restart => {
                self.stop(GRACE).await?;
                self.start().await
            }
            Verb::Pause => {
                self.signal(libc::SIGSTOP)?;
                self.is("paused");
                Ok(())
            }
            Verb::Resume => {
                self.signal(libc::SIGCONT)?;
                self.is("running");
                Ok(())
            }
        }
    }

    async fn start(&mut self) -> Result<(), String> {
        let Process { name, argv, uncertified, .. } = &self.process;
        let argv = match uncertified {
            Some(other) if !certified(&other.cert) => &other.argv,
            _ => argv,
        };
        let (program, args) =
            argv.split_first().ok_or_else(|| format!("`{name}` has no program"))?;
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("starting {name}: {program}: {e}"))?;
        if let Some(stdout) = child.stdout.take() {
            tokio::task::spawn_local(forward(name.clone(), stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::task::spawn_local(forward(name.clone(), stderr));
        }
        self.child = Some(child);
        Report::Start { component: name.into() }.print();
        self.is("running");
        // Only once: an image that was removed later must not come back with the engine.
        for image in std::mem::take(&mut self.images) {
            tokio::task::spawn_local(load(image));
        }
        Ok(())
    }

    /// Ends the process: by SIGTERM, and by SIGKILL when that takes longer than `grace`.
    async fn stop(&mut self, grace: Duration) -> Result<(), String> {
        if self.child.is_none() {
            return Ok(());
        }
        if !grace.is_zero() {
            self.signal(libc::SIGTERM)?;
            // A process that stands still cannot end in good order.
            self.signal(libc::SIGCONT)?;
        }
        let status = match tokio::time::timeout(grace, ended(&mut self.child)).await {
            Ok(status) => status,
            Err(_) => {
                self.signal(libc::SIGKILL)?;
                ended(&mut self.child).await
            }
        };
        self.report(status);
        Ok(())
    }

    fn signal(&self, signal: libc::c_int) -> Result<(), String> {
        let name = &self.process.name;
        let pid = self.child.as_ref().and_then(Child::id);
        let pid = pid.and_then(|pid| libc::pid_t::try_from(pid).ok());
        let pid = pid.ok_or_else(|| format!("`{name}` does not run"))?;
        // SAFETY: no memory is involved; the child has not been waited for, so the number is its.
        match unsafe { libc::kill(pid, signal) } {
            0 => Ok(()),
            _ => Err(format!("signalling {name}: {}", std::io::Error::last_os_error())),
        }
    }

    fn report(&mut self, status: std::io::Result<ExitStatus>) {
        self.child = None;
        let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
        self.is(&format!("ended ({status})"));
        let component = self.process.name.as_str().into();
        Report::Exit { component, status: status.into() }.print();
    }
}

fn certified(cert: &str) -> bool {
    std::fs::metadata(cert).is_ok_and(|file| file.len() > 0)
}

/// Waits for the end of a child; forever if there is none.
async fn ended(child: &mut Option<Child>) -> std::io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

async fn forward(component: String, output: impl AsyncRead + Unpin) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                let line = text.trim_end().into();
                Report::Line { component: component.as_str().into(), line }.print();
            }
        }
    }
}

/// Loads an image into this node's engine once that answers.
async fn load(image: String) {
    if let Err(what) = try_load(&image).await {
        Report::Failed { what: format!("loading {image}: {what}").into() }.print();
    }
}

async fn try_load(image: &str) -> Result<(), String> {
    let engine = answering_engine().await;
    let archive = std::fs::read(format!("{IMAGES}/{image}.tar")).map_err(|e| e.to_string())?;
    let options = ImportImageOptionsBuilder::new().quiet(true).build();
    let body = stream::iter([Ok::<_, std::io::Error>(archive.into())]);
    let mut progress = engine.import_image_stream(options, body, None);
    while let Some(step) = progress.next().await {
        step.map_err(|e| e.to_string())?;
    }
    Ok(())
}

async fn answering_engine() -> Docker {
    loop {
        // Not even a client can be made before the engine's socket is there.
        if let Ok(engine) = Docker::connect_with_unix_defaults()
            && engine.ping().await.is_ok()
        {
            return engine;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
