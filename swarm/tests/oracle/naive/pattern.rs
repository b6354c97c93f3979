//! Regular expressions by their meaning: the set of places where a match that begins at some place
//! can end. No automaton and no backtracking, and nothing of the `regex` crate.

use std::collections::BTreeSet;

/// What a text means as a regular expression.
pub enum Meaning {
    /// This.
    Valid(Pattern),
    /// It is malformed.
    Invalid,
    /// The rules leave it open: RE2 and the `regex` crate read it differently.
    Open,
}

/// A regular expression.
#[derive(Debug)]
pub enum Pattern {
    Start,
    End,
    /// One character: any of these ranges, or none of them.
    One {
        ranges: Vec<(char, char)>,
        negated: bool,
        fold: bool,
    },
    Sequence(Vec<Pattern>),
    Either(Vec<Pattern>),
    Repeat {
        what: Box<Pattern>,
        least: usize,
        most: usize,
    },
}

impl Pattern {
    /// Reads it.
    pub fn read(text: &str) -> Meaning {
        let mut reader = Reader { rest: text.chars().collect(), at: 0, fold: false };
        match reader.either(0) {
            Ok(pattern) if reader.at == reader.rest.len() => Meaning::Valid(pattern),
            Ok(_) | Err(Trouble::Malformed) => Meaning::Invalid,
            Err(Trouble::Open) => Meaning::Open,
        }
    }

    /// Whether it matches anywhere in `text`.
    pub fn is_in(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        (0..=text.len()).any(|start| !self.ends(&text, &BTreeSet::from([start])).is_empty())
    }

    fn ends(&self, text: &[char], starts: &BTreeSet<usize>) -> BTreeSet<usize> {
        match self {
            Self::Start => starts.iter().copied().filter(|at| *at == 0).collect(),
            Self::End => starts.iter().copied().filter(|at| *at == text.len()).collect(),
            Self::One { ranges, negated, fold } => {
                let fits = |c: char| {
                    let hit = |c: char| ranges.iter().any(|(from, to)| (*from..=*to).contains(&c));
                    let folded = hit(c.to_ascii_lowercase()) || hit(c.to_ascii_uppercase());
                    (hit(c) || *fold && folded) != *negated
                };
                let passed = starts.iter().filter(|at| text.get(**at).copied().is_some_and(fits));
                passed.map(|at| at + 1).collect()
            }
            Self::Sequence(parts) => {
                parts.iter().fold(starts.clone(), |starts, part| part.ends(text, &starts))
            }
            Self::Either(arms) => arms.iter().flat_map(|arm| arm.ends(text, starts)).collect(),
            Self::Repeat { what, least, most } => {
                let mut reached = starts.clone();
                let mut ends = if *least == 0 { starts.clone() } else { BTreeSet::new() };
                // Every round that counts gets further, so the text's length bounds them.
                for _ in 0..(*most).min(text.len() + 1) {
                    reached = what.ends(text, &reached);
                    ends.extend(&reached);
                }
                ends
            }
        }
    }
}

/// Why reading ended.
enum Trouble {
    Malformed,
    Open,
}

