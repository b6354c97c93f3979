//! Containers and images as the API shows them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::State;
use super::container::{Container, Status};
use super::image::Image;
use super::ports;
use super::program::End;
use super::refusal::Refusal;

/// Go's zero date, for what has not happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn date(time: Option<Timestamp>) -> String {
    time.map_or_else(|| NEVER.to_owned(), |time| time.to_string())
}

impl Container {
    /// The answer to an inspection; `size` adds the sizes.
    pub(in crate::engine) fn inspect(&self, size: bool) -> Value {
        let started = !self.sandbox.is_empty();
        let file = |name: &str| match started {
            true => format!("/var/lib/docker/containers/{}/{name}", self.id),
            false => String::new(),
        };
        let (path, args) = self.argv.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
        let mut out = json!({
            "Id": self.id,
            "Created": self.created.to_string(),
            "Path": path,
            "Args": args,
            "State": self.state_json(),
            "Image": self.image_id,
            "ResolvConfPath": file("resolv.conf"),
            "HostnamePath": file("hostname"),
            "HostsPath": file("hosts"),
            "LogPath": file(&format!("{}-json.log", self.id)),
            "Name": format!("/{}", self.name),
            "RestartCount": self.restart_count,
            "Driver": "overlay2",
            "Platform": "linux",
            "MountLabel": "",
            "ProcessLabel": "",
            "AppArmorProfile": "",
            "ExecIDs": null,
            "HostConfig": null,
            "GraphDriver": null,
        });
        // Cloned into their places: the macro would serialise them.
        out["HostConfig"] = Value::Object(self.host.clone());
        out["GraphDriver"] = self.graph_driver();
        if size {
            out["SizeRw"] = json!(0);
            out["SizeRootFs"] = json!(self.image_size);
        }
        out["Mounts"] = self.mounts_json(true);
        out["Config"] = Value::Object(self.config.clone());
        out["NetworkSettings"] = self.endpoint.settings(&self.sandbox, self.ports_map());
        out
    }

    fn state_json(&self) -> Value {
        json!({
            "Status": self.status.as_str(),
            "Running": self.running(),
            "Paused": self.status == Status::Paused,
            "Restarting": self.status == Status::Restarting,
            "OOMKilled": false,
            "Dead": false,
            "Pid": self.pid,
            "ExitCode": self.exit_code,
            "Error": self.error,
            "StartedAt": date(self.started),
            "FinishedAt": date(self.finished),
        })
    }

    fn graph_driver(&self) -> Value {
        let (own, image) = (super::image::digest(&self.id), &self.image_layer);
        let dir = |rest: &str| format!("/var/lib/docker/overlay2/{rest}");
        json!({
            "Data": {
                "LowerDir": format!("{}:{}", dir(&format!("{own}-init/diff")),
                    dir(&format!("{image}/diff"))),
                "MergedDir": dir(&format!("{own}/merged")),
                "UpperDir": dir(&format!("{own}/diff")),
                "WorkDir": dir(&format!("{own}/work")),
            },
            "Name": "overlay2",
        })
    }

    fn mounts_json(&self, with_source: bool) -> Value {
        let mounts = self.mounts.iter().map(|mount| match &mount.volume {
            Some(volume) => json!({
                "Type": "volume",
                "Name": volume,
                "Source": if with_source { mount.source.as_str() } else { "" },
                "Destination": mount.destination,
                "Driver": "local",
                "Mode": if mount.anonymous || !mount.mode.is_empty() { mount.mode.as_str() }
                    else { "z" },
                "RW": mount.writable,
                "Propagation": "",
            }),
            None => json!({
                "Type": "bind",
                "Source": mount.source,
                "Destination": mount.destination,
                "Mode": mount.mode,
                "RW": mount.writable,
                "Propagation": "rprivate",
            }),
        });
        Value::Array(mounts.collect())
    }

    /// `NetworkSettings.Ports`: published ones with their bindings, exposed ones with `null`.
    fn ports_map(&self) -> Value {
        let mut map = json!({});
        if !matches!(self.status, Status::Running | Status::Paused) {
            return map;
        }
        if self.endpoint.network == "bridge" {
            for (number, proto) in ports::exposed(&self.config, &self.host) {
                map[format!("{number}/{proto}")] = Value::Null;
            }
        }
        for port in &self.ports {
            let entry = &mut map[format!("{}/{}", port.private, port.proto)];
            if entry.is_null() {
                *entry = json!([]);
            }
            let Some(list) = entry.as_array_mut() else {
                continue;
            };
            let public = port.public.to_string();
            list.push(json!({"HostIp": port.ip, "HostPort": public}));
            if port.ip == "0.0.0.0" {
                list.push(json!({"HostIp": "::", "HostPort": public}));
            }
        }
        map
    }

    /// `Ports` of a list entry.
    fn ports_list(&self) -> Value {
        let mut list = Vec::new();
        if !matches!(self.status, Status::Running | Status::Paused) {
            return json!(list);
        }
        for port in &self.ports {
            let ips: &[&str] =
                if port.ip == "0.0.0.0" { &["0.0.0.0", "::"] } else { &[port.ip.as_str()] };
            for ip in ips {
                list.push(json!({
                    "IP": ip,
                    "PrivatePort": port.private,
                    "PublicPort": port.public,
                    "Type": port.proto.to_string(),
                }));
            }
        }
        if self.endpoint.network == "bridge" {
            for (number, proto) in ports::exposed(&self.config, &self.host) {
                if !self.ports.iter().any(|p| (p.private, p.proto) == (number, proto)) {
                    list.push(json!({"PrivatePort": number, "Type": proto.to_string()}));
                }
            }
        }
        json!(list)
    }

