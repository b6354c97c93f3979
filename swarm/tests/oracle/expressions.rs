//! Expressions alone: grammar, texts, and what they match.

use proptest::prelude::{Strategy, prop_assert_eq, prop_oneof, proptest};
use swarm::scheduler::Expr;

use crate::{config, generate, naive};

/// The real one in the words of the oracle.
fn parse(text: &str) -> Result<(naive::Expr, Expr), String> {
    let real = Expr::parse(text)?;
    let operator = if real.negated { "!=" } else { "==" };
    let (key, value) = (real.key.clone(), real.pattern.clone());
    Ok((naive::Expr { key, operator, value, soft: real.soft }, real))
}

/// A pattern that is valid more often than a heap of characters is.
fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => "[a-c]",
        1 => "\\.",
        1 => "\\[\\^?[a-c](-c)?\\]",
        1 => "\\\\[.dw*]",
        1 => "[\\^$]",
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            3 => pair.clone().prop_map(|(a, b)| format!("{a}{b}")),
            2 => (inner.clone(), "[*+?]\\??").prop_map(|(a, op)| format!("({a}){op}")),
            1 => pair.prop_map(|(a, b)| format!("({a}|{b})")),
            1 => inner.prop_map(|a| format!("((?i){a})")),
        ]
    })
}

proptest! {
    #![proptest_config(config())]

    /// What is an expression and what is not, with the texts for clients.
    #[test]
    fn expressions_are_read_alike(
        text in prop_oneof![
            generate::expression("constraint"),
            "[a-zA-Z0-9_.\\-!=~ ]{0,5}(==|!=|=|)[~=!/a-z,@{}\"'éſ\u{212a}:\\-_ \t\u{a0}*|]{0,5}",
        ],
    ) {
        let real = parse(&text).map(|(parts, _)| parts);
        prop_assert_eq!(real, naive::read_expression(&text));
    }

    /// Globs and regular expressions match alike.
    #[test]
    fn expressions_match_alike(
        value in prop_oneof![
            generate::value(),
            "[a-c.*?|+()]{0,6}",
            pattern(),
            pattern().prop_map(|pattern| format!("/{pattern}/")),
        ],
        operator in proptest::sample::select(vec!["==", "!="]),
        candidates in proptest::collection::vec("[a-cA-C.1 ]{0,5}|node-[12]|z1", 0..4),
    ) {
        let text = format!("key{operator}{value}");
        let (Ok(naive), Ok((_, real))) = (naive::read_expression(&text), parse(&text)) else {
            return Ok(());
        };
        // Where the rules leave it open there is nothing to compare.
        let Some(expected) = naive.holds(&candidates) else { return Ok(()) };
        prop_assert_eq!(real.matches(candidates.iter().map(String::as_str)), expected);
    }
}
