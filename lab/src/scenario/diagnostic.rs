//! Messages that show the line of the file: title, place, line, underline, notes.
//!
//! The layout is our own, two columns narrower than a compiler's, so that a message fits under
//! the report of a run:
//!
//! ```text
//!   error: unknown field `adress`
//!     ┌ scenarios/vagrant4.yaml:8:23
//!   8 │     dockerhost01:  { adress: 10.100.199.201, engine: {} }
//!     │                      ^^^^^^ did you mean `address`?
//!     = a host has: address, store, manager, engine, agent
//! ```

use std::fmt;

use super::span::{Source, Span};

/// Longest part of a source line that a message shows, in characters.
const LINE_LENGTH_MAX: usize = 160;

const RED: &str = "\x1b[1;31m";
const BLUE: &str = "\x1b[1;34m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// One mistake.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// The file and the place in it; none when there is no such file.
    pub place: Option<(Source, Span)>,
    /// What is wrong, as a fragment fit for "error: …".
    pub title: String,
    /// What is said right beside the underlined text; may be empty.
    pub label: String,
    /// Further paragraphs below; each may have several lines.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// Adds a paragraph.
    pub fn note(&mut self, text: impl Into<String>) -> &mut Self {
        self.notes.push(text.into());
        self
    }

    /// The message as a block of lines, each with its end, indented by two.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let paint = |style: &'static str| if color { style } else { "" };
        let (red, blue, bold, reset) = (paint(RED), paint(BLUE), paint(BOLD), paint(RESET));
        let mut out = format!("  {red}error{reset}{bold}: {}{reset}\n", clean(&self.title));
        let mut width = 3;
        if let Some((source, span)) = &self.place {
            let (line, column) = source.position(span.start);
            let number = line.to_string();
            width = width.max(number.len());
            let excerpt = Excerpt::new(source, *span);
            let path = clean(&source.path().display().to_string());
            out += &format!("{:width$} {blue}┌{reset} {path}:{line}:{column}\n", "");
            out += &format!("{blue}{number:>width$} │{reset} {}\n", excerpt.line);
            let mark = format!("{} {}", "^".repeat(excerpt.length), clean(&self.label));
            let (indent, mark) = (" ".repeat(excerpt.indent), mark.trim_end());
            out += &format!("{:width$} {blue}│{reset} {indent}{red}{mark}{reset}\n", "");
        } else if !self.label.is_empty() {
            out += &format!("{:width$} {blue}={reset} {}\n", "", clean(&self.label));
        }
        for note in &self.notes {
            for (index, line) in note.lines().enumerate() {
                let bullet = if index == 0 { "=" } else { " " };
                out += &format!("{:width$} {blue}{bullet}{reset} {}\n", "", clean(line));
            }
        }
        out
    }
}

/// What a message shows of a source line.
struct Excerpt {
    line: String,
    /// Characters before the underline.
    indent: usize,
    /// Characters of the underline, at least one.
    length: usize,
}

impl Excerpt {
    fn new(source: &Source, span: Span) -> Self {
        let (line, start) = source.line_at(span.start);
        let within = |offset| source.boundary(offset).saturating_sub(start).min(line.len());
        let from = within(span.start);
        let to = within(span.end).max(from);
        let mut indent = line[..from].chars().count();
        // A value of many lines is underlined to the end of its first.
        let mut length = line[from..to].trim_end().chars().count().max(1);
        let mut shown: Vec<char> = clean(line.trim_end()).chars().collect();
        if shown.len() > LINE_LENGTH_MAX {
            let first = indent.saturating_sub(LINE_LENGTH_MAX / 2);
            let last = (first + LINE_LENGTH_MAX).min(shown.len());
            let (cut_left, cut_right) = (first > 0, last < shown.len());
            shown = shown[first.min(last)..last].to_vec();
            indent -= first;
            if cut_left {
                shown.insert(0, '…');
                indent += 1;
            }
            length = length.min(shown.len().saturating_sub(indent)).max(1);
            if cut_right {
                shown.push('…');
            }
        }
        Self { line: shown.into_iter().collect(), indent, length }
    }
}

/// Text from a file, safe to print: a terminal obeys control characters.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// All mistakes of a scenario, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// A report of mistakes; sorted by place, file by file.
    #[must_use]
    pub fn new(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|diagnostic| {
            diagnostic
                .place
                .as_ref()
                .map(|(source, span)| (source.path().to_owned(), span.start, span.end))
        });
        Self { diagnostics }
    }

    /// The mistakes.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// All messages, with an empty line between two.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let blocks: Vec<_> = self.diagnostics.iter().map(|one| one.render(color)).collect();
        blocks.join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, start: usize, end: usize) -> Diagnostic {
        Diagnostic {
            place: Some((Source::new("f.yaml", text), Span { start, end })),
            title: "wrong".to_owned(),
            label: "here".to_owned(),
            notes: vec!["one\ntwo".to_owned(), "three".to_owned()],
        }
    }

    #[test]
    fn a_message_shows_the_line_and_its_notes() {
        insta::assert_snapshot!(message("a: 1\nb: {c: ä, d: 2}\n", 9, 17).render(false), @"
          error: wrong
            ┌ f.yaml:2:5
          2 │ b: {c: ä, d: 2}
            │     ^^^^^^^ here
            = one
              two
            = three
        ");
    }

    #[test]
    fn the_margin_grows_with_the_line_number() {
        let text = "\n".repeat(1233) + "key: value";
        let rendered = message(&text, 1233, 1236).render(false);
        assert!(rendered.contains("\n     ┌ f.yaml:1234:1\n1234 │ key: value\n     │ ^^^ here\n"));
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}KEY{}", "a".repeat(500), "b".repeat(500));
        let rendered = message(&text, 500, 503).render(false);
        let mut lines = rendered.lines().skip(2);
        let (line, mark) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let column = |text: &str, sign: &str| text.find(sign).map(|at| text[..at].chars().count());
        assert_eq!(column(line, "KEY"), column(mark, "^^^ here"), "{rendered}");
        assert!(line.chars().count() < 200 && line.ends_with('…'), "{rendered}");
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        let rendered = message("a: \x1b[31m\tred", 3, 8).render(false);
        assert!(!rendered.contains(['\x1b', '\t']), "{rendered:?}");
    }

    #[test]
    fn a_place_behind_the_end_or_inside_a_character_is_no_reason_to_stop() {
        for start in 0..9 {
            assert!(message("ä: ö\n", start, start + 3).render(true).contains("here"));
        }
    }
}
