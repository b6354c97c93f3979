//! Names with ranges: `web[1:3]`.

use std::borrow::Cow;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::context::Context;
use super::decode::Decode;
use super::span::Span;
use super::yaml::Node;

/// Most texts that one range stands for.
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

/// A text with one range of numbers in it at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    before: &'a str,
    /// The first number, how many there are, and how many digits each has at least.
    numbers: Option<(usize, usize, usize)>,
    after: &'a str,
}

impl<'a> Range<'a> {
    /// Reads a text; one without a range stands for itself.
    ///
    /// # Errors
    /// What is wrong with the range.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let Some((before, rest)) = text.split_once('[') else {
            return match text.contains(']') {
                true => Err("a `]` without its `[`".to_owned()),
                false => Ok(Self { before: text, numbers: None, after: "" }),
            };
        };
        let Some((range, after)) = rest.split_once(']') else {
            return Err("a `[` without its `]`".to_owned());
        };
        if after.contains(['[', ']']) {
            return Err("one range at most".to_owned());
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
            return Err(format!("a range has {RANGE_LENGTH_MAX} numbers at most"));
        }
        let width = if first.starts_with('0') { first.len() } else { 0 };
        Ok(Self { before, numbers: Some((from, to - from + 1, width)), after })
    }

    /// How many texts it stands for; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.numbers.map_or(1, |(_, count, _)| count)
    }

    /// One of the texts, counted from 0; behind the last comes the first again.
    #[must_use]
    pub fn nth(&self, index: usize) -> String {
        let Self { before, numbers, after } = self;
        match *numbers {
            Some((from, count, width)) => {
                let number = from + index % count;
                format!("{before}{number:0width$}{after}")
            }
            None => format!("{before}{after}"),
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        (0..self.count()).map(|index| self.nth(index)).collect()
    }
}

impl Decode for Names {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let text = String::decode(node, cx)?;
        let all = match Range::parse(&text) {
            Ok(range) => range.all(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<String>, String> {
        Range::parse(text).map(|range| range.all())
    }

    #[test]
    fn a_range_has_both_ends_and_the_width_of_the_first() {
        assert_eq!(
            all("web[1:3]").as_deref(),
            Ok(&["web1", "web2", "web3"].map(str::to_owned)[..])
        );
        assert_eq!(all("[09:10]-x").as_deref(), Ok(&["09-x", "10-x"].map(str::to_owned)[..]));
        assert_eq!(all("[0:1]").as_deref(), Ok(&["0", "1"].map(str::to_owned)[..]));
        assert_eq!(all("web").as_deref(), Ok(&["web".to_owned()][..]));
        assert_eq!(
            all("e[0001:1000]").map(|all| (all.len(), all[999].clone())),
            Ok((1000, "e1000".to_owned()))
        );
    }

    #[test]
    fn behind_the_last_comes_the_first() {
        let range = Range::parse("r[1:20]").expect("the range is good");
        assert_eq!([range.nth(0), range.nth(19), range.nth(20)], ["r1", "r20", "r1"]);
    }

    #[test]
    fn bad_ranges_are_refused() {
        for text in
            ["a[", "a]", "a[]", "a[1]", "a[1:]", "a[:1]", "a[2:1]", "a[1:2][1:2]", "a[-1:2]"]
        {
            assert!(all(text).is_err(), "{text}");
        }
        assert!(all("a[1:100000]").is_ok());
        assert!(all("a[0:100000]").is_err());
        assert!(all("a[1:99999999999999999999]").is_err());
    }
}
