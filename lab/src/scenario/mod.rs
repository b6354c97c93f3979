//! Scenario files: from YAML text to a cluster and a list of steps, or to a report of everything
//! that is wrong with the text.
//!
//! [`load`] is the way in. A file is read in three passes, each of which notes all mistakes it
//! finds instead of stopping at the first: a tree in which everything knows its place (`yaml`),
//! typed values (`decode`, and the declarations made with `record!`), and what only the whole can
//! tell (`resolve`, `check`).

mod cert;
mod check;
pub mod cluster;
pub mod container;
mod context;
mod decode;
mod diagnostic;
pub mod endpoint;
pub mod expect;
mod expression;
pub mod fault;
mod file;
mod load;
mod name;
mod port;
mod record;
mod resolve;
mod scalar;
mod schema;
mod span;
pub mod step;
mod yaml;

#[cfg(test)]
mod tests;

pub use cert::{CertKind, Guise, Holder};
pub use container::ContainerSpec;
pub use decode::{Entry, Many, Table, Word};
pub use diagnostic::{Diagnostic, Report};
pub use expect::Expect;
pub use expression::Expression;
pub use fault::Fault;
pub use file::Invariant;
pub use load::{Overrides, Scenario, load, load_all, parse};
pub use name::{Names, Range};
pub use port::{Exposed, Port, Protocol};
pub use scalar::{Memory, Period};
pub use schema::schema;
pub use span::{Source, Span, Spanned};
pub use step::{Step, Verb};
