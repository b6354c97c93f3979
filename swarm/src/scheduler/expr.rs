//! Expressions such as `region==~us-*`.

use std::fmt;
use std::sync::{LazyLock, OnceLock};

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
pub struct Expr {
    /// What is looked at: a label, or a word that the filter knows.
    pub key: String,
    /// Whether the pattern must not match.
    pub negated: bool,
    /// The value without the mark of softness.
    pub pattern: String,
    /// Whether it is a wish rather than a demand.
    pub soft: bool,
    /// Made when it is needed: many expressions are only looked up.
    matcher: OnceLock<Matcher>,
}

/// What a pattern matches.
#[derive(Clone, Debug)]
enum Matcher {
    /// The text itself: nothing in it means anything else.
    Text,
    /// A regular expression.
    Regex(Regex),
    /// Nothing, as it is no valid regular expression.
    Nothing,
}

impl Expr {
    /// Parses an expression. A single `=`, the form of 2014, is read as `==` where nothing else
    /// could be meant: see [`old_form`].
    ///
    /// # Errors
    /// The classic manager's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (key, negated, value) = if let Some((key, value)) = text.split_once("==") {
            (key, false, value)
        } else if let Some((key, value)) = text.split_once("!=") {
            (key, true, value)
        } else if let Some((key, value)) = old_form(text) {
            (key, false, value)
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
        let (soft, matcher) = (value.starts_with('~'), OnceLock::new());
        Ok(Self { key: key.to_owned(), negated, soft, pattern, matcher })
    }

    /// Parses a list of expressions of one kind.
    ///
    /// # Errors
    /// The text for the first that is wrong.
    pub(crate) fn parse_all(texts: &[String]) -> Result<Vec<Self>, String> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    /// Whether it holds for these candidates: `==` if any matches, `!=` if none does.
    pub fn matches<'a>(&self, candidates: impl IntoIterator<Item = &'a str>) -> bool {
        self.any(candidates) != self.negated
    }

    /// Whether any of these candidates matches the pattern.
    pub(crate) fn any<'a>(&self, candidates: impl IntoIterator<Item = &'a str>) -> bool {
        let mut candidates = candidates.into_iter();
        match self.matcher() {
            Matcher::Text => candidates.any(|text| text == self.pattern),
            Matcher::Regex(regex) => candidates.any(|text| regex.is_match(text)),
            Matcher::Nothing => false,
        }
    }

    /// The only text that matches, if there is only one.
    pub(crate) fn only_text(&self) -> Option<&str> {
        is_plain(&self.pattern).then_some(&*self.pattern)
    }

    fn matcher(&self) -> &Matcher {
        self.matcher.get_or_init(|| compile(&self.pattern))
    }

    /// Whether the pattern is a valid regular expression; one that is not matches nothing.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !matches!(self.matcher(), Matcher::Nothing)
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

/// Key and value of `key=value`. The form knew neither wishes nor other operators, so a value that
/// begins like one (`=~x`, `=!x`) is refused rather than guessed at, and so is anything else that
/// `==` would refuse: then the classic text says which operators there are.
fn old_form(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let fits = KEY.is_match(key) && VALUE.is_match(value) && !value.starts_with(['~', '!', '=']);
    fits.then_some((key, value))
}

/// Between slashes stands a regular expression, anywhere in the candidate; otherwise the whole
/// candidate is meant, and only `*` is translated. A single slash is an ordinary character (on
/// which the classic manager panics).
fn compile(pattern: &str) -> Matcher {
    if is_plain(pattern) {
        return Matcher::Text;
    }
    let inside = pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    let source = match inside {
        Some(inside) => inside.to_owned(),
        None => format!("^{}$", pattern.replace('*', ".*")),
    };
    let mut builder = RegexBuilder::new(&source);
    let regex = builder.size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build();
    regex.map_or(Matcher::Nothing, Matcher::Regex)
}

