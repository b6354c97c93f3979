//! From a tree to typed values: one trait that reads a value and describes it in the schema.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Number, Value as Json};

use super::context::{Context, suggestion};
use super::scalar::Kind;
use super::span::{Span, Spanned};
use super::yaml::{Node, Value};

/// A value that can be read from a file. Its schema says the same as its reader.
pub trait Decode: Sized + JsonSchema {
    /// Reads the value, or notes what is wrong with it.
    fn decode(node: &Node, cx: &mut Context) -> Option<Self>;
}

impl Context {
    /// Notes that a value has the wrong type.
    pub(super) fn mismatch(&mut self, node: &Node, wanted: &str) {
        let (title, found) = (format!("{} must be {wanted}", self.subject()), node.describe());
        self.error(node.anchor(), title, format!("found {found}"));
    }

    /// The text of a scalar that is text, whatever it looks like when it has no quotes.
    pub(super) fn scalar<'a>(&mut self, node: &'a Node, wanted: &str) -> Option<(&'a str, Kind)> {
        match &node.value {
            Value::Scalar { text, plain } => {
                let kind = if *plain { Kind::of(text) } else { Kind::Text };
                if kind != Kind::Null {
                    return Some((text, kind));
                }
                self.mismatch(node, wanted);
                None
            }
            _ => {
                self.mismatch(node, wanted);
                None
            }
        }
    }

    /// A word out of a list, or a message with the list.
    pub(super) fn word(
        &mut self,
        node: &Node,
        what: &str,
        known: &[&'static str],
    ) -> Option<&'static str> {
        let (text, kind) = self.scalar(node, what)?;
        if kind == Kind::Trap {
            self.trap(node, text);
            return None;
        }
        if let Some(found) = known.iter().find(|word| **word == text) {
            return Some(found);
        }
        let noun = what.strip_prefix("a ").or(what.strip_prefix("an ")).unwrap_or(what);
        let label = suggestion(text, known.iter().copied(), &format!("not {what}"));
        let note = format!("{what} is one of: {}", known.join(", "));
        self.error(node.span, format!("unknown {noun} `{text}`"), label).note(note);
        None
    }

    /// Notes a word that YAML 1.1 and 1.2 read differently.
    pub(super) fn trap(&mut self, node: &Node, text: &str) {
        let title = format!("`{text}` without quotes is not the same for every YAML reader");
        let label = if text.contains(':') {
            format!("write \"{text}\": some read it as a number to the base 60")
        } else if text.contains(|c: char| c.is_ascii_digit()) {
            format!("write \"{text}\", or the number in decimal digits")
        } else {
            format!("write `true` or `false`, or \"{text}\" for the word")
        };
        self.error(node.span, title, label);
    }
}

impl Node {
    /// What to underline when the whole value is meant: all of it if that is one line of text,
    /// else where it begins.
    pub(super) fn anchor(&self) -> Span {
        match &self.value {
            Value::Scalar { .. } => self.span,
            Value::List(items) => items.first().map_or(self.span, |first| Span {
                start: self.span.start,
                end: self.span.end.min(first.span.end.max(self.span.start + 1)),
            }),
            Value::Map(entries) => entries.first().map_or(self.span, |(key, _)| Span {
                start: self.span.start,
                end: self.span.end.min(key.span.end.max(self.span.start + 1)),
            }),
        }
    }

    /// What it is, for "found …".
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Scalar { plain: false, .. } => "text in quotes".to_owned(),
            Value::Scalar { text, .. } => match Kind::of(text) {
                Kind::Null => "nothing".to_owned(),
                Kind::Boolean => format!("`{text}`"),
                Kind::Integer | Kind::Float => format!("the number {text}"),
                Kind::Text | Kind::Trap => format!("the text `{text}`"),
            },
        }
    }
}

impl Decode for String {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let (text, kind) = cx.scalar(node, "text")?;
        match kind {
            Kind::Text => Some(text.to_owned()),
            Kind::Trap => {
                cx.trap(node, text);
                None
            }
            _ => {
                let title = format!("{} must be text", cx.subject());
                let label = format!("found {}: write \"{text}\"", node.describe());
                cx.error(node.span, title, label);
                None
            }
        }
    }
}

/// Text that may look like a number, such as a port or the value of a variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word(pub String);

impl Decode for Word {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let (text, kind) = cx.scalar(node, "text or a number")?;
        match kind {
            Kind::Trap => {
                cx.trap(node, text);
                None
            }
            Kind::Boolean => {
                // A variable has text, and each language writes its booleans differently.
                let title = format!("{} must be text or a number", cx.subject());
                cx.error(node.span, title, format!("found `{text}`: write \"{text}\""));
                None
            }
            _ => Some(Self(text.to_owned())),
        }
    }
}

