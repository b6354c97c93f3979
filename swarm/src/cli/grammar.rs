//! Go's flag grammar, driven by tables of flags.
//!
//! clap cannot express it (one dash or two for every name, `-f v` and `-f=v`, switches that take
//! only `=false`), and scripts written for the classic manager rely on it.

use std::collections::{BTreeMap, BTreeSet};

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, or `=true` / `=false`.
    Switch,
    /// One text; the last one given counts.
    Text,
    /// One whole number.
    Number,
    /// A text each time it is given.
    List,
}

/// One flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// Its spellings without dashes, the main one first.
    pub names: &'static [&'static str],
    pub kind: Kind,
    /// Its value when not given; empty for none.
    pub default: &'static str,
    /// The environment variable that replaces the default; empty for none.
    pub env: &'static str,
    /// One line of help.
    pub usage: &'static str,
}

impl Flag {
    const fn new(
        kind: Kind,
        names: &'static [&'static str],
        default: &'static str,
        usage: &'static str,
    ) -> Self {
        Self { names, kind, default, env: "", usage }
    }

    pub(super) const fn switch(names: &'static [&'static str], usage: &'static str) -> Self {
        Self::new(Kind::Switch, names, "", usage)
    }

    pub(super) const fn text(
        names: &'static [&'static str],
        default: &'static str,
        usage: &'static str,
    ) -> Self {
        Self::new(Kind::Text, names, default, usage)
    }

    pub(super) const fn number(
        names: &'static [&'static str],
        default: &'static str,
        usage: &'static str,
    ) -> Self {
        Self::new(Kind::Number, names, default, usage)
    }

    pub(super) const fn list(
        names: &'static [&'static str],
        default: &'static str,
        usage: &'static str,
    ) -> Self {
        Self::new(Kind::List, names, default, usage)
    }

    pub(super) const fn or_env(mut self, env: &'static str) -> Self {
        self.env = env;
        self
    }
}

/// The flag every command has.
pub(super) const HELP: Flag = Flag::switch(&["help", "h"], "show help");

/// Why a command line was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misuse {
    /// What is wrong, in Go's words.
    pub message: String,
    /// Whether the help is announced by `Incorrect Usage.` rather than by the message.
    pub announced: bool,
}

/// A command line that follows the grammar.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// Defaults or environment, by main name.
    base: BTreeMap<&'static str, Vec<String>>,
    /// What was typed, by main name.
    given: BTreeMap<&'static str, Vec<String>>,
    /// What is not a flag.
    pub positional: Vec<String>,
}

impl Parsed {
    /// Whether the flag was typed; an environment variable does not count.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The value of a text or number flag.
    pub(super) fn text(&self, name: &str) -> &str {
        let last = self.given(name).last().or_else(|| self.base(name).last());
        last.map_or("", String::as_str)
    }

    /// Whether a switch is on.
    pub(super) fn switch(&self, name: &str) -> bool {
        parse_bool(self.text(name)).unwrap_or(false)
    }

    /// The value of a number flag.
    pub(super) fn number(&self, name: &str) -> i64 {
        // The parser has refused anything else.
        self.text(name).parse().unwrap_or(0)
    }

    /// The values a list has before the typed ones: its default or its variable's.
    pub(super) fn base(&self, name: &str) -> &[String] {
        self.base.get(name).map_or(&[], Vec::as_slice)
    }

