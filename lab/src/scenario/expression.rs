//! Constraint and affinity expressions, read by the manager's own parser: `zone==external`,
//! `node!=/engine-[12]/`, `disk==~ssd`.

use std::borrow::Cow;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use swarm::scheduler::Expr;

use super::context::Context;
use super::decode::Decode;
use super::yaml::Node;

/// One expression, as written and as the manager understands it.
#[derive(Clone, Debug)]
pub struct Expression {
    /// As written; this is what the manager gets.
    pub text: String,
    expr: Expr,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Deref for Expression {
    type Target = Expr;

    fn deref(&self) -> &Expr {
        &self.expr
    }
}

impl Expression {
    /// Reads an expression. Unlike the manager it refuses a pattern that is no regular expression:
    /// there it matches nothing, which nobody means. And it takes no single `=`, which managers
    /// other than ours refuse.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.contains("==") && !text.contains("!=") {
            return Err(advice(text));
        }
        let expr = Expr::parse(text).map_err(|_| advice(text))?;
        if !expr.is_valid() {
            return Err(format!("`{}` is not a regular expression", expr.pattern));
        }
        Ok(Self { text: text.to_owned(), expr })
    }
}

/// What is wrong with a text that the manager's parser refuses, in words that help.
fn advice(text: &str) -> String {
    let operator = if text.contains("==") { "==" } else { "!=" };
    let Some((key, value)) = text.split_once(operator) else {
        return match text.split_once('=') {
            Some((key, value)) => format!("did you mean `{key}=={value}`?"),
            None => "an expression has one of the operators == and !=".to_owned(),
        };
    };
    if key.ends_with(char::is_whitespace) || value.starts_with(char::is_whitespace) {
        return format!(
            "no blanks around the operator: `{}{operator}{}`",
            key.trim(),
            value.trim()
        );
    }
    if Expr::parse(&format!("{key}==x")).is_err() {
        return format!("`{key}` is not a key: two or more of a-z 0-9 _ - .");
    }
    if value.trim_start_matches('~').is_empty() {
        return "the value is missing".to_owned();
    }
    format!("`{value}` is not a value: no quotes, commas, braces, @ or = in it")
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
            "description": "KEY==VALUE or KEY!=VALUE. `~` before VALUE makes it a wish; VALUE may \
                be a glob or a /regular expression/.",
            "type": "string",
            "pattern": "^[A-Za-z_][A-Za-z0-9_.-]+(==|!=).+$",
            "examples": ["zone==external", "node!=dockerhost01", "disk==~ssd"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Expression;

    #[test]
    fn an_expression_keeps_its_text_and_is_understood() {
        let wish = Expression::parse("disk!=~ssd*").expect("it is good");
        assert_eq!(wish.text, "disk!=~ssd*");
        assert!(wish.soft && wish.negated);
        assert_eq!((wish.key.as_str(), wish.pattern.as_str()), ("disk", "ssd*"));
    }

    #[test]
    fn what_the_manager_refuses_gets_advice() {
        for (text, advice) in [
            ("zone=a", "did you mean `zone==a`?"),
            ("zone", "an expression has one of the operators == and !="),
            ("zone == a", "no blanks around the operator: `zone==a`"),
            ("z==a", "`z` is not a key: two or more of a-z 0-9 _ - ."),
            ("zone==~", "the value is missing"),
            ("zone==/[/", "`/[/` is not a regular expression"),
        ] {
            assert_eq!(Expression::parse(text).map(|_| ()), Err(advice.to_owned()), "{text}");
        }
    }
}
