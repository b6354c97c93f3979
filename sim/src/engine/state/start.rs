//! Starting a container, in the steps between which time passes.
//!
//! `begin` takes the address and the ports, `connected` tells of the network, `finish` runs the
//! process. Between them the container is *starting*; `failed` and `abort` undo.

use super::container::Status;
use super::network::Endpoint;
use super::ports::{self, Proto};
use super::program::{End, Program};
use super::refusal::Refusal;
use super::{Moment, State};

/// What has to be in place before the process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Plan {
    pub(in crate::engine) id: String,
    /// Where the container's web server will listen on the host.
    pub(in crate::engine) listen: Vec<Listen>,
    /// Whether another attempt may find another port.
    pub(in crate::engine) random: bool,
}

/// A socket of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Listen {
    /// Empty means every address.
    pub(in crate::engine) ip: String,
    pub(in crate::engine) port: u16,
}

/// A process to run.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Launch {
    pub(in crate::engine) id: String,
    pub(in crate::engine) run: u64,
    pub(in crate::engine) program: Program,
}

impl State {
    /// The first step. `automatic` means a restart by policy rather than by hand.
    ///
    /// # Errors
    /// 304 when it runs already, 409 when it is paused, 404 for an unknown network, 500 for a
    /// port in use; the container is then as before, with the error noted.
    pub(in crate::engine) fn start_begin(
        &mut self,
        moment: &Moment<'_>,
        id: &str,
        automatic: bool,
    ) -> Result<Plan, Refusal> {
        let container = self.by_id(id)?;
        if container.status == Status::Paused {
            let text = "cannot start a paused container, try unpause instead";
            return Err(Refusal::conflict(text));
        }
        let restarting = container.status == Status::Restarting;
        if container.running() && !(automatic && restarting) {
            return Err(Refusal::not_modified());
        }
        container.starting = true;
        if !automatic {
            container.restart_count = 0;
            container.cancelled = false;
            container.manually_stopped = false;
            container.backoff = std::time::Duration::ZERO;
        }
        match self.connect(moment, id) {
            Ok(plan) => Ok(plan),
            Err(refusal) => Err(self.start_failed(moment, id, 128, refusal)),
        }
    }

    /// Takes a network address and the published ports.
    fn connect(&mut self, moment: &Moment<'_>, id: &str) -> Result<Plan, Refusal> {
        let ip = self.free_ip();
        let container = self.containers.get(id).expect("the caller has just used it");
        let mode = container.network_mode().to_owned();
        let network_id = match mode.as_str() {
            // Another container's network: nothing of its own.
            mode if mode.starts_with("container:") => String::new(),
            mode => {
                let missing = || Refusal::not_found(format!("network {mode} not found"));
                self.network(mode).ok_or_else(missing)?.id.clone()
            }
        };
        let bridged = mode == "bridge";
        let endpoint = Endpoint {
            network: mode.clone(),
            network_id,
            id: moment.id("engine-endpoint-id"),
            ip: ip.filter(|_| bridged),
        };
        let wanted = match bridged {
            true => ports::wanted(&container.config, &container.host)?,
            false => Vec::new(),
        };
        let published = self.ports.allocate(&wanted).map_err(|text| {
            let (name, endpoint) = (&container.name, &endpoint.id);
            Refusal::server(external_connectivity(name, endpoint, &text))
        });
        let container = self.containers.get_mut(id).expect("it was there above");
        container.endpoint = endpoint;
        container.sandbox = moment.id("engine-sandbox-id");
        container.ports = published?;
        let serves = Program::parse(&container.argv, container.web)
            .is_ok_and(|program| program.end == End::Serve);
        let listen = match mode.as_str() {
            _ if !serves => Vec::new(),
            "host" => vec![Listen { ip: String::new(), port: 80 }],
            _ => {
                let web = |p: &&ports::Published| (p.private, p.proto) == (80, Proto::Tcp);
                let socket = |p: &ports::Published| Listen {
                    ip: if p.ip == "0.0.0.0" { String::new() } else { p.ip.clone() },
                    port: p.public,
                };
                container.ports.iter().filter(web).map(socket).collect()
            }
        };
        let random = container.ports.iter().any(|port| port.random);
        Ok(Plan { id: id.to_owned(), listen, random })
    }

