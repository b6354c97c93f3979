//! The two JSON objects that describe a container, completed as an engine completes them.
//!
//! They stay JSON: the engine reads a few fields and shows all of them. What is fixed is their
//! order, their defaults and what a field of the wrong type is answered with.

use serde_json::{Map, Value, json};

use super::refusal::Refusal;

/// The type of a field, which also decides its default.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Flag,
    Number,
    /// A list of texts, `null` by default.
    Texts,
    /// A list of texts, or one text that stands for a list of one.
    Argv,
    /// An object or a list of objects, `null` by default.
    Other,
    /// As the others, left out unless given.
    OptionalText,
    OptionalFlag,
    OptionalNumber,
    OptionalOther,
}

use Kind::{
    Argv, Flag, Number, OptionalFlag, OptionalNumber, OptionalOther, OptionalText, Other, Text,
    Texts,
};

const CONFIG: &[(&str, Kind)] = &[
    ("Hostname", Text),
    ("Domainname", Text),
    ("User", Text),
    ("AttachStdin", Flag),
    ("AttachStdout", Flag),
    ("AttachStderr", Flag),
    ("ExposedPorts", OptionalOther),
    ("Tty", Flag),
    ("OpenStdin", Flag),
    ("StdinOnce", Flag),
    ("Env", Texts),
    ("Cmd", Argv),
    ("Healthcheck", OptionalOther),
    ("ArgsEscaped", OptionalFlag),
    ("Image", Text),
    ("Volumes", Other),
    ("WorkingDir", Text),
    ("Entrypoint", Argv),
    ("NetworkDisabled", OptionalFlag),
    ("MacAddress", OptionalText),
    ("OnBuild", Texts),
    ("Labels", Other),
    ("StopSignal", OptionalText),
    ("StopTimeout", OptionalNumber),
    ("Shell", OptionalOther),
];

const HOST_CONFIG: &[(&str, Kind)] = &[
    ("Binds", Texts),
    ("ContainerIDFile", Text),
    ("LogConfig", Other),
    ("NetworkMode", Text),
    ("PortBindings", Other),
    ("RestartPolicy", Other),
    ("AutoRemove", Flag),
    ("VolumeDriver", Text),
    ("VolumesFrom", Texts),
    ("CapAdd", Argv),
    ("CapDrop", Argv),
    ("CgroupnsMode", Text),
    ("Dns", Texts),
    ("DnsOptions", Texts),
    ("DnsSearch", Texts),
    ("ExtraHosts", Texts),
    ("GroupAdd", Texts),
    ("IpcMode", Text),
    ("Cgroup", Text),
    ("Links", Texts),
    ("OomScoreAdj", Number),
    ("PidMode", Text),
    ("Privileged", Flag),
    ("PublishAllPorts", Flag),
    ("ReadonlyRootfs", Flag),
    ("SecurityOpt", Texts),
    ("StorageOpt", OptionalOther),
    ("Tmpfs", OptionalOther),
    ("UTSMode", Text),
    ("UsernsMode", Text),
    ("ShmSize", Number),
    ("Sysctls", OptionalOther),
    ("Runtime", Text),
    ("ConsoleSize", Other),
    ("Isolation", Text),
    ("CpuShares", Number),
    ("Memory", Number),
    ("NanoCpus", Number),
    ("CgroupParent", Text),
    ("BlkioWeight", Number),
    ("BlkioWeightDevice", Other),
    ("BlkioDeviceReadBps", Other),
    ("BlkioDeviceWriteBps", Other),
    ("BlkioDeviceReadIOps", Other),
    ("BlkioDeviceWriteIOps", Other),
    ("CpuPeriod", Number),
    ("CpuQuota", Number),
    ("CpuRealtimePeriod", Number),
    ("CpuRealtimeRuntime", Number),
    ("CpusetCpus", Text),
    ("CpusetMems", Text),
    ("Devices", Other),
    ("DeviceCgroupRules", Texts),
    ("DeviceRequests", Other),
    ("KernelMemory", Number),
    ("KernelMemoryTCP", Number),
    ("MemoryReservation", Number),
    ("MemorySwap", Number),
    ("MemorySwappiness", Other),
    ("OomKillDisable", Flag),
    ("PidsLimit", Other),
    ("Ulimits", Other),
    ("CpuCount", Number),
    ("CpuPercent", Number),
    ("IOMaximumIOps", Number),
    ("IOMaximumBandwidth", Number),
    ("Mounts", OptionalOther),
    ("MaskedPaths", Other),
    ("ReadonlyPaths", Other),
    ("Init", OptionalFlag),
];