    /// The COMMAND column: what it runs, words with blanks in quotes.
    pub(in crate::engine) fn command(&self) -> String {
        let quote = |(index, word): (usize, &String)| match index > 0 && word.contains(' ') {
            true => format!("'{word}'"),
            false => word.clone(),
        };
        self.argv.iter().enumerate().map(quote).collect::<Vec<_>>().join(" ")
    }

    /// One entry of the list.
    pub(in crate::engine) fn summary(&self, now: Timestamp, size: bool) -> Value {
        let mut out = json!({
            "Id": self.id,
            "Names": [format!("/{}", self.name)],
            "Image": self.image(),
            "ImageID": self.image_id,
            "Command": self.command(),
            "Created": self.created.as_second(),
            "Ports": self.ports_list(),
        });
        if size {
            out["SizeRootFs"] = json!(self.image_size);
        }
        out["Labels"] = self.config["Labels"].clone();
        out["State"] = json!(self.status.as_str());
        out["Status"] = json!(self.status_text(now));
        out["HostConfig"] = json!({"NetworkMode": self.host["NetworkMode"]});
        out["NetworkSettings"] =
            json!({"Networks": {self.endpoint.network.as_str(): self.endpoint.json()}});
        out["Mounts"] = self.mounts_json(false);
        out
    }

    /// The processes of a running container, in the columns of `ps -ef` or `ps aux`.
    ///
    /// # Errors
    /// 409 when it does not run, 500 for other arguments of `ps`.
    pub(in crate::engine) fn top(&self, ps_args: &str) -> Result<Value, Refusal> {
        match self.status {
            Status::Running | Status::Paused => {}
            Status::Restarting => {
                return Err(Refusal::conflict(format!(
                    "Container {} is restarting, wait until the \
                    container is running",
                    self.id
                )));
            }
            Status::Created | Status::Exited => {
                return Err(super::lifecycle::not_running(&self.id));
            }
        }
        let at = self.started.map_or_else(String::new, |at| at.strftime("%H:%M").to_string());
        let shim = (self.pid - 21).to_string();
        let row = |user: &str, pid: u32, parent: &str, command: &str| -> Vec<String> {
            let pid = pid.to_string();
            let cells = match ps_args {
                "aux" | "-aux" => {
                    vec![user, &pid, "0.0", "0.0", "1320", "4", "?", "Ss", &at, "0:00", command]
                }
                _ => vec![user, &pid, parent, "0", &at, "?", "00:00:00", command],
            };
            cells.into_iter().map(Into::into).collect()
        };
        let titles = match ps_args {
            "" | "-ef" => "UID PID PPID C STIME TTY TIME CMD",
            "aux" | "-aux" => "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
            _ => return Err(Refusal::server("Error running ps: exit status 1")),
        };
        let processes = match self.program.as_ref().map(|program| program.end) {
            Some(End::Serve) => {
                let master = "nginx: master process nginx -g daemon off;";
                let worker = "nginx: worker process";
                let parent = self.pid.to_string();
                vec![
                    row("root", self.pid, &shim, master),
                    row("systemd+", self.pid + 30, &parent, worker),
                ]
            }
            _ => vec![row("root", self.pid, &shim, &self.argv.join(" "))],
        };
        let titles: Vec<&str> = titles.split(' ').collect();
        Ok(json!({"Processes": processes, "Titles": titles}))
    }
}

impl Image {
    /// One entry of the list.
    pub(in crate::engine) fn summary(&self) -> Value {
        json!({
            "Containers": -1,
            "Created": self.created().as_second(),
            "Id": self.id,
            "Labels": null,
            "ParentId": "",
            "RepoDigests": null,
            "RepoTags": self.tags,
            "SharedSize": -1,
            "Size": self.size,
            "VirtualSize": self.size,
        })
    }

    /// The answer to an inspection.
    pub(in crate::engine) fn inspect(&self) -> Value {
        let dir = |name: &str| format!("/var/lib/docker/overlay2/{}/{name}", self.layer());
        json!({
            "Id": self.id,
            "RepoTags": self.tags,
            "RepoDigests": [],
            "Parent": "",
            "Comment": "",
            "Created": self.created().to_string(),
            "Container": "",
            "ContainerConfig": self.config,
            "DockerVersion": "20.10.24",
            "Author": "",
            "Config": self.config,
            "Architecture": "amd64",
            "Os": "linux",
            "Size": self.size,
            "VirtualSize": self.size,
            "GraphDriver": {
                "Data": {
                    "MergedDir": dir("merged"),
                    "UpperDir": dir("diff"),
                    "WorkDir": dir("work"),
                },
                "Name": "overlay2",
            },
            "RootFS": {"Type": "layers", "Layers": [format!("sha256:{}", self.layer())]},
            "Metadata": {"LastTagTime": self.pulled.to_string()},
        })
    }
}

impl State {
    /// Running, paused and stopped containers, as `/info` counts them: one that waits
    /// for its restart counts as stopped.
    pub(in crate::engine) fn counts(&self) -> (usize, usize, usize) {
        let count =
            |wanted: fn(&Container) -> bool| self.containers.values().filter(|c| wanted(c)).count();
        (
            count(|c| c.status == Status::Running),
            count(|c| c.status == Status::Paused),
            count(|c| !matches!(c.status, Status::Running | Status::Paused)),
        )
    }
}
