//! Names with ranges: `web[1:3]`.

use std::borrow::Cow;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::context::Context;
use super::decode::Decode;
use super::span::Span;
use super::yaml::Node;

/// Most names that one range stands for.
const RANGE_LENGTH_MAX: usize = 100_000;

/// Names written as one text: one name, or several by a range such as `web[1:3]` (the classic
/// manager's notation). Both ends belong to it; leading zeros of the first set the width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Where they stand in the file.
    pub span: Span,
    /// As written.
    pub text: String,
    /// All of them, in order; never empty.
    pub all: Vec<String>,
}

impl Deref for Names {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.all
    }
}

/// Expands the range of a text; a text without a range stands for itself.
///
/// # Errors
/// What is wrong with the range.
pub fn expand(text: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = text.split_once('[') else {
        return match text.contains(']') {
            true => Err("a `]` without its `[`".to_owned()),
            false => Ok(vec![text.to_owned()]),
        };
    };
    let Some((range, after)) = rest.split_once(']') else {
        return Err("a `[` without its `]`".to_owned());
    };
    if after.contains(['[', ']']) {
        return Err("a name has one range at most".to_owned());
    }
    let Some((first, last)) = range.split_once(':') else {
        return Err(format!("a range is two whole numbers, as in `{before}[1:3]{after}`"));
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = if digits { text.parse::<usize>().ok() } else { None };
        number.ok_or_else(|| format!("`{text}` is not a whole number"))
    };
    let (from, to) = (number(first)?, number(last)?);
    if from > to {
        return Err(format!("the range is empty: did you mean `[{last}:{first}]`?"));
    }
    if to - from >= RANGE_LENGTH_MAX {
        return Err(format!("more than {RANGE_LENGTH_MAX} names"));
    }
    let width = if first.starts_with('0') { first.len() } else { 0 };
    Ok((from..=to).map(|n| format!("{before}{n:0width$}{after}")).collect())
}

impl Decode for Names {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let text = String::decode(node, cx)?;
        let all = match expand(&text) {
            Ok(all) => all,
            Err(why) => {
                cx.error(node.span, format!("`{text}` is not a name"), why);
                return None;
            }
        };
        // The engine's own rule for container names.
        let good = |name: &String| {
            name.len() > 1
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        };
        if !all.iter().all(good) {
            let label = "two or more of a-z A-Z 0-9 _ . - beginning with a letter or digit";
            cx.error(node.span, format!("`{text}` is not a container name"), label);
            return None;
        }
        Some(Self { span: node.span, text, all })
    }
}

impl JsonSchema for Names {
    fn schema_name() -> Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A container's name; `web[1:3]` stands for web1, web2 and web3.",
            "type": "string",
            "examples": ["db", "web[1:3]"],
        })
    }
}
