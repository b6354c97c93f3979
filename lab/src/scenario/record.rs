//! Records and word lists of the scenario language, each declared once: the Rust type, its reader
//! and its part of the JSON schema all come from the same declaration, so they cannot disagree.

use schemars::Schema;
use serde_json::{Map, Value as Json, json};

use super::context::{Context, closest};
use super::decode::Decode;
use super::span::Spanned;
use super::yaml::{Node, Value};

/// Declares a record: a mapping with known keys.
///
/// `record! { /// doc pub struct Name: "a thing" { /// doc key: required Type, … } }`. A field is
/// `required`, `optional` (an `Option`), or `default` (its type's default when absent). After the
/// description may stand `or key`: then the value of `key` alone may stand for the whole record.
/// Doc comments become the descriptions of the schema.
macro_rules! record {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident: $what:literal $(or $short:ident)? {
            $( $(#[doc = $field_doc:literal])* $field:ident: $need:ident $ty:ty, )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            /// Where it stands in the file.
            pub span: $crate::scenario::span::Span,
            $( $(#[doc = $field_doc])* pub $field: record!(@type $need $ty), )*
        }

        impl $name {
            /// The keys it knows, in the order of the documentation.
            pub const KEYS: &[&str] = &[$(stringify!($field)),*];
        }

        impl $crate::scenario::decode::Decode for $name {
            fn decode(
                node: &$crate::scenario::yaml::Node,
                cx: &mut $crate::scenario::context::Context,
            ) -> Option<Self> {
                let short: &[&str] = &[$(stringify!($short))?];
                let fields =
                    $crate::scenario::record::Fields::open(cx, node, $what, Self::KEYS, short)?;
                $( let $field = record!(@read $need $ty, fields, cx, stringify!($field)); )*
                Some(Self {
                    span: node.span,
                    $( $field: record!(@done $need $field), )*
                })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let fields = [$((
                    stringify!($field),
                    stringify!($need) == "required",
                    concat!($($field_doc),*),
                    generator.subschema_for::<$ty>(),
                )),*];
                let short: &[&str] = &[$(stringify!($short))?];
                $crate::scenario::record::schema(concat!($($doc),*), &fields, short)
            }
        }
    };
    (@type required $ty:ty) => { $ty };
    (@type optional $ty:ty) => { Option<$ty> };
    (@type default $ty:ty) => { $ty };
    (@read required $ty:ty, $fields:ident, $cx:ident, $key:expr) => {
        $fields.required::<$ty>($cx, $key)
    };
    (@read $need:ident $ty:ty, $fields:ident, $cx:ident, $key:expr) => {
        $fields.optional::<$ty>($cx, $key)
    };
    (@done required $field:ident) => { $field? };
    (@done optional $field:ident) => { $field };
    (@done default $field:ident) => { $field.unwrap_or_default() };
}
pub(crate) use record;

/// Declares a list of words: `choice! { /// doc pub enum Name: "a thing" { /// doc A = "a", … } }`.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident: $what:literal {
            $( $(#[doc = $word_doc:literal])* $variant:ident = $word:literal, )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $( $(#[doc = $word_doc])* #[serde(rename = $word)] $variant, )*
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $( Self::$variant => $word, )* })
            }
        }

        $crate::scenario::record::words! { $name: $what { $( $variant = $word, )* } }
    };
}
pub(crate) use choice;