impl JsonSchema for Word {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"] })
    }
}

impl Decode for bool {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        match cx.scalar(node, "`true` or `false`")? {
            ("true", Kind::Boolean) => Some(true),
            ("false", Kind::Boolean) => Some(false),
            (text, Kind::Trap | Kind::Boolean) => {
                let title = format!("{} must be `true` or `false`", cx.subject());
                let meant = matches!(text.to_lowercase().as_str(), "true" | "on" | "yes" | "y");
                cx.error(node.span, title, format!("write `{meant}` instead of `{text}`"));
                None
            }
            _ => {
                cx.mismatch(node, "`true` or `false`");
                None
            }
        }
    }
}

macro_rules! whole_number {
    ($($ty:ty: $wanted:literal),*) => {$(
        impl Decode for $ty {
            fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
                let (text, kind) = cx.scalar(node, $wanted)?;
                let number = if kind == Kind::Integer { text.parse().ok() } else { None };
                if number.is_none() {
                    cx.mismatch(node, $wanted);
                }
                number
            }
        }
    )*};
}

whole_number! {
    u16: "a whole number from 0 to 65535",
    u32: "a whole number, 0 or more",
    u64: "a whole number, 0 or more",
    i64: "a whole number"
}

impl<T: Decode> Decode for Spanned<T> {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        Some(Self::new(T::decode(node, cx)?, node.span))
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A list. Items that cannot be read are noted and left out.
impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let Value::List(items) = &node.value else {
            let title = format!("{} must be a list", cx.subject());
            let mut label = format!("found {}", node.describe());
            if let Value::Scalar { text, plain } = &node.value {
                let items = match plain {
                    true => text.split_whitespace().collect::<Vec<_>>().join(", "),
                    false => format!("\"{text}\""),
                };
                if !items.is_empty() {
                    label += &format!(": write [{items}]");
                }
            }
            cx.error(node.anchor(), title, label);
            return None;
        };
        Some(cx.items(|cx| items.iter().filter_map(|item| T::decode(item, cx)).collect()))
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Many<T>(pub Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> std::ops::Deref for Many<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Decode> Decode for Many<T> {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        match &node.value {
            Value::List(_) => Vec::decode(node, cx).map(Self),
            _ => Some(Self(T::decode(node, cx).into_iter().collect())),
        }
    }
}

impl<T: JsonSchema> JsonSchema for Many<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Many{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// A mapping whose keys are names, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<T>(pub Vec<Entry<T>>);

/// An entry of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<T> {
    /// The name.
    pub key: Spanned<String>,
    /// The value, unless it could not be read.
    pub value: Option<T>,
    /// Whether the value is free of mistakes.
    pub clean: bool,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Decode> Decode for Table<T> {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            cx.mismatch(node, "a mapping");
            return None;
        };
        let read = |(key, node): &(Spanned<String>, Node)| {
            let before = cx.mistakes();
            let value = cx.within(&key.value, |cx| T::decode(node, cx));
            Entry { key: key.clone(), value, clean: cx.mistakes() == before }
        };
        Some(Self(entries.iter().map(read).collect()))
    }
}

impl<T: JsonSchema> JsonSchema for Table<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Table{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

/// Any value, as JSON.
impl Decode for Json {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        match &node.value {
            Value::List(items) => {
                Some(items.iter().filter_map(|item| Self::decode(item, cx)).collect())
            }
            Value::Map(entries) => {
                let read = |(key, node): &(Spanned<String>, Node)| {
                    Some((key.value.clone(), Self::decode(node, cx)?))
                };
                Some(entries.iter().filter_map(read).collect())
            }
            Value::Scalar { text, plain: false } => Some(Self::String(text.clone())),
            Value::Scalar { text, .. } => match Kind::of(text) {
                Kind::Null => Some(Self::Null),
                Kind::Boolean => Some(Self::Bool(text.eq_ignore_ascii_case("true"))),
                Kind::Integer => {
                    text.parse().ok().map(|n: i64| Self::Number(n.into())).or_else(|| {
                        cx.mismatch(node, "a number of at most 64 bits");
                        None
                    })
                }
                Kind::Float => text.parse().ok().and_then(Number::from_f64).map(Self::Number),
                Kind::Text => Some(Self::String(text.clone())),
                Kind::Trap => {
                    cx.trap(node, text);
                    None
                }
            },
        }
    }
}
