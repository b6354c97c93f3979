//! Tar archives whose bytes depend on their content alone.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use tar::{Builder, EntryType, Header};

/// An archive in memory. Paths have no leading slash; directories above an entry are added.
pub(in crate::world::docker) struct Archive {
    builder: Builder<Vec<u8>>,
    present: BTreeSet<String>,
}

impl Archive {
    /// An empty archive.
    pub(in crate::world::docker) fn new() -> Self {
        Self { builder: Builder::new(Vec::new()), present: BTreeSet::new() }
    }

    /// Whether there is an entry called `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.present.contains(path)
    }

    /// A directory; does nothing if it is there already.
    pub(super) fn dir(&mut self, path: &str, mode: u32) -> io::Result<()> {
        if path.is_empty() || self.present.contains(path) {
            return Ok(());
        }
        self.entry(path, EntryType::Directory, mode, None, &[])
    }

    /// A file with `content`.
    pub(in crate::world::docker) fn file(
        &mut self,
        path: &str,
        content: &[u8],
        mode: u32,
    ) -> io::Result<()> {
        self.entry(path, EntryType::Regular, mode, None, content)
    }

    /// A file of this machine: its content, whatever links lead there, and whether it can be run.
    pub(super) fn copy(&mut self, from: &Path, path: &str) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let within = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", from.display()));
        let mode = fs::metadata(from).map_err(within)?.permissions().mode() & 0o755;
        self.file(path, &fs::read(from).map_err(within)?, mode)
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, EntryType::Symlink, 0o777, Some(target), &[])
    }

    /// The finished archive.
    pub(in crate::world::docker) fn finish(self) -> io::Result<Vec<u8>> {
        self.builder.into_inner()
    }

    fn entry(
        &mut self,
        path: &str,
        kind: EntryType,
        mode: u32,
        target: Option<&str>,
        content: &[u8],
    ) -> io::Result<()> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.dir(parent, 0o755)?;
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(u64::try_from(content.len()).map_err(io::Error::other)?);
        header.set_mtime(0);
        self.present.insert(path.to_owned());
        match target {
            Some(target) => self.builder.append_link(&mut header, path, target),
            None => self.builder.append_data(&mut header, path, content),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_once_and_before_their_children() {
        let mut archive = Archive::new();
        archive.file("etc/nginx/nginx.conf", b"x", 0o644).unwrap();
        archive.link("etc/nginx/link", "nginx.conf").unwrap();
        archive.dir("etc", 0o700).unwrap();
        let bytes = archive.finish().unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let paths = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned());
        let paths: Vec<_> = paths.map(|path| path.display().to_string()).collect();
        assert_eq!(paths, ["etc", "etc/nginx", "etc/nginx/nginx.conf", "etc/nginx/link"]);
    }
}
