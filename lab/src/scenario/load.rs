//! The way in: a file is read, understood and checked, or a report says what is wrong with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check;
use super::cluster::Cluster;
use super::context::Context;
use super::decode::Decode;
use super::diagnostic::{Diagnostic, Report};
use super::fault::Action;
use super::file::{ClusterKeys, File, Invariant, Matrix};
use super::resolve::{self, Resolved};
use super::span::{Source, Span, Spanned};
use super::step::{Step, Verb};
use super::yaml::{self, Node, Value};

/// What a scenario file that is empty lacks.
const HAS: &str = "a scenario has `name`, `cluster`, `steps`";

/// What the command line says over the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `cluster.tls`.
    pub tls: Option<bool>,
}

/// A scenario that can be run: nothing in it is known to be impossible.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// The file, as the user gave it.
    pub path: PathBuf,
    /// The file's text, into which all spans point.
    pub source: Arc<str>,
    /// What stands before the first step.
    pub cluster: Cluster,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// What must hold at every moment.
    pub always: Vec<Invariant>,
}

impl Scenario {
    /// `FILE:LINE:COLUMN` of a place.
    #[must_use]
    pub fn location(&self, span: Span) -> String {
        let (line, column) = self.file().position(span.start);
        format!("{}:{line}:{column}", self.path.display())
    }

    /// A message about a place of the file, in the style of all messages.
    #[must_use]
    pub fn diagnostic(
        &self,
        span: Span,
        title: &str,
        label: &str,
        notes: &[String],
        color: bool,
    ) -> String {
        let place = Some((self.file(), span));
        let (title, label) = (title.to_owned(), label.to_owned());
        Diagnostic { place, title, label, notes: notes.to_vec() }.render(color)
    }

    /// The faults of the steps that a world does not support, each with its place; `supports` says
    /// of one why not, and what to do instead.
    #[must_use]
    pub fn unsupported(
        &self,
        supports: impl Fn(&Action) -> Result<(), (String, String)>,
    ) -> Vec<Diagnostic> {
        let faults = self.steps.iter().filter_map(|step| match &step.verb {
            Verb::Fault(fault) => Some(fault),
            _ => None,
        });
        let refused = faults.filter_map(|fault| Some((fault.span, supports(&fault.action).err()?)));
        let mistake = |(span, (title, label))| self.mistake(span, title, label);
        refused.map(mistake).collect()
    }

    /// A mistake at a place of the file.
    #[must_use]
    pub fn mistake(&self, span: Span, title: String, label: String) -> Diagnostic {
        Diagnostic { place: Some((self.file(), span)), title, label, notes: Vec::new() }
    }

    fn file(&self) -> Source {
        Source::new(self.path.clone(), self.source.clone())
    }
}

/// Reads the scenario of a file.
///
/// # Errors
/// Every mistake of the file.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Scenario, Report> {
    let source = read(path).map_err(|error| Report::new(vec![*error]))?;
    parse(source, overrides)
}

/// Reads the scenario of a file once for each run that its matrix asks for, or once if it has
/// none. What the command line says goes before the matrix.
///
/// # Errors
/// Every mistake of the file in the first of these runs in which it has any.
pub fn load_all(path: &Path, overrides: &Overrides) -> Result<Vec<Scenario>, Report> {
    let source = read(path).map_err(|error| Report::new(vec![*error]))?;
    let values = match overrides.tls {
        Some(_) => Vec::new(),
        None => matrix(&source).unwrap_or_default(),
    };
    if values.is_empty() {
        return Ok(vec![parse(source, overrides)?]);
    }
    let each = values.into_iter().map(|tls| Overrides { tls: Some(tls) });
    each.map(|overrides| parse(source.clone(), &overrides)).collect()
}

/// The values of `matrix.tls`, as far as they can be read; mistakes are for [`parse`] to tell.
fn matrix(source: &Source) -> Option<Vec<bool>> {
    let mut cx = Context::new(source.clone());
    let root = yaml::parse(&mut cx)?;
    let matrix = Matrix::decode(root.get("matrix")?, &mut cx)?;
    Some(matrix.tls.iter().map(|tls| tls.value).collect())
}

/// Reads the scenario of a file whose text is known already.
///
/// # Errors
/// Every mistake of the file.
pub fn parse(source: Source, overrides: &Overrides) -> Result<Scenario, Report> {
    let mut cx = Context::new(source.clone());
    let scenario = scenario(&mut cx, overrides);
    let mistakes = cx.into_diagnostics();
    match scenario {
        Some(scenario) if mistakes.is_empty() => Ok(scenario),
        _ => Err(Report::new(mistakes)),
    }
}

