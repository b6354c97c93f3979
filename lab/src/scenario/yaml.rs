//! A YAML document as a tree in which every key and every value knows its place.
//!
//! Scalars stay text: what `on` or `012` means depends on what is wanted, and the decoder knows.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span as YamlSpan};

use super::context::Context;
use super::span::{Span, Spanned};

/// Most values of a file once its aliases are written out: keeps a "billion laughs" file small.
const NODES_MAX: usize = 200_000;

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Its place. An absent value has the place of its key.
    pub span: Span,
}

/// A YAML value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text, number, boolean or null.
    Scalar {
        /// The text, without quotes.
        text: String,
        /// Whether it stood there without quotes.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file, without its duplicates.
    Map(Vec<(Spanned<String>, Node)>),
}

/// Reads a document. What is not YAML, and what YAML allows but scenarios do not (tags, two
/// documents, keys that are not text), is reported to the context; then there may be no tree.
pub fn parse(cx: &mut Context) -> Option<Node> {
    let text = cx.source().text().clone();
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_unresolved_aliases = true;
    let mut builder = Builder { cx, anchors: BTreeMap::new(), nodes: 0, stack: Vec::new() };
    for next in Parser::new_from_str_with_options(&text, options) {
        match next {
            Ok((event, span)) => {
                if !builder.event(event, bytes(&span, text.len())) {
                    return None;
                }
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
                let at = Span { start: at, end: at };
                builder.cx.error(at, "this is not YAML", error.info());
                return None;
            }
        }
    }
    match builder.stack.pop() {
        Some(Open::Document(root)) => root,
        _ => None,
    }
}

fn bytes(span: &YamlSpan, end: usize) -> Span {
    let range = span.byte_range().unwrap_or(end..end);
    Span { start: range.start, end: range.end }
}

/// A value that is not complete yet.
enum Open {
    Document(Option<Node>),
    List { items: Vec<Node>, start: Span, anchor: usize },
    Map { entries: Vec<(Spanned<String>, Node)>, key: Key, start: Span, anchor: usize },
}

/// The key whose value comes next.
enum Key {
    None,
    Some(Spanned<String>),
    /// A key that was refused: its value is dropped.
    Refused,
}

struct Builder<'a> {
    cx: &'a mut Context,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    stack: Vec<Open>,
}

impl Builder<'_> {
    /// Takes one event; `false` ends the reading.
    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        if let Some(tag) = event.tag() {
            let title = format!("the YAML tag `{}` means nothing here", tag.original());
            self.cx.error(span, title, "write the value without it");
        }
        match event {
            Event::DocumentStart(..) => {
                if !self.stack.is_empty() {
                    let label = "a second one begins here";
                    self.cx.error(span, "a scenario file holds one YAML document", label);
                    return false;
                }
                self.stack.push(Open::Document(None));
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let value = Value::Scalar { text: text.into_owned(), plain };
                return self.place(Node { value, span }, anchor, 1);
            }
            Event::SequenceStart(_, anchor, _) => {
                self.stack.push(Open::List { items: Vec::new(), start: span, anchor });
            }
            Event::MappingStart(_, anchor, _) => {
                let (entries, key) = (Vec::new(), Key::None);
                self.stack.push(Open::Map { entries, key, start: span, anchor });
            }
            Event::SequenceEnd | Event::MappingEnd => return self.close(span),
            Event::Alias(id) => {
                if let Some(node) = self.anchors.get(&id).cloned() {
                    let size = node.size();
                    return self.place(node, 0, size);
                }
                self.cx.error(span, "this alias refers to a value it is part of", "");
                return false;
            }
            Event::UnresolvedAlias(name) => {
                self.cx.error(span, format!("there is no anchor `&{name}` above this line"), "");
                return false;
            }
            _ => {}
        }
        true
    }

    fn close(&mut self, end: Span) -> bool {
        let (value, start, anchor) = match self.stack.pop() {
            Some(Open::List { items, start, anchor }) => (Value::List(items), start, anchor),
            Some(Open::Map { entries, start, anchor, .. }) => (Value::Map(entries), start, anchor),
            _ => return false,
        };
        self.place(Node { value, span: Span { start: start.start, end: end.end } }, anchor, 1)
    }

    /// Puts a complete value, which adds `size` values to the tree, where it belongs.
    fn place(&mut self, mut node: Node, anchor: usize, size: usize) -> bool {
        self.nodes += size;
        if self.nodes > NODES_MAX {
            let title = format!("the file has more than {NODES_MAX} values");
            self.cx.error(node.span, title, "an alias may stand for too much");
            return false;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            Some(Open::Document(root)) => *root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match std::mem::replace(key, Key::None) {
                Key::None => *key = self.cx.key(node, entries).map_or(Key::Refused, Key::Some),
                Key::Refused => {}
                Key::Some(name) => {
                    if node.span.start == node.span.end {
                        node.span = name.span;
                    }
                    entries.push((name, node));
                }
            },
            None => return false,
        }
        true
    }
}

