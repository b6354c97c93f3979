//! Constraint and affinity expressions, as the classic manager reads them: `zone==external`,
//! `node!=/engine-[12]/`, `disk==~ssd`.

use std::borrow::Cow;

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::context::Context;
use super::decode::Decode;
use super::yaml::Node;

/// One expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// As written; this is what the manager gets.
    pub text: String,
    /// What is looked at: `node`, a label, `container`, `image`.
    pub key: String,
    /// Whether the operator is `!=`.
    pub negated: bool,
    /// Whether it is a wish only (`~`): the manager drops it when no node is left.
    pub soft: bool,
    /// What it is compared with, without leading `~`.
    pub pattern: String,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        // `==` is looked for first, wherever it stands.
        let (key, value, negated) = match (text.split_once("=="), text.split_once("!=")) {
            (Some((key, value)), _) => (key, value, false),
            (None, Some((key, value))) => (key, value, true),
            (None, None) => {
                return Err(match text.split_once('=') {
                    Some((key, value)) => format!("did you mean `{key}=={value}`?"),
                    None => "an expression has one of the operators == and !=".to_owned(),
                });
            }
        };
        let key_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let first = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !(first && key.len() > 1 && key.bytes().all(key_good)) {
            return Err(match key.trim() == key {
                true => format!("`{key}` is not a key: two or more of a-z 0-9 _ - ."),
                false => format!("no blanks around the operator: `{}`", squeeze(text)),
            });
        }
        let value_good =
            |byte: u8| byte.is_ascii_alphanumeric() || b":-_.*/()?+[]\\^$| \t".contains(&byte);
        // One of `=!/` may lead; the rest follows the manager's list of characters.
        let rest = value.strip_prefix(['=', '!', '/']).unwrap_or(value);
        let rest = rest.strip_prefix('~').unwrap_or(rest);
        let slash_only = rest.is_empty() && value.ends_with('/');
        if !(slash_only || !rest.is_empty() && rest.bytes().all(value_good)) {
            let found = rest.chars().find(|c| !c.is_ascii() || !value_good(*c as u8));
            return Err(match found {
                Some(found) => format!("`{found}` is not allowed in the value of an expression"),
                None => "the value is missing".to_owned(),
            });
        }
        let pattern = value.trim_start_matches('~');
        if let Err(error) = compile(pattern) {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            return Err(format!("`{pattern}` is not a pattern: {why}"));
        }
        Ok(Self {
            text: text.to_owned(),
            key: key.to_owned(),
            negated,
            soft: value.starts_with('~'),
            pattern: pattern.to_owned(),
        })
    }

    /// Whether a node with these candidate texts satisfies it.
    #[must_use]
    pub fn matches(&self, candidates: &[&str]) -> bool {
        let found = compile(&self.pattern)
            .is_ok_and(|regex| candidates.iter().any(|text| regex.is_match(text)));
        found != self.negated
    }
}

/// The pattern as a regular expression: `/…/` is one, anything else is a glob whose only special
/// sign is `*` but in which the other signs of regular expressions keep their meaning.
fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    let inside = pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    match inside {
        Some(inside) => Regex::new(inside),
        None => Regex::new(&format!("^{}$", pattern.replace('*', ".*"))),
    }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect()
}

impl Decode for Expression {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let text = String::decode(node, cx)?;
        match Self::parse(&text) {
            Ok(expression) => Some(expression),
            Err(why) => {
                cx.error(node.span, format!("`{text}` is not an expression"), why)
                    .note("examples: zone==external, node!=dockerhost01, disk==~ssd");
                None
            }
        }
    }
}

impl JsonSchema for Expression {
    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An expression: KEY==VALUE or KEY!=VALUE; `~` before VALUE makes it a \
                wish, VALUE may be a glob or a /regular expression/.",
            "type": "string",
            "pattern": "^[A-Za-z_][A-Za-z0-9_.-]+(==|!=).+$",
            "examples": ["zone==external", "node!=dockerhost01", "disk==~ssd"],
        })
    }
}