/// A container's own settings out of a create request.
///
/// # Errors
/// 400 for an empty request; the words of Go's decoder for a field of the wrong type.
pub(in crate::engine) fn of_container(
    body: &Map<String, Value>,
) -> Result<Map<String, Value>, Refusal> {
    if !CONFIG.iter().any(|(name, _)| get(body, name).is_some()) {
        return Err(Refusal::bad("Config cannot be empty in order to create a container"));
    }
    complete(body, CONFIG, "")
}

/// The settings that an image gives its containers.
pub(in crate::engine) fn of_image(given: &Map<String, Value>) -> Map<String, Value> {
    complete(given, CONFIG, "").expect("the image catalogue is well typed")
}

/// What a container asks of its host, out of a create request.
///
/// # Errors
/// The words of Go's decoder for a field of the wrong type.
pub(in crate::engine) fn of_host(body: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let none = Map::new();
    let given = get(body, "HostConfig").and_then(Value::as_object).unwrap_or(&none);
    let mut host = complete(given, HOST_CONFIG, "HostConfig.")?;
    let mut default = |name: &str, value: Value| {
        let unset = |v: &Value| v.is_null() || *v == json!("") || *v == json!(0);
        if host.get(name).is_some_and(unset) {
            host[name] = value;
        }
    };
    default("LogConfig", json!({"Type": "json-file", "Config": {}}));
    default("NetworkMode", json!("default"));
    default("RestartPolicy", json!({"Name": "", "MaximumRetryCount": 0}));
    default("CgroupnsMode", json!("host"));
    default("IpcMode", json!("private"));
    default("ShmSize", json!(64 << 20));
    default("Runtime", json!("runc"));
    default("ConsoleSize", json!([0, 0]));
    let proc = ["asound", "acpi", "kcore", "keys", "latency_stats", "timer_list", "timer_stats"];
    let mut masked: Vec<String> = proc.iter().map(|name| format!("/proc/{name}")).collect();
    masked.extend(["/proc/sched_debug", "/proc/scsi", "/sys/firmware"].map(String::from));
    default("MaskedPaths", json!(masked));
    default(
        "ReadonlyPaths",
        json!(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
    );
    if host["LogConfig"]["Type"].as_str().is_none_or(str::is_empty) {
        host["LogConfig"] = json!({"Type": "json-file", "Config": {}});
    }
    host["RestartPolicy"] =
        typed(&host["RestartPolicy"], &[("Name", json!("")), ("MaximumRetryCount", json!(0))]);
    let binding = [("HostIp", json!("")), ("HostPort", json!(""))];
    for list in host["PortBindings"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        for given in list.as_array_mut().into_iter().flatten() {
            *given = typed(given, &binding);
        }
    }
    if let (Some(memory @ 1..), Some(0)) = (host["Memory"].as_i64(), host["MemorySwap"].as_i64()) {
        host["MemorySwap"] = json!(memory.saturating_mul(2));
    }
    Ok(host)
}

/// An object with just these fields, in this order; what is not given has its default.
fn typed(given: &Value, fields: &[(&str, Value)]) -> Value {
    let value = |name: &str| given.as_object().and_then(|given| get(given, name)).cloned();
    let field = |(name, default): &(&str, Value)| {
        ((*name).to_owned(), value(name).unwrap_or_else(|| default.clone()))
    };
    Value::Object(fields.iter().map(field).collect())
}

/// A field, whatever the case of its letters: Go's decoder does not mind.
pub(in crate::engine) fn get<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    })
}

/// The texts of a list field; empty when it is null or absent.
pub(in crate::engine) fn texts(object: &Map<String, Value>, name: &str) -> Vec<String> {
    let items = object.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(Into::into).collect()
}

fn complete(
    given: &Map<String, Value>,
    fields: &[(&str, Kind)],
    path: &str,
) -> Result<Map<String, Value>, Refusal> {
    let mut out = Map::new();
    for (name, kind) in fields {
        let value = match get(given, name) {
            None | Some(Value::Null) => match kind {
                Text => json!(""),
                Flag => json!(false),
                Number => json!(0),
                Texts | Argv | Other => Value::Null,
                OptionalText | OptionalFlag | OptionalNumber | OptionalOther => continue,
            },
            Some(Value::String(one)) if *kind == Argv => json!([one]),
            Some(value) => {
                check(*kind, value, path, name)?;
                sorted(value.clone())
            }
        };
        out.insert((*name).to_owned(), value);
    }
    Ok(out)
}

/// Refuses a value of the wrong type, as Go's decoder does.
fn check(kind: Kind, value: &Value, path: &str, name: &str) -> Result<(), Refusal> {
    let (fits, wanted) = match kind {
        Text | OptionalText => (value.is_string(), "string"),
        Flag | OptionalFlag => (value.is_boolean(), "bool"),
        Number => (value.is_i64() || value.is_u64(), "int64"),
        OptionalNumber => (value.is_i64(), "int"),
        Texts => (value.is_array(), "[]string"),
        Argv => (value.is_array(), "strslice.StrSlice"),
        Other | OptionalOther => return Ok(()),
    };
    if fits {
        return Ok(());
    }
    let found = match value {
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        Value::Object(_) | Value::Null => "object",
    };
    Err(Refusal::server(format!(
        "json: cannot unmarshal {found} into Go struct field ContainerConfigWrapper.{path}{name} \
         of type {wanted}"
    )))
}

