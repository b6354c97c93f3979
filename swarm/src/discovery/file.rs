//! `file:///etc/cluster`: a file with one address per line, read again every heartbeat.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::entry::{Parsed, expand};
use super::{Batch, Discovery, Watch, cannot_register};
use crate::ctx::{BoxFuture, Ctx, Level};

/// A list in a file.
pub(super) struct File {
    ctx: Ctx,
    path: String,
    heartbeat: Duration,
}

impl File {
    pub(super) fn new(ctx: &Ctx, path: &str, heartbeat: Duration) -> Self {
        Self { ctx: ctx.clone(), path: path.to_owned(), heartbeat }
    }

    fn read(&self) -> Result<Parsed, String> {
        let path = &self.path;
        let bytes = self.ctx.files.read(&PathBuf::from(path)).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                _ => error.to_string(),
            };
            format!("failed to read '{path}': open {path}: {why}")
        })?;
        let text = String::from_utf8_lossy(&bytes);
        let parsed = Parsed::of(addresses(&text));
        // Nothing but bad lines is a broken file, not an empty cluster.
        match parsed.errors.first() {
            Some(error) if parsed.entries.is_empty() => Err(error.clone()),
            _ => Ok(parsed),
        }
    }

    async fn poll(self: Arc<Self>, batches: mpsc::Sender<Batch>) {
        let mut last: Option<Parsed> = None;
        loop {
            let batch = match self.read() {
                Err(error) => Some(Err(error)),
                Ok(parsed) if last.as_ref() == Some(&parsed) => None,
                Ok(parsed) => {
                    for error in &parsed.errors {
                        self.ctx.log(Level::Warn, format!("Discovery entry ignored: {error}"));
                    }
                    let unchanged =
                        last.as_ref().is_some_and(|last| last.entries == parsed.entries);
                    let entries = parsed.entries.clone();
                    last = Some(parsed);
                    (!unchanged).then_some(Ok(entries))
                }
            };
            if let Some(batch) = batch
                && batches.send(batch).await.is_err()
            {
                return;
            }
            tokio::time::sleep(self.heartbeat).await;
        }
    }
}

/// The addresses in the text of a file: one a line, `#` starts a comment, ranges expanded.
fn addresses(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).flat_map(expand)
}

impl Discovery for File {
    fn watch(self: Arc<Self>) -> Watch {
        Watch::spawn(&self.ctx.clone(), |batches| self.poll(batches))
    }

    fn register<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), String>> {
        cannot_register()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_no_addresses() {
        let text = "# cluster\n\n a:1  # first\r\nb:[1:2]\n  #c:1\n";
        assert_eq!(addresses(text).collect::<Vec<_>>(), ["a:1", "b:1", "b:2"]);
    }
}