/// Whether every character stands for itself. Most values are such, and need no regular expression.
fn is_plain(pattern: &str) -> bool {
    let stands_for_itself = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b' ' | b'=' | b'!')
    };
    !pattern.is_empty() && pattern.bytes().all(stands_for_itself)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        Expr::parse(text).expect_err(text)
    }

    fn matches(text: &str, candidates: &[&str]) -> bool {
        Expr::parse(text).expect(text).matches(candidates.iter().copied())
    }

    #[test]
    fn what_is_no_expression() {
        let operator = "One of operator ==, != is expected";
        for text in ["", "a", "storage>ssd", "storage<=1", "z=1", "=ssd", "storage=", "=", "!"] {
            assert_eq!(error(text), operator, "{text}");
        }
        assert_eq!(error("z==1"), "Key 'z' is invalid");
        assert_eq!(error("==1"), "Key '' is invalid");
        assert_eq!(error("1key==1"), "Key '1key' is invalid");
        assert_eq!(error("foo!=a==b"), "Key 'foo!=a' is invalid");
        assert_eq!(error("zone==a,b"), "Value 'a,b' is invalid");
        for value in ["", "~", "a@b", "a=b", "{1}", "\"a\"", "~~a", "=", "!~"] {
            let text = format!("zone=={value}");
            assert_eq!(error(&text), format!("Value '{value}' is invalid"));
        }
    }

    #[test]
    fn a_single_equals_sign_is_read_as_two_where_nothing_else_is_meant() {
        for value in ["ssd", "s*", "/^s+d$/", "a|b", "/", "(", " "] {
            let old = Expr::parse(&format!("storage={value}")).expect(value);
            assert_eq!(old.to_string(), format!("storage=={value}"));
        }
        let operator = "One of operator ==, != is expected";
        for value in ["~ssd", "!ssd", "~", "a=b", "a,b", "\"ssd\"", "a@b", "{a}", "~/x/"] {
            assert_eq!(error(&format!("storage={value}")), operator, "{value}");
        }
        // Two characters are an operator wherever they stand.
        assert_eq!(error("a=!b==c"), "Key 'a=!b' is invalid");
        assert_eq!(error("key=a!=b"), "Key 'key=a' is invalid");
        assert_eq!(Expr::parse("key===b").expect("a value may begin so").pattern, "=b");
    }

    #[test]
    fn the_parts_of_an_expression() {
        let parts = |text: &str| {
            let expr = Expr::parse(text).expect(text);
            (expr.key.clone(), expr.negated, expr.soft, expr.pattern)
        };
        assert_eq!(parts("Zone==a"), ("Zone".into(), false, false, "a".into()));
        assert_eq!(parts("zone!=~a"), ("zone".into(), true, true, "a".into()));
        assert_eq!(parts("aa===~b"), ("aa".into(), false, false, "=~b".into()));
        assert_eq!(parts("aa==!b"), ("aa".into(), false, false, "!b".into()));
        assert_eq!(parts("_x.y-z==a b"), ("_x.y-z".into(), false, false, "a b".into()));
    }

    #[test]
    fn patterns_between_slashes_are_unanchored() {
        assert!(matches("node==/node[12]/", &["my-node1-x"]));
        assert!(matches("node==/(?i)NODE1/", &["node1"]));
        assert!(!matches("node==/^node$/", &["node1"]));
        assert!(matches("node==//", &["anything"]));
    }

    #[test]
    fn other_patterns_mean_the_whole_and_translate_only_the_star() {
        assert!(matches("node==node*", &["node-17"]));
        assert!(!matches("node==node", &["node-17"]));
        assert!(matches("node==node.1", &["node-1"]));
        assert!(!matches("node==Node", &["node"]));
        // The alternation binds weaker than the anchors.
        assert!(matches("node==a|b", &["axx"]));
        assert!(matches("node==a|b", &["xxb"]));
        assert!(!matches("node==a|b", &["xax"]));
    }

    #[test]
    fn a_single_slash_is_an_ordinary_character() {
        assert!(matches("path==/", &["/"]));
        assert!(!matches("path==/", &["x"]));
    }

    #[test]
    fn not_equal_means_that_none_matches() {
        assert!(!matches("zone!=a", &["b", "a"]));
        assert!(matches("zone!=a", &["b", "c"]));
        assert!(matches("zone!=a", &[]));
        assert!(!matches("zone==a", &[]));
        assert!(matches("zone==a", &["b", "a"]));
    }

    #[test]
    fn a_pattern_that_does_not_compile_matches_nothing() {
        assert!(!matches("zone==[", &["["]));
        assert!(matches("zone!=[", &["["]));
        let deep = "(".repeat(5000);
        assert!(!matches(&format!("zone=={deep}a{}", ")".repeat(5000)), &["a"]));
    }

    #[test]
    fn what_means_one_text_is_known_without_a_regular_expression() {
        let only = |value: &str| {
            let expr = Expr::parse(&format!("zone=={value}")).expect(value);
            expr.only_text().map(str::to_owned)
        };
        for value in ["ssd", "Z1", "a:b-c_d", "a b", "!x", "9"] {
            assert_eq!(only(value).as_deref(), Some(value));
        }
        for value in
            ["a.b", "a*", "/a/", "(a)", "a|b", "a\\b", "^a", "a$", "a?", "a+", "[a]", "a\tb"]
        {
            assert_eq!(only(value), None, "{value}");
        }
        assert!(!is_plain(""));
    }

    #[test]
    fn only_a_broken_regular_expression_is_invalid() {
        let valid = |text: &str| Expr::parse(text).expect(text).is_valid();
        assert!(valid("zone==a") && valid("zone!=a*") && valid("zone==/a|b/"));
        assert!(!valid("zone==[") && !valid("zone==/(/"));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_fails_and_what_parses_is_shown_as_typed(
            text in "[a-z_]{0,3}(==|!=|=)?[~=!]?[a-z*/()+\\[\\]\\\\^$|.?]{0,8}",
        ) {
            if let Ok(expr) = Expr::parse(&text) {
                let two = if text.contains("==") || text.contains("!=") { "=" } else { "==" };
                prop_assert_eq!(expr.to_string(), text.replacen('=', two, 1));
            }
        }
    }
}
