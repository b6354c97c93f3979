//! Whose things are whose: the labels on everything that a run creates.

use std::fs;

/// The label with the run's identifier.
pub(super) const RUN: &str = "lab.run";
/// The label with the process that holds the run.
pub(super) const PID: &str = "lab.pid";
/// The label that tells one life of a process number from the next.
const STARTED: &str = "lab.started";
/// The label with the machine and its process numbers: others mean nothing here.
const HOME: &str = "lab.home";
/// The label of a run that was asked to stay when its process ends.
pub(super) const KEEP: &str = "lab.keep";
/// The label with the scenario's name.
const NAME: &str = "lab.name";
/// The label of a network with the path of the scenario's file.
pub(super) const FILE: &str = "lab.file";
/// The label of a network with the address of the cluster's manager, as `DOCKER_HOST` takes it.
pub(super) const ENDPOINT: &str = "lab.endpoint";
/// The label of a network with the directory that has a client's certificate and key, if the
/// manager asks for them.
pub(super) const CERTS: &str = "lab.certs";
/// The label of a network with the whole cluster as JSON.
pub(super) const CLUSTER: &str = "lab.cluster";
/// The label of a container with the host that it stands for or is part of.
pub(super) const HOST: &str = "lab.host";
/// The label of a container with what runs in it, separated by commas.
pub(super) const ROLES: &str = "lab.roles";
/// The role of a store, which has a container of its own.
pub(super) const STORE: &str = "store";

/// A filter of the engine's lists.
#[expect(clippy::disallowed_types, reason = "the Docker client's own parameter type")]
pub(super) type Filter = std::collections::HashMap<String, Vec<String>>;

/// A filter for things with a label, given as `KEY` or `KEY=VALUE`.
pub(super) fn labelled(label: String) -> Filter {
    [("label".to_owned(), vec![label])].into_iter().collect()
}

/// A run, and who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The run's identifier.
    pub(super) run: String,
    /// The scenario's name; runs that only make images have none.
    pub(super) name: Option<String>,
    /// The process that holds it, if the labels say so.
    pub(super) pid: Option<u32>,
    started: Option<String>,
    home: Option<String>,
    /// Whether it stays when that process ends.
    pub(super) keep: bool,
}

impl Owner {
    /// A run held by this process.
    pub(super) fn this_process(run: String, name: Option<String>, keep: bool) -> Self {
        let pid = std::process::id();
        Self { run, name, pid: Some(pid), started: started(pid), home: home(), keep }
    }

    /// The labels that say so.
    pub(super) fn labels(&self) -> Vec<(String, String)> {
        let pid = self.pid.map(|pid| pid.to_string());
        let keep = self.keep.then(|| "true".to_owned());
        let labels = [
            (RUN, Some(self.run.clone())),
            (NAME, self.name.clone()),
            (PID, pid),
            (STARTED, self.started.clone()),
            (HOME, self.home.clone()),
            (KEEP, keep),
        ];
        labels.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    /// Labels of the same names that say nothing: an image made in a container of a run takes over
    /// the container's labels, and is itself no run's.
    pub(super) fn no_labels(&self) -> Vec<(String, String)> {
        self.labels().into_iter().map(|(key, _)| (key, String::new())).collect()
    }

    /// Reads them back; `None` for things that are no run's.
    pub(super) fn from_labels<'a>(label: impl Fn(&str) -> Option<&'a String>) -> Option<Self> {
        Some(Self {
            run: label(RUN).filter(|run| !run.is_empty())?.clone(),
            name: label(NAME).cloned(),
            pid: label(PID).and_then(|pid| pid.parse().ok()),
            started: label(STARTED).cloned(),
            home: label(HOME).cloned(),
            keep: label(KEEP).is_some(),
        })
    }

    /// The labels of a container for `host`, in which `roles` run.
    pub(super) fn labels_of(&self, host: &str, roles: &str) -> Vec<(String, String)> {
        let own = [(HOST, host), (ROLES, roles)];
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.labels().into_iter().chain(own).collect()
    }

    /// The run in words: `vagrant4 (run 1a2b3c4d)`.
    pub(super) fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("{name} (run {})", self.run),
            None => format!("run {}", self.run),
        }
    }

    /// Whether the process that holds the run still works on it, as far as can be told here.
    pub(super) fn is_at_work(&self) -> bool {
        self.home == home() && self.pid.is_some_and(|pid| started(pid) == self.started)
    }

    /// Whether the process that holds the run is known to have ended. The process numbers of
    /// another machine, or of another container, say nothing.
    pub(super) fn is_dead(&self) -> bool {
        self.home.is_some()
            && self.home == home()
            && self.pid.is_some_and(|pid| started(pid) != self.started)
    }
}

/// When a process started, in clock ticks since the machine did; `None` when there is no such
/// process.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything: count fields from behind it.
    let (_, fields) = stat.rsplit_once(") ")?;
    // A process that has ended but was not waited for is dead all the same.
    (!fields.starts_with('Z')).then(|| fields.split(' ').nth(19).map(str::to_owned))?
}

/// This machine since its start, and the numbering of processes that this one sees.
fn home() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let pids = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), pids.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(labels: &[(String, String)]) -> Option<Owner> {
        Owner::from_labels(|key| labels.iter().find(|(k, _)| k == key).map(|(_, value)| value))
    }

    #[test]
    fn labels_say_who_holds_a_run() {
        let owner = Owner::this_process("1a2b".into(), Some("demo".into()), true);
        assert_eq!(read_back(&owner.labels()), Some(owner.clone()));
        assert!(!owner.is_dead() && owner.is_at_work());
        assert_eq!(owner.title(), "demo (run 1a2b)");
        assert_eq!(read_back(&[("other".into(), "x".into())]), None);
        assert_eq!(read_back(&owner.no_labels()), None);
    }

    #[test]
    fn a_process_number_in_its_next_life_is_another_process() {
        let owner = Owner::this_process("1a2b".into(), None, false);
        let another = Owner { started: Some("1".into()), ..owner.clone() };
        assert!(another.is_dead() && !another.is_at_work());
        assert!(Owner { pid: Some(u32::MAX), ..owner.clone() }.is_dead());
        let elsewhere = Owner { home: Some("another machine".into()), ..owner };
        let elsewhere = Owner { pid: Some(u32::MAX), ..elsewhere };
        assert!(!elsewhere.is_dead() && !elsewhere.is_at_work());
    }
}