fn scenario(cx: &mut Context, overrides: &Overrides) -> Option<Scenario> {
    let root = tree(cx, HAS)?;
    let file = File::decode(&root, cx)?;
    check_name(&file.name, cx);
    let mut visited = BTreeSet::from([cx.source().path().to_owned()]);
    let resolved = cluster(&file.cluster, &file.name.value, overrides, cx, &mut visited);
    let all_read = file.steps.len() == root.get("steps").map_or(0, Node::len);
    check::check(&file.steps, resolved.as_ref(), all_read, cx);
    let source = cx.source();
    Some(Scenario {
        name: file.name.value,
        description: file.description.map(|text| text.value),
        path: source.path().to_owned(),
        source: source.text().clone(),
        cluster: resolved?.cluster,
        steps: file.steps,
        always: file.always.map_or_else(
            || Invariant::ALL.to_vec(),
            |always| always.iter().map(|one| one.value).collect(),
        ),
    })
}

/// A name becomes part of the names of containers and networks.
fn check_name(name: &Spanned<String>, cx: &mut Context) {
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (1..=40).contains(&name.len())
        && name.bytes().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !good {
        let label = "at most 40 of a-z 0-9 -, with - only inside";
        cx.error(name.span, format!("`{}` is not a scenario's name", name.value), label);
    }
}

/// The text of a file, or why there is none.
#[expect(clippy::disallowed_methods, reason = "scenario files are the user's own, not a world's")]
pub(super) fn read(path: &Path) -> Result<Source, Box<Diagnostic>> {
    let problem = |label: String| {
        let title = format!("cannot read `{}`", path.display());
        Box::new(Diagnostic { place: None, title, label, notes: Vec::new() })
    };
    let bytes = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
    match String::from_utf8(bytes) {
        // Some editors begin a file with a byte order mark.
        Ok(text) => Ok(Source::new(path, text.trim_start_matches('\u{feff}'))),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            Err(problem(format!("byte {at} is not UTF-8 text")))
        }
    }
}

/// The tree of the context's file; an empty file has none, and `label` says what belongs there.
pub(super) fn tree(cx: &mut Context, label: &str) -> Option<Node> {
    let root = yaml::parse(cx);
    let empty = match &root {
        Some(Node { value: Value::Scalar { text, plain: true }, .. }) => text.is_empty(),
        Some(_) => false,
        None => cx.mistakes() == 0,
    };
    if empty {
        cx.error(Span::default(), "the file is empty", label);
        return None;
    }
    root
}

/// The cluster as written, or the one of the file it names.
fn cluster(
    keys: &ClusterKeys,
    name: &str,
    overrides: &Overrides,
    cx: &mut Context,
    visited: &mut BTreeSet<PathBuf>,
) -> Option<Resolved> {
    let tls = overrides.tls.or(keys.tls.as_ref().map(|tls| tls.value));
    let Some(from) = &keys.from else {
        if keys.hosts.is_none() {
            cx.error(keys.span, "`hosts` is missing", "a cluster needs `hosts`, or `from`");
            return None;
        }
        let resolved = resolve::resolve(keys, name, tls.unwrap_or(false), cx);
        resolve::check(keys, &resolved, cx);
        return Some(resolved);
    };
    let own = keys.hosts.as_ref().map(|hosts| hosts.span);
    let own = own.or(keys.network.as_ref().map(|network| network.span));
    if let Some(span) = own.or(keys.images.first().map(|image| image.span)) {
        let label = "this belongs to that file";
        cx.error(span, "a cluster that comes `from` a file is that file's", label);
    }
    from_file(from, name, Overrides { tls }, cx, visited)
}

/// The cluster of another file, as this scenario's own.
fn from_file(
    from: &Spanned<String>,
    name: &str,
    overrides: Overrides,
    cx: &mut Context,
    visited: &mut BTreeSet<PathBuf>,
) -> Option<Resolved> {
    let path = cx.source().path().parent().unwrap_or(Path::new("")).join(&from.value);
    if !visited.insert(path.clone()) {
        cx.error(from.span, "the cluster comes from itself", "this file was asked already");
        return None;
    }
    let source = match read(&path) {
        Ok(source) => source,
        Err(error) => {
            cx.error(from.span, error.title, error.label);
            return None;
        }
    };
    let mut other = Context::new(source);
    let resolved = tree(&mut other, HAS).and_then(|root| {
        let keys = cluster_keys(&root, &mut other)?;
        cluster(&keys, name, &overrides, &mut other, visited)
    });
    let mistakes = other.into_diagnostics();
    if !mistakes.is_empty() {
        let label = "see the messages about that file";
        cx.error(from.span, "the cluster's file has mistakes", label);
        cx.extend(mistakes);
    }
    resolved
}

/// The cluster of a file of which nothing else is read.
fn cluster_keys(root: &Node, cx: &mut Context) -> Option<ClusterKeys> {
    match root.get("cluster") {
        Some(node) => cx.within("cluster", |cx| ClusterKeys::decode(node, cx)),
        None => {
            cx.error(Span::default(), "the file has no `cluster`", "a scenario asks for it");
            None
        }
    }
}
