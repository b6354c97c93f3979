//! Local volumes: those that containers bring with them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::config;
use super::container::Mount;
use super::{Moment, State, Topic};

/// A volume of the `local` driver.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Volume {
    pub(in crate::engine) name: String,
    pub(in crate::engine) created: Timestamp,
}

impl Volume {
    pub(in crate::engine) fn json(&self) -> Value {
        json!({
            "CreatedAt": self.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "Driver": "local",
            "Labels": null,
            "Mountpoint": mountpoint(&self.name),
            "Name": self.name,
            "Options": null,
            "Scope": "local",
        })
    }
}

fn mountpoint(name: &str) -> String {
    format!("/var/lib/docker/volumes/{name}/_data")
}

impl State {
    /// The mounts that a container asks for; the volumes among them exist afterwards.
    pub(super) fn mounts(
        &mut self,
        moment: &Moment<'_>,
        settings: &Map<String, Value>,
        host: &Map<String, Value>,
    ) -> Vec<Mount> {
        let mut mounts: Vec<Mount> = Vec::new();
        for bind in config::texts(host, "Binds") {
            let mut parts = bind.splitn(3, ':');
            let (Some(source), Some(destination)) = (parts.next(), parts.next()) else {
                continue;
            };
            let mode = parts.next().unwrap_or_default();
            let volume = (!source.starts_with('/')).then(|| source.to_owned());
            if let Some(name) = &volume {
                self.add_volume(moment, name);
            }
            mounts.push(Mount {
                source: volume.as_deref().map_or_else(|| source.to_owned(), mountpoint),
                volume,
                anonymous: false,
                destination: destination.to_owned(),
                mode: mode.to_owned(),
                writable: !mode.split(',').any(|option| option == "ro"),
            });
        }
        for destination in settings["Volumes"].as_object().into_iter().flat_map(Map::keys) {
            if mounts.iter().any(|mount| mount.destination == *destination) {
                continue;
            }
            let name = moment.id("engine-volume-name");
            self.add_volume(moment, &name);
            mounts.push(Mount {
                source: mountpoint(&name),
                volume: Some(name),
                anonymous: true,
                destination: destination.clone(),
                mode: String::new(),
                writable: true,
            });
        }
        mounts
    }

    fn add_volume(&mut self, moment: &Moment<'_>, name: &str) {
        if self.volumes.contains_key(name) {
            return;
        }
        let volume = Volume { name: name.to_owned(), created: moment.now };
        self.volumes.insert(name.to_owned(), volume);
        let driver = [("driver".to_owned(), "local".to_owned())].into();
        self.emit(moment, Topic::Volume, "create", name, driver);
    }

    /// Removes the volumes that were made for one container alone.
    pub(super) fn remove_anonymous(&mut self, moment: &Moment<'_>, mounts: &[Mount]) {
        for name in mounts.iter().filter(|mount| mount.anonymous).filter_map(|m| m.volume.as_ref())
        {
            self.volumes.remove(name);
            let driver = [("driver".to_owned(), "local".to_owned())].into();
            self.emit(moment, Topic::Volume, "destroy", name, driver);
        }
    }
}