/// Go writes the keys of a map in order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(mut map) => {
            map.sort_keys();
            Value::Object(map)
        }
        other => other,
    }
}

/// Completes a container's settings with those of its image.
pub(in crate::engine) fn merge(config: &mut Map<String, Value>, image: &Map<String, Value>) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    let entrypoint_given = !empty(&config["Entrypoint"]);
    if !entrypoint_given {
        // An empty list is a wish for no entrypoint at all; only null means the image's.
        if config["Entrypoint"].is_null() {
            config["Entrypoint"] = image["Entrypoint"].clone();
        }
        if empty(&config["Cmd"]) {
            config["Cmd"] = image["Cmd"].clone();
        }
    }
    for name in ["User", "WorkingDir"] {
        if empty(&config[name]) {
            config[name] = image[name].clone();
        }
    }
    for name in ["StopSignal", "Healthcheck"] {
        if !config.contains_key(name)
            && let Some(value) = image.get(name)
        {
            config.insert(name.to_owned(), value.clone());
        }
    }
    for name in ["ExposedPorts", "Volumes", "Labels"] {
        merge_map(config, image, name);
    }
    if config["Labels"].is_null() {
        config["Labels"] = json!({});
    }
    let mut env = texts(config, "Env");
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    for entry in texts(image, "Env") {
        if !env.iter().any(|given| key(given) == key(&entry)) {
            env.push(entry);
        }
    }
    if !env.is_empty() {
        config["Env"] = json!(env);
    }
    // What was inserted last goes to its place in the engine's order.
    let mut values = std::mem::take(config);
    for (name, _) in CONFIG {
        if let Some((name, value)) = values.remove_entry(*name) {
            config.insert(name, value);
        }
    }
}

fn merge_map(config: &mut Map<String, Value>, image: &Map<String, Value>, name: &str) {
    let Some(Value::Object(theirs)) = image.get(name) else {
        return;
    };
    let mut ours = config.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in theirs {
        ours.entry(key.as_str()).or_insert_with(|| value.clone());
    }
    ours.sort_keys();
    config.insert(name.to_owned(), Value::Object(ours));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_field_of_the_wrong_type_is_refused_in_the_words_of_go() {
        let refusal = of_container(&object(json!({"Image": 1}))).unwrap_err();
        assert_eq!(
            refusal.message,
            "json: cannot unmarshal number into Go struct field ContainerConfigWrapper.Image of \
             type string"
        );
        let refusal = of_host(&object(json!({"HostConfig": {"Memory": "1g"}}))).unwrap_err();
        assert!(refusal.message.contains("ContainerConfigWrapper.HostConfig.Memory of type int64"));
        let refusal = of_container(&object(json!({"HostConfig": {}}))).unwrap_err();
        assert_eq!(refusal.status, 400);
    }

    #[test]
    fn an_image_fills_the_gaps_and_no_more() {
        let image = of_image(&object(json!({
            "Env": ["PATH=/bin", "A=image"],
            "Cmd": ["serve"],
            "Entrypoint": ["/entry"],
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGQUIT",
        })));
        let mut plain = of_container(&object(json!({"Image": "x", "Env": ["A=mine"]}))).unwrap();
        merge(&mut plain, &image);
        assert_eq!(plain["Cmd"], json!(["serve"]));
        assert_eq!(plain["Entrypoint"], json!(["/entry"]));
        assert_eq!(plain["Env"], json!(["A=mine", "PATH=/bin"]));
        assert_eq!(plain["StopSignal"], "SIGQUIT");
        let keys: Vec<&String> = plain.keys().collect();
        assert_eq!(keys[6], "ExposedPorts", "in the engine's order: {keys:?}");

        let mut own = of_container(&object(json!({"entrypoint": "sh", "Labels": {}}))).unwrap();
        merge(&mut own, &image);
        assert_eq!(own["Entrypoint"], json!(["sh"]));
        assert_eq!(own["Cmd"], Value::Null, "an entrypoint of one's own drops the image's command");
    }

    #[test]
    fn swap_is_twice_the_memory_unless_given() {
        let host = of_host(&object(json!({"HostConfig": {"Memory": 8 << 20}}))).unwrap();
        assert_eq!(host["MemorySwap"], json!(16 << 20));
        assert_eq!(host["NetworkMode"], "default");
    }
}
