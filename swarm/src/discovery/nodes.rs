//! `nodes://a:2375,b:2375`: the list is the URL.

use std::sync::Arc;

use super::entry::{Entry, Parsed, expand};
use super::{Discovery, Watch, cannot_register};
use crate::ctx::{BoxFuture, Ctx};

/// A fixed list.
pub(super) struct Nodes {
    ctx: Ctx,
    entries: Vec<Entry>,
}

impl Nodes {
    /// Reads a comma-separated list; blanks count.
    ///
    /// # Errors
    /// What is wrong with the first bad entry, with the classic manager's advice.
    pub(super) fn new(ctx: &Ctx, list: &str) -> Result<Self, String> {
        let parsed = Parsed::of(list.split(',').flat_map(expand));
        match parsed.errors.first() {
            None => Ok(Self { ctx: ctx.clone(), entries: parsed.entries }),
            Some(error) => Err(format!(
                "{error}, please check you are using the correct discovery (missing token:// ?)"
            )),
        }
    }
}

impl Discovery for Nodes {
    fn watch(self: Arc<Self>) -> Watch {
        Watch::spawn(&self.ctx.clone(), |batches| async move {
            // A receiver that is gone needs no batch.
            let _ = batches.send(Ok(self.entries.clone())).await;
        })
    }

    fn register<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), String>> {
        cannot_register()
    }
}