    /// The typed values of a list.
    pub(super) fn given(&self, name: &str) -> &[String] {
        self.given.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Parses the arguments of a command: if they do not begin with a flag, the leading ones are moved
/// behind the flags, so that `manage consul://host -H :4000` works.
pub(super) fn parse_command(
    flags: &[Flag],
    args: &[String],
    var: &dyn Fn(&str) -> Option<String>,
) -> Result<Parsed, Misuse> {
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let first = args[..end].iter().position(|arg| arg.starts_with('-') && arg != "-");
    let Some(first) = first else { return parse(flags, args, var) };
    let mut moved = args[first..end].to_vec();
    moved.extend_from_slice(&args[..first]);
    moved.extend_from_slice(&args[end..]);
    parse(flags, &moved, var)
}

/// Parses flags up to the first argument that is none.
pub(super) fn parse(
    flags: &[Flag],
    args: &[String],
    var: &dyn Fn(&str) -> Option<String>,
) -> Result<Parsed, Misuse> {
    let mut parsed = Parsed { base: defaults(flags, var), ..Parsed::default() };
    let mut spellings = BTreeSet::new();
    let mut rest = args.iter();
    let wrong = |message: String| Misuse { message, announced: true };
    loop {
        let left = rest.as_slice();
        let Some(arg) = left.first() else { break };
        if arg.len() < 2 || !arg.starts_with('-') {
            parsed.positional = left.to_vec();
            break;
        }
        rest.next();
        if arg == "--" {
            parsed.positional = rest.as_slice().to_vec();
            break;
        }
        let body = arg.strip_prefix("--").unwrap_or(&arg[1..]);
        if body.is_empty() || body.starts_with(['-', '=']) {
            return Err(wrong(format!("bad flag syntax: {arg}")));
        }
        let (name, inline) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let Some(flag) = flags.iter().find(|flag| flag.names.contains(&name)) else {
            return Err(wrong(format!("flag provided but not defined: -{name}")));
        };
        let value = match inline {
            Some(value) => value,
            None if flag.kind == Kind::Switch => "true".to_owned(),
            None => match rest.next() {
                Some(value) => value.clone(),
                None => return Err(wrong(format!("flag needs an argument: -{name}"))),
            },
        };
        check(flag.kind, name, &value).map_err(wrong)?;
        spellings.insert(name);
        parsed.given.entry(flag.names[0]).or_default().push(value);
    }
    for flag in flags {
        let mut used = flag.names.iter().filter(|name| spellings.contains(**name));
        if let (Some(first), Some(second)) = (used.next(), used.next()) {
            let message = format!("Cannot use two forms of the same flag: {second} {first}");
            return Err(Misuse { message, announced: false });
        }
    }
    Ok(parsed)
}

fn check(kind: Kind, name: &str, value: &str) -> Result<(), String> {
    match kind {
        Kind::Switch if parse_bool(value).is_none() => {
            Err(format!("invalid boolean value {value:?} for -{name}: parse error"))
        }
        Kind::Number if value.parse::<i64>().is_err() => {
            Err(format!("invalid value {value:?} for flag -{name}: parse error"))
        }
        _ => Ok(()),
    }
}

fn defaults(
    flags: &[Flag],
    var: &dyn Fn(&str) -> Option<String>,
) -> BTreeMap<&'static str, Vec<String>> {
    let mut base = BTreeMap::new();
    for flag in flags {
        let from_env = Some(flag.env)
            .filter(|env| !env.is_empty())
            .and_then(var)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty());
        let value = match (flag.kind, from_env) {
            // A variable that is no truth value is as good as none.
            (Kind::Switch, Some(value)) if parse_bool(&value).is_none() => None,
            (_, Some(value)) => Some(value),
            (_, None) => Some(flag.default.to_owned()).filter(|value| !value.is_empty()),
        };
        let Some(value) = value else { continue };
        let values = match flag.kind {
            Kind::List => value.split(',').map(|one| one.trim().to_owned()).collect(),
            _ => vec![value],
        };
        base.insert(flag.names[0], values);
    }
    base
}

/// The words Go takes for a truth value.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [Flag; 5] = [
        Flag::switch(&["cors", "c"], "").or_env("CORS"),
        Flag::text(&["strategy"], "spread", "").or_env("STRATEGY"),
        Flag::list(&["host", "H"], "d", "").or_env("HOSTS"),
        Flag::number(&["retry"], "3", ""),
        HELP,
    ];

    fn try_parse(line: &str) -> Result<Parsed, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse_command(&FLAGS, &args, &|_| None).map_err(|misuse| misuse.message)
    }

    #[test]
    fn one_dash_or_two_with_blank_or_equals_sign() {
        assert_eq!(try_parse("-strategy=x").unwrap().text("strategy"), "x");
        assert_eq!(try_parse("--strategy=a=b").unwrap().text("strategy"), "a=b");
        assert_eq!(try_parse("-H a -H b").unwrap().given("host"), ["a", "b"]);
        assert_eq!(try_parse("").unwrap().text("strategy"), "spread");
        assert!(try_parse("-c").unwrap().switch("cors"));
        assert!(!try_parse("-c=false").unwrap().switch("cors"));
        assert_eq!(try_parse("-retry -7").unwrap().number("retry"), -7);
    }

    #[test]
    fn leading_positionals_move_behind_the_flags_and_later_ones_end_them() {
        let parsed = try_parse("consul://h -H :4000").unwrap();
        assert_eq!(parsed.positional, ["consul://h"]);
        assert_eq!(parsed.given("host"), [":4000"]);
        let parsed = try_parse("-H :1 a:1 --cors").unwrap();
        assert_eq!(parsed.positional, ["a:1", "--cors"]);
        let parsed = try_parse("a -H :1 -- -b").unwrap();
        assert_eq!(parsed.positional, ["a", "--", "-b"]);
    }

    #[test]
    fn mistakes_are_told_in_the_words_of_go() {
        for (line, message) in [
            ("--bogus", "flag provided but not defined: -bogus"),
            ("--host", "flag needs an argument: -host"),
            ("---host", "bad flag syntax: ---host"),
            ("-=x", "bad flag syntax: -=x"),
            ("--cors=maybe", "invalid boolean value \"maybe\" for -cors: parse error"),
            ("--retry x", "invalid value \"x\" for flag -retry: parse error"),
            ("-H a --host b", "Cannot use two forms of the same flag: H host"),
        ] {
            assert_eq!(try_parse(line).unwrap_err(), message);
        }
    }

    #[test]
    fn variables_replace_defaults_and_typed_values_come_on_top() {
        let var = |name: &str| match name {
            "HOSTS" => Some("a, b".to_owned()),
            "CORS" => Some("maybe".to_owned()),
            "STRATEGY" => Some("random".to_owned()),
            _ => None,
        };
        let parsed = parse_command(&FLAGS, &["-H".into(), "c".into()], &var).unwrap();
        assert_eq!(parsed.base("host"), ["a", "b"]);
        assert_eq!(parsed.given("host"), ["c"]);
        assert_eq!(parsed.text("strategy"), "random");
        assert!(!parsed.is_set("strategy"));
        assert!(!parsed.switch("cors"));
    }
}
