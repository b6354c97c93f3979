//! Expressions such as `region==~us-*`.

use std::fmt;
use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};

use super::Soft;

/// What one compiled expression may take: a client writes it, so it must not fill the memory.
const SIZE_LIMIT: usize = 1 << 20;

static KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?i)[a-z_][a-z0-9\-_.]+$").expect("the pattern is constant and valid")
});

// White space as in Go's regular expressions: ASCII only.
static VALUE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?i)[=!/]?(~)?[a-z0-9:\-_\t\n\f\r .*/()?+\[\]\\^$|]+$")
        .expect("the pattern is constant and valid")
});

/// A parsed expression.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    /// What is looked at: a label, or a word that the filter knows.
    pub(crate) key: String,
    /// Whether the pattern must not match.
    pub(crate) negated: bool,
    /// The value without the mark of softness.
    pub(crate) pattern: String,
    /// Whether it is a wish rather than a demand.
    pub(crate) soft: bool,
    /// `None` if it is no valid regular expression: it matches nothing then.
    regex: Option<Regex>,
}

impl Expr {
    /// Parses an expression.
    ///
    /// # Errors
    /// The classic manager's text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (key, negated, value) = if let Some((key, value)) = text.split_once("==") {
            (key, false, value)
        } else if let Some((key, value)) = text.split_once("!=") {
            (key, true, value)
        } else {
            return Err("One of operator ==, != is expected".to_owned());
        };
        if !KEY.is_match(key) {
            return Err(format!("Key '{key}' is invalid"));
        }
        if !VALUE.is_match(value) {
            return Err(format!("Value '{value}' is invalid"));
        }
        let pattern = value.trim_start_matches('~').to_owned();
        let regex = compile(&pattern);
        Ok(Self { key: key.to_owned(), negated, soft: value.starts_with('~'), pattern, regex })
    }

    /// Parses a list of expressions of one kind.
    ///
    /// # Errors
    /// The text for the first that is wrong.
    pub(crate) fn parse_all(texts: &[String]) -> Result<Vec<Self>, String> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    /// Whether it holds for these candidates: `==` if any matches, `!=` if none does.
    pub(crate) fn matches<'a>(&self, candidates: impl IntoIterator<Item = &'a str>) -> bool {
        let regex = self.regex.as_ref();
        let any =
            regex.is_some_and(|regex| candidates.into_iter().any(|text| regex.is_match(text)));
        any != self.negated
    }

    /// Whether it counts in a pass that treats soft expressions as `soft` says.
    pub(crate) fn counts(&self, soft: Soft) -> bool {
        !self.soft || soft == Soft::Enforced
    }

    /// Key, operator and pattern, without the mark of softness.
    pub(crate) fn bare(&self) -> String {
        format!("{}{}{}", self.key, self.operator(), self.pattern)
    }

    fn operator(&self) -> &'static str {
        if self.negated { "!=" } else { "==" }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let soft = if self.soft { "~" } else { "" };
        write!(f, "{}{}{soft}{}", self.key, self.operator(), self.pattern)
    }
}

/// Between slashes stands a regular expression, anywhere in the candidate; otherwise the whole
/// candidate is meant, and only `*` is translated. A single slash is an ordinary character (on
/// which the classic manager panics).
fn compile(pattern: &str) -> Option<Regex> {
    let inside = pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    let source = match inside {
        Some(inside) => inside.to_owned(),
        None => format!("^{}$", pattern.replace('*', ".*")),
    };
    RegexBuilder::new(&source).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build().ok()
}
