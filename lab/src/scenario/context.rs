//! What goes along while a file is read: its source, and the mistakes found so far.

use super::diagnostic::Diagnostic;
use super::span::{Source, Span};

/// The source of a file and its mistakes. Reading goes on after a mistake, so that one run tells
/// of all of them.
#[derive(Debug)]
pub struct Context {
    source: Source,
    diagnostics: Vec<Diagnostic>,
    /// What is being read, for messages: the innermost key.
    subject: String,
}

impl Context {
    /// A context without mistakes.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, diagnostics: Vec::new(), subject: "the file".to_owned() }
    }

    /// The file that is being read.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Number of mistakes so far.
    #[must_use]
    pub fn mistakes(&self) -> usize {
        self.diagnostics.len()
    }

    /// All mistakes.
    #[must_use]
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    /// Adds the mistakes found in another file.
    pub fn extend(&mut self, diagnostics: Vec<Diagnostic>) {
        self.diagnostics.extend(diagnostics);
    }

    /// Notes a mistake at a place of this file. The result takes further notes.
    pub fn error(
        &mut self,
        span: Span,
        title: impl Into<String>,
        label: impl Into<String>,
    ) -> &mut Diagnostic {
        let place = Some((self.source.clone(), span));
        let (title, label) = (title.into(), label.into());
        self.diagnostics.push(Diagnostic { place, title, label, notes: Vec::new() });
        self.diagnostics.last_mut().expect("a diagnostic was just pushed")
    }

    /// Whether there is a mistake inside a place: then nothing is said about what it lacks.
    pub(super) fn spoiled(&self, span: Span) -> bool {
        self.diagnostics.iter().filter_map(|one| one.place.as_ref()).any(|(source, inner)| {
            *source == self.source && span.start <= inner.start && inner.end <= span.end
        })
    }

    /// The innermost key that is being read, as it appears in messages.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// Runs `read` with `subject` as the innermost key.
    pub(super) fn within<T>(&mut self, subject: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.about(format!("`{subject}`"), read)
    }

    /// Runs `read` for the items of the innermost key.
    pub(super) fn items<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        self.about(format!("an item of {}", self.subject), read)
    }

    fn about<T>(&mut self, subject: String, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.subject, subject);
        let result = read(self);
        self.subject = outer;
        result
    }
}

/// Words people try first, and the word they find here.
const SYNONYMS: &[(&str, &str)] = &[
    ("cmd", "command"),
    ("constraint", "constraints"),
    ("affinity", "affinities"),
    ("container_name", "name"),
    ("cpu", "cpus"),
    ("delete", "rm"),
    ("env", "environment"),
    ("host", "node"),
    ("hostnames", "hosts"),
    ("ip", "address"),
    ("label", "labels"),
    ("mem", "memory"),
    ("mem_limit", "memory"),
    ("net", "network_mode"),
    ("nodes", "hosts"),
    ("output", "logs"),
    ("port", "ports"),
    ("remove", "rm"),
    ("resume", "unpause"),
    ("status", "state"),
    ("subnet", "network"),
    ("timeout", "within"),
];

/// The known word that was probably meant.
pub(super) fn closest<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let lower = word.to_lowercase().replace('-', "_");
    let synonyms = SYNONYMS.iter().filter(|(from, _)| *from == lower).map(|(_, to)| *to);
    for synonym in synonyms {
        if let Some(found) = known.clone().into_iter().find(|candidate| *candidate == synonym) {
            return Some(found);
        }
    }
    // Two typing errors in a long word, one in a short one; none in one of two letters.
    let limit = match lower.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    known
        .into_iter()
        .map(|candidate| {
            let distance =
                strsim::damerau_levenshtein(&lower, &candidate.to_lowercase().replace('-', "_"));
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean …?", or what to say when nothing is close.
pub(super) fn suggestion<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
    otherwise: &str,
) -> String {
    match closest(word, known) {
        Some(found) => format!("did you mean `{found}`?"),
        None => otherwise.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn typing_errors_and_other_tools_words_find_the_known_one() {
        let keys = ["name", "image", "environment", "ports", "cpus", "rm"];
        let meant = |word| closest(word, keys);
        assert_eq!(meant("nmae"), Some("name"));
        assert_eq!(meant("Image"), Some("image"));
        assert_eq!(meant("enviroment"), Some("environment"));
        assert_eq!(meant("env"), Some("environment"));
        assert_eq!(meant("remove"), Some("rm"));
        assert_eq!(meant("colour"), None);
        assert_eq!(meant("x"), None);
        assert_eq!(closest("env", ["name"]), None, "a word that is not known here is no help");
    }
}
