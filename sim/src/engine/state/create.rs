//! Creating and renaming containers.

use std::time::Duration;

use serde_json::{Map, Value};

use super::container::{Container, Status};
use super::image::Image;
use super::network::Endpoint;
use super::refusal::Refusal;
use super::{Moment, State, config, names, ports};

/// The least memory a container may be limited to.
const LEAST_MEMORY: i64 = 6 << 20;

impl State {
    /// Creates a container as `POST /containers/create` does. `name` empty means any.
    ///
    /// # Errors
    /// 400 for an impossible request, 404 for an unknown image, 409 for a name in use.
    pub(in crate::engine) fn create(
        &mut self,
        moment: &Moment<'_>,
        name: &str,
        body: &Map<String, Value>,
    ) -> Result<String, Refusal> {
        let (settings, host) = (config::of_container(body)?, config::of_host(body)?);
        self.check_host(&host)?;
        ports::wanted(&settings, &host)?;
        let (mut settings, image) = self.resolve(settings)?;
        let mut argv = config::texts(&settings, "Entrypoint");
        argv.extend(config::texts(&settings, "Cmd"));
        if argv.is_empty() {
            return Err(Refusal::bad("No command specified"));
        }
        check_name(name)?;
        let name = match name.strip_prefix('/').unwrap_or(name) {
            "" => names::generate(self, moment),
            name => name.to_owned(),
        };
        self.check_free(&name)?;
        let id = moment.id("engine-container-id");
        if settings["Hostname"] == "" {
            settings["Hostname"] = id[..12].into();
        }
        let mounts = self.mounts(moment, &settings, &host);
        let container = Container {
            id: id.clone(),
            name: name.clone(),
            status: Status::Created,
            exit_code: 0,
            ports: Vec::new(),
            restart_count: 0,
            created: moment.now,
            image_layer: image.layer(),
            image_id: image.id,
            image_size: image.size,
            web: image.web,
            config: settings,
            host,
            argv,
            pid: 0,
            error: String::new(),
            started: None,
            finished: None,
            endpoint: Endpoint::default(),
            sandbox: String::new(),
            mounts,
            logs: Vec::new(),
            program: None,
            starting: false,
            run: 0,
            exits: 0,
            backoff: Duration::ZERO,
            cancelled: false,
            manually_stopped: false,
            held: false,
            pending: Vec::new(),
        };
        self.names.insert(name, id.clone());
        self.containers.insert(id.clone(), container);
        let created = self.by_id(&id)?;
        created.endpoint.network = created.network_mode().to_owned();
        self.emit_container(moment, &id, "create", &[]);
        Ok(id)
    }

    /// Finds the image and completes a container's settings with the image's.
    fn resolve(
        &self,
        mut settings: Map<String, Value>,
    ) -> Result<(Map<String, Value>, Image), Refusal> {
        let image = match settings["Image"].as_str().unwrap_or_default() {
            "" => return Err(Refusal::bad("No command specified")),
            asked => self.images.find(asked)?.clone(),
        };
        config::merge(&mut settings, &image.config);
        Ok((settings, image))
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// 400 for an impossible or unchanged name, 404, 409 for a name in use.
    pub(in crate::engine) fn rename(
        &mut self,
        moment: &Moment<'_>,
        name: &str,
        new: &str,
    ) -> Result<(), Refusal> {
        if new.is_empty() {
            return Err(Refusal::bad("Neither old nor new names may be empty"));
        }
        let container = self.container(name)?;
        let (id, old) = (container.id.clone(), container.name.clone());
        let slashed = format!("/{}", new.strip_prefix('/').unwrap_or(new));
        if slashed[1..] == old {
            let text = "Renaming a container with the same name as its current name";
            return Err(Refusal::bad(text));
        }
        let failed = |refusal: Refusal| refusal.prefixed("Error when allocating new name: ");
        check_name(&slashed).map_err(failed)?;
        self.check_free(&slashed[1..]).map_err(failed)?;
        self.names.remove(&old);
        self.names.insert(slashed[1..].to_owned(), id.clone());
        self.by_id(&id)?.name = slashed[1..].to_owned();
        self.emit_container(moment, &id, "rename", &[("oldName", &format!("/{old}"))]);
        Ok(())
    }

    fn check_free(&self, name: &str) -> Result<(), Refusal> {
        match self.names.get(name) {
            None => Ok(()),
            Some(id) => Err(Refusal::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \
                 \"{id}\". You have to remove (or rename) that container to be able to reuse \
                 that name."
            ))),
        }
    }

    /// What an engine checks before it accepts a request.
    fn check_host(&self, host: &Map<String, Value>) -> Result<(), Refusal> {
        let number = |name: &str| host[name].as_i64().unwrap_or_default();
        if (1..LEAST_MEMORY).contains(&number("Memory")) {
            return Err(Refusal::bad("Minimum memory limit allowed is 6MB"));
        }
        let most = i64::from(self.cpus) * 1_000_000_000;
        if !(0..=most).contains(&number("NanoCpus")) {
            let cpus = self.cpus;
            return Err(Refusal::bad(format!(
                "Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
            )));
        }
        let policy = host["RestartPolicy"]["Name"].as_str().unwrap_or_default();
        if !["", "no", "always", "unless-stopped", "on-failure"].contains(&policy) {
            return Err(Refusal::bad(format!("invalid restart policy '{policy}'")));
        }
        if host["AutoRemove"] == true && !["", "no"].contains(&policy) {
            let text = "can't create 'AutoRemove' container with restart policy";
            return Err(Refusal::bad(text));
        }
        Ok(())
    }
}

/// Refuses a name that cannot be one. Empty is no name, which is fine.
fn check_name(name: &str) -> Result<(), Refusal> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut chars = bare.chars();
    let first = chars.next().is_none_or(|c| c.is_ascii_alphanumeric());
    let rest = chars.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if name.is_empty() || (bare.len() > 1 && first && rest) {
        return Ok(());
    }
    Err(Refusal::bad(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}