struct Reader {
    rest: Vec<char>,
    at: usize,
    /// Whether letters of both cases are meant from here to the end of the group.
    fold: bool,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let here = self.peek() == Some(wanted);
        self.at += usize::from(here);
        here
    }

    fn next(&mut self) -> Result<char, Trouble> {
        let c = self.peek().ok_or(Trouble::Malformed)?;
        self.at += 1;
        Ok(c)
    }

    /// Arms between bars, up to the end or to the bracket that closes the group.
    fn either(&mut self, depth: usize) -> Result<Pattern, Trouble> {
        let fold = self.fold;
        let mut arms = vec![self.sequence(depth)?];
        while self.take('|') {
            arms.push(self.sequence(depth)?);
        }
        self.fold = fold;
        Ok(Pattern::Either(arms))
    }

    fn sequence(&mut self, depth: usize) -> Result<Pattern, Trouble> {
        let mut parts = Vec::new();
        while let Some(c) = self.peek() {
            if c == '|' || c == ')' && depth > 0 {
                break;
            }
            let flags = self.rest[self.at..].starts_with(&['(', '?', 'i', ')']);
            if flags {
                self.at += 4;
                self.fold = true;
                if self.peek().is_some_and(is_repetition) {
                    return Err(Trouble::Malformed);
                }
                continue;
            }
            let mut part = self.one(depth)?;
            while let Some(c) = self.peek().filter(|c| is_repetition(*c)) {
                self.at += 1;
                // Being lazy changes what is matched, not whether.
                self.take('?');
                let (least, most) = match c {
                    '*' => (0, usize::MAX),
                    '+' => (1, usize::MAX),
                    _ => (0, 1),
                };
                part = Pattern::Repeat { what: Box::new(part), least, most };
            }
            parts.push(part);
        }
        Ok(Pattern::Sequence(parts))
    }

    fn one(&mut self, depth: usize) -> Result<Pattern, Trouble> {
        match self.next()? {
            '^' => Ok(Pattern::Start),
            '$' => Ok(Pattern::End),
            '.' => Ok(Pattern::One { ranges: vec![('\n', '\n')], negated: true, fold: false }),
            '(' => {
                if self.take('?') && !self.take(':') {
                    return Err(Trouble::Open);
                }
                let inside = self.either(depth + 1)?;
                if self.take(')') { Ok(inside) } else { Err(Trouble::Malformed) }
            }
            '[' => self.class(),
            '\\' => self.escaped(),
            ')' | '*' | '+' | '?' => Err(Trouble::Malformed),
            c => Ok(Pattern::One { ranges: vec![(c, c)], negated: false, fold: self.fold }),
        }
    }

    fn escaped(&mut self) -> Result<Pattern, Trouble> {
        let c = self.next()?;
        let ranges = match c {
            'd' | 'D' => vec![('0', '9')],
            'w' | 'W' => vec![('0', '9'), ('a', 'z'), ('A', 'Z'), ('_', '_')],
            c if c.is_ascii_alphanumeric() || !c.is_ascii_graphic() => return Err(Trouble::Open),
            c => vec![(c, c)],
        };
        Ok(Pattern::One { ranges, negated: c.is_ascii_uppercase(), fold: self.fold })
    }

    fn class(&mut self) -> Result<Pattern, Trouble> {
        let negated = self.take('^');
        let mut ranges = Vec::new();
        // A bracket or hyphen that comes first is an ordinary character.
        loop {
            let c = self.next()?;
            match c {
                ']' if !ranges.is_empty() => break,
                '[' | '\\' => return Err(Trouble::Open),
                _ => {}
            }
            let mut to = c;
            if self.peek() == Some('-') && self.rest.get(self.at + 1) != Some(&']') {
                self.at += 1;
                to = self.next()?;
                if matches!(to, '-' | '[' | '\\') || c == '-' || self.peek() == Some('-') {
                    return Err(Trouble::Open);
                }
                if to < c {
                    return Err(Trouble::Malformed);
                }
            }
            ranges.push((c, to));
        }
        Ok(Pattern::One { ranges, negated, fold: self.fold })
    }
}

fn is_repetition(c: char) -> bool {
    matches!(c, '*' | '+' | '?')
}

#[test]
fn patterns_mean_what_they_should() {
    let is_in = |pattern: &str, text: &str| match Pattern::read(pattern) {
        Meaning::Valid(pattern) => Some(pattern.is_in(text)),
        Meaning::Invalid | Meaning::Open => None,
    };
    for (pattern, text) in [
        ("b+c", "abbbc"),
        ("^(a|b)*c$", "abbac"),
        ("^a?a?aa$", "aa"),
        ("[^b-d]", "bcde"),
        ("[]a-]x", "-x"),
        ("(?i)NoDE", "a-node"),
        ("^(?:.*)$", ""),
        ("^a|b$", "xxb"),
        ("\\d\\.\\d", "1.2"),
        ("(a*)+b", "aab"),
        ("(a|)+$", "b"),
    ] {
        assert_eq!(is_in(pattern, text), Some(true), "{pattern} {text}");
    }
    for (pattern, text) in
        [("b+c", "abb"), ("^a$", "aa"), ("[^a]", "a"), ("a.b", "a\nb"), ("A", "a")]
    {
        assert_eq!(is_in(pattern, text), Some(false), "{pattern} {text}");
    }
    for malformed in ["(", ")", "[", "[]", "*", "+a", "a|*", "[b-a]", "\\", "(?i)*"] {
        assert!(matches!(Pattern::read(malformed), Meaning::Invalid), "{malformed}");
    }
}
