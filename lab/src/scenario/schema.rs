//! The JSON schema of scenario files, for editors.

use schemars::SchemaGenerator;
use serde_json::Value as Json;

use super::file::File;

/// The schema as indented JSON with a line end; the same for every call.
#[must_use]
pub fn schema() -> String {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<File>();
    schema.insert("title".into(), Json::from("A swarmlab scenario"));
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{container::ContainerSpec, expect, fault, file, step};
    use super::*;

    #[test]
    fn the_committed_schema_is_the_generated_one() {
        let committed = include_str!("../../../scenarios/schema.json");
        assert!(
            committed == schema(),
            "scenarios/schema.json is stale; regenerate it with:\n\n    \
             cargo lab schema > scenarios/schema.json\n"
        );
    }

    /// The keys of every record as its reader knows them, against all records of the schema.
    #[test]
    fn the_schema_has_the_readers_keys_and_no_others() {
        let readers = [
            ("AgentKeys", file::AgentKeys::KEYS),
            ("ClusterKeys", file::ClusterKeys::KEYS),
            ("ContainerSpec", ContainerSpec::KEYS),
            ("CutKeys", fault::CutKeys::KEYS),
            ("DisconnectKeys", fault::DisconnectKeys::KEYS),
            ("EngineKeys", file::EngineKeys::KEYS),
            ("Expect", expect::Expect::KEYS),
            ("File", File::KEYS),
            ("HealKeys", fault::HealKeys::KEYS),
            ("HostKeys", file::HostKeys::KEYS),
            ("Http", expect::Http::KEYS),
            ("Info", expect::Info::KEYS),
            ("KillKeys", fault::KillKeys::KEYS),
            ("Logs", expect::Logs::KEYS),
            ("ManagerKeys", file::ManagerKeys::KEYS),
            ("PauseKeys", fault::PauseKeys::KEYS),
            ("Cert", step::Cert::KEYS),
            ("Dial", step::Dial::KEYS),
            ("Matrix", file::Matrix::KEYS),
            ("Ps", expect::Ps::KEYS),
            ("Remove", step::Remove::KEYS),
            ("Rename", step::Rename::KEYS),
            ("ResetKeys", fault::ResetKeys::KEYS),
            ("SlowKeys", fault::SlowKeys::KEYS),
            ("StartKeys", fault::StartKeys::KEYS),
            ("Step", step::StepKeys::KEYS),
            ("StopKeys", fault::StopKeys::KEYS),
            ("Store", expect::Store::KEYS),
            ("Wait", step::Wait::KEYS),
        ];
        let readers: BTreeMap<_, Vec<_>> =
            readers.into_iter().map(|(name, keys)| (name.to_owned(), keys.to_vec())).collect();
        let schema: Json = serde_json::from_str(&schema()).expect("the schema is JSON");
        let defs = schema["$defs"].as_object().expect("the schema has definitions");
        let records =
            defs.iter().map(|(name, one)| (name.as_str(), one)).chain([("File", &schema)]);
        let described: BTreeMap<_, Vec<_>> = records
            .filter_map(|(name, record)| {
                // A record that one of its fields may stand for is the second of two ways.
                let long = record.pointer("/anyOf/1/properties");
                let properties = record.get("properties").or(long)?.as_object()?;
                Some((name.to_owned(), properties.keys().map(String::as_str).collect()))
            })
            .collect();
        assert_eq!(readers, described);
    }
}
