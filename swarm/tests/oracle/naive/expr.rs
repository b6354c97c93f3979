//! Expressions by their grammar.

use super::pattern::{Meaning, Pattern};

/// An expression taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr {
    pub key: String,
    /// `==` or `!=`.
    pub operator: &'static str,
    /// Without the mark of softness.
    pub value: String,
    pub soft: bool,
}

/// Reads an expression, or tells the client why not.
pub fn read(text: &str) -> Result<Expr, String> {
    let operator = ["==", "!="].into_iter().find(|operator| text.contains(operator));
    let Some(operator) = operator else { return read_old(text) };
    let place = text.find(operator).expect("it is contained");
    let (key, value) = (&text[..place], &text[place + 2..]);
    if !is_key(key) {
        return Err(format!("Key '{key}' is invalid"));
    }
    if !is_value(value) {
        return Err(format!("Value '{value}' is invalid"));
    }
    let soft = value.starts_with('~');
    let value = value.trim_start_matches('~').to_owned();
    Ok(Expr { key: key.to_owned(), operator, value, soft })
}

/// The form of 2014, `key=value`, with neither `~` nor another operator: a documented addition.
fn read_old(text: &str) -> Result<Expr, String> {
    let place = text.find('=');
    let parts = place.map(|place| (&text[..place], &text[place + 1..]));
    match parts {
        Some((key, value))
            if is_key(key) && is_value(value) && !value.starts_with(['~', '!', '=']) =>
        {
            let (key, value) = (key.to_owned(), value.to_owned());
            Ok(Expr { key, operator: "==", value, soft: false })
        }
        _ => Err("One of operator ==, != is expected".to_owned()),
    }
}

/// A letter or underscore, then at least one more.
fn is_key(key: &str) -> bool {
    let mut characters = key.chars();
    let first = characters.next().is_some_and(|c| is_letter(c) || c == '_');
    let mut rest = characters.peekable();
    first
        && rest.peek().is_some()
        && rest.all(|c| is_letter(c) || c.is_ascii_digit() || "-_.".contains(c))
}

/// The rules ignore case, and two letters beyond ASCII are other cases of `k` and `s`.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '\u{212a}' || c == '\u{17f}'
}

/// One of `=`, `!`, `/` if it likes, `~` if it likes, then at least one of those allowed.
fn is_value(value: &str) -> bool {
    let rest = |value: &str| {
        let value = value.strip_prefix('~').unwrap_or(value);
        !value.is_empty()
            && value.chars().all(|c| {
                is_letter(c) || c.is_ascii_digit() || ":-_ \t\n\x0c\r.*/()?+[]\\^$|".contains(c)
            })
    };
    rest(value) || value.strip_prefix(['=', '!', '/']).is_some_and(rest)
}

impl Expr {
    /// Whether it holds for these candidates; `None` where the rules leave it open.
    pub fn holds(&self, candidates: &[String]) -> Option<bool> {
        let inside = self.value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let source = match inside {
            Some(inside) => inside.to_owned(),
            None => format!("^{}$", self.value.replace('*', ".*")),
        };
        let any = match Pattern::read(&source) {
            Meaning::Valid(pattern) => candidates.iter().any(|text| pattern.is_in(text)),
            Meaning::Invalid => false,
            Meaning::Open => return None,
        };
        Some(any == (self.operator == "=="))
    }

    /// Without softness, as in the texts for clients.
    pub fn shown(&self) -> String {
        format!("{}{}{}", self.key, self.operator, self.value)
    }

    /// With softness.
    pub fn shown_with_softness(&self) -> String {
        format!("{} (soft={})", self.shown(), self.soft)
    }
}
