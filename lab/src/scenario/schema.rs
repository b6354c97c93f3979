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
}