/// Makes an enum readable as one of a list of words.
macro_rules! words {
    ($name:ty: $what:literal { $( $variant:ident = $word:literal, )* }) => {
        impl $name {
            /// The words of the list.
            pub const WORDS: &[&str] = &[$($word),*];
        }

        impl $crate::scenario::decode::Decode for $name {
            fn decode(
                node: &$crate::scenario::yaml::Node,
                cx: &mut $crate::scenario::context::Context,
            ) -> Option<Self> {
                match cx.word(node, $what, Self::WORDS)? {
                    $( $word => Some(Self::$variant), )*
                    _ => None,
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": Self::WORDS })
            }
        }
    };
}
pub(crate) use words;

/// The fields of a record that is being read.
pub struct Fields<'a> {
    what: &'static str,
    node: &'a Node,
    entries: Vec<(&'a str, &'a Node)>,
    /// Keys that were probably meant by unknown ones: they are not missing too.
    meant: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    /// The fields of a mapping; notes each key that is not in `keys`. When `short` holds a key, a
    /// value that is no mapping is the value of that key.
    pub fn open(
        cx: &mut Context,
        node: &'a Node,
        what: &'static str,
        keys: &[&'static str],
        short: &[&'static str],
    ) -> Option<Self> {
        let mut meant = Vec::new();
        let entries = match (&node.value, short) {
            (Value::Map(entries), _) => {
                for (key, _) in entries {
                    if !keys.contains(&key.value.as_str()) {
                        meant.extend(unknown(cx, key, what, keys));
                    }
                }
                entries.iter().map(|(key, node)| (key.value.as_str(), node)).collect()
            }
            (Value::Scalar { .. } | Value::List(_), [key]) => vec![(*key, node)],
            _ => {
                let (title, found) = (cx.subject().to_owned(), node.describe());
                cx.error(
                    node.anchor(),
                    format!("{title} must be a mapping"),
                    format!("found {found}"),
                )
                .note(format!("{what} has: {}", keys.join(", ")));
                return None;
            }
        };
        Some(Self { what, node, entries, meant })
    }

    /// The value of a key that may be absent.
    pub fn optional<T: Decode>(&self, cx: &mut Context, key: &str) -> Option<T> {
        let (_, node) = self.entries.iter().find(|(name, _)| *name == key)?;
        cx.within(key, |cx| T::decode(node, cx))
    }

    /// The value of a key that must be there.
    pub fn required<T: Decode>(&self, cx: &mut Context, key: &str) -> Option<T> {
        if self.entries.iter().any(|(name, _)| *name == key) {
            return self.optional(cx, key);
        }
        if self.meant.contains(&key) {
            return None;
        }
        let label = format!("{} needs `{key}`", self.what);
        cx.error(self.node.anchor(), format!("`{key}` is missing"), label);
        None
    }
}

/// Notes an unknown key; the result is the key that was probably meant.
fn unknown(
    cx: &mut Context,
    key: &Spanned<String>,
    what: &str,
    keys: &[&'static str],
) -> Option<&'static str> {
    let found = closest(&key.value, keys.iter().copied());
    // What a step knows, apart from two keys, are verbs.
    let verb = what == "a step" && !matches!(found, Some("expect" | "within"));
    let noun = if verb { "verb" } else { "field" };
    let label = match found {
        Some(found) => format!("did you mean `{found}`?"),
        None => format!("{what} has no such {noun}"),
    };
    cx.error(key.span, format!("unknown {noun} `{}`", key.value), label)
        .note(format!("{what} has: {}", keys.join(", ")));
    found
}

/// The schema of a record: name, whether it is required, description and schema of each field.
pub fn schema(doc: &str, fields: &[(&str, bool, &str, Schema)], short: &[&str]) -> Schema {
    let describe = |text: &str| Json::String(text.trim().to_owned());
    let mut properties = Map::new();
    for (key, _, doc, schema) in fields {
        let mut value = schema.clone().to_value();
        if let Json::Object(object) = &mut value {
            object.insert("description".into(), describe(doc));
        }
        properties.insert((*key).to_owned(), value);
    }
    let required: Vec<_> =
        fields.iter().filter(|(_, required, ..)| *required).map(|(key, ..)| *key).collect();
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    if let [short] = short {
        let alone = fields.iter().find(|(key, ..)| key == short).map(|(.., schema)| schema.clone());
        object = json!({ "anyOf": [alone, object] });
    }
    object["description"] = describe(doc);
    Schema::try_from(object).expect("the schema of a record is an object")
}