impl Context {
    /// A mapping's key, if it is one: text, and not a duplicate.
    fn key(&mut self, node: Node, entries: &[(Spanned<String>, Node)]) -> Option<Spanned<String>> {
        let Value::Scalar { text, .. } = node.value else {
            self.error(node.span, "a key must be text", "this is a list or a mapping");
            return None;
        };
        if let Some((first, _)) = entries.iter().find(|(key, _)| key.value == text) {
            let (line, column) = self.source().position(first.span.start);
            let label = format!("the first is at {line}:{column}");
            self.error(node.span, format!("`{text}` is given twice"), label);
            return None;
        }
        Some(Spanned::new(text, node.span))
    }
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().find(|(name, _)| name.value == key).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// Number of items, if this is a list; 0 if not.
    pub fn len(&self) -> usize {
        match &self.value {
            Value::List(items) => items.len(),
            _ => 0,
        }
    }

    /// Number of values it holds, itself included.
    fn size(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 1,
            Value::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|(_, node)| node.size()).sum::<usize>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::span::Source;
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let mut cx = Context::new(Source::new("f.yaml", text));
        let root = parse(&mut cx);
        (root, cx.into_diagnostics().into_iter().map(|one| one.title).collect())
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let text = "a: [ä, \"b c\"]\nd:\n  e: f\n";
        let (root, mistakes) = read(text);
        let root = root.expect("the text is YAML");
        assert!(mistakes.is_empty());
        let Value::Map(entries) = &root.value else { panic!("{root:?}") };
        let Value::List(items) = &entries[0].1.value else { panic!("{root:?}") };
        let slice = |span: Span| &text[span.start..span.end];
        assert_eq!([items[0].span, items[1].span].map(slice), ["ä", "\"b c\""]);
        assert_eq!(slice(entries[1].0.span), "d");
        assert_eq!(root.get("d").and_then(|d| d.get("e")).map(|e| slice(e.span)), Some("f"));
    }

    #[test]
    fn an_alias_stands_for_its_value_with_the_place_of_its_definition() {
        let (root, mistakes) = read("a: &x [1]\nb: *x\n");
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let root = root.expect("the text is YAML");
        let spans = ["a", "b"].map(|key| root.get(key).map(|node| node.span));
        assert_eq!(spans[0], spans[1]);
    }

    #[test]
    fn aliases_cannot_blow_a_file_up() {
        let mut text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for n in 1..12 {
            let items = vec![format!("*a{}", n - 1); 10].join(", ");
            text += &format!("a{n}: &a{n} [{items}]\n");
        }
        let (root, mistakes) = read(&text);
        assert!(root.is_none());
        assert_eq!(mistakes, ["the file has more than 200000 values"]);
    }

    #[test]
    fn an_alias_inside_its_own_value_is_refused() {
        let (root, mistakes) = read("a: &x [*x]\n");
        assert!(root.is_none());
        assert_eq!(mistakes, ["this alias refers to a value it is part of"]);
    }

    #[test]
    fn the_second_of_two_equal_keys_is_a_mistake_at_any_depth() {
        let (_, mistakes) = read("a: {b: 1, b: 2}\nc: 1\n'c': 2\n");
        assert_eq!(mistakes, ["`b` is given twice", "`c` is given twice"]);
    }
}