    /// The second step: the sockets are there.
    pub(in crate::engine) fn start_connected(&mut self, moment: &Moment<'_>, id: &str) {
        self.emit_network(moment, id, "connect");
    }

    /// The last step: the process runs.
    ///
    /// # Errors
    /// 400 when the image has no such executable; 404 when the container is gone.
    pub(in crate::engine) fn start_finish(
        &mut self,
        moment: &Moment<'_>,
        id: &str,
    ) -> Result<Launch, Refusal> {
        let pid = self.last_pid + 53;
        let container = self.by_id(id)?;
        let program = match Program::parse(&container.argv, container.web) {
            Ok(program) => program,
            Err(name) => {
                let refusal = Refusal::bad(format!(
                    "failed to create shim task: OCI runtime create failed: runc create failed: \
                     unable to start container process: exec: \"{name}\": executable file not \
                     found in $PATH: unknown"
                ));
                return Err(self.start_failed(moment, id, 127, refusal));
            }
        };
        container.starting = false;
        container.status = Status::Running;
        container.started = Some(moment.now);
        container.exit_code = 0;
        container.error.clear();
        container.pid = pid;
        container.run += 1;
        container.program = Some(program.clone());
        container.pending.clear();
        let run = container.run;
        self.last_pid = pid;
        self.emit_container(moment, id, "start", &[]);
        Ok(Launch { id: id.to_owned(), run, program })
    }

    /// Gives everything back without a word, for another attempt.
    pub(in crate::engine) fn start_abort(&mut self, id: &str) {
        self.disconnect(id);
        if let Some(container) = self.containers.get_mut(id) {
            container.starting = false;
        }
    }

    /// Ends a failed start, and hands back why it failed.
    pub(in crate::engine) fn start_failed(
        &mut self,
        moment: &Moment<'_>,
        id: &str,
        exit_code: i64,
        refusal: Refusal,
    ) -> Refusal {
        let Some(container) = self.containers.get(id) else {
            return refusal;
        };
        if !container.endpoint.id.is_empty() {
            self.emit_network(moment, id, "disconnect");
        }
        self.disconnect(id);
        if let Some(container) = self.containers.get_mut(id) {
            container.starting = false;
            container.exit_code = exit_code;
            container.error.clone_from(&refusal.message);
            if container.status == Status::Restarting {
                container.status = Status::Exited;
                container.exits += 1;
            }
            if container.auto_remove() {
                self.destroy(moment, id, true);
            }
        }
        refusal
    }

    /// A socket of the host is in use by something that is no container.
    pub(in crate::engine) fn socket_in_use(
        &mut self,
        moment: &Moment<'_>,
        id: &str,
        listen: &Listen,
    ) -> Refusal {
        let ip = if listen.ip.is_empty() { "0.0.0.0" } else { &listen.ip };
        let text = format!(
            "Error starting userland proxy: listen tcp4 {ip}:{}: bind: address already in use",
            listen.port
        );
        let text = match self.containers.get(id) {
            Some(container) => {
                external_connectivity(&container.name, &container.endpoint.id, &text)
            }
            None => text,
        };
        self.start_failed(moment, id, 128, Refusal::server(text))
    }

    /// Gives a container's address and ports back.
    pub(super) fn disconnect(&mut self, id: &str) {
        if let Some(container) = self.containers.get_mut(id) {
            self.ports.release(&container.ports);
            container.ports.clear();
            container.endpoint.id.clear();
            container.endpoint.ip = None;
        }
    }
}

fn external_connectivity(name: &str, endpoint: &str, why: &str) -> String {
    format!(
        "driver failed programming external connectivity on endpoint {name} ({endpoint}): {why}"
    )
}
