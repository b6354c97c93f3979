//! Certificates as files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::Pair;

/// Named files, each with its permissions.
#[derive(Default)]
pub struct Files(BTreeMap<String, (String, u32)>);

impl Files {
    /// Adds a file that everybody may read.
    pub fn public(&mut self, name: &str, text: String) {
        self.0.insert(name.to_owned(), (text, 0o644));
    }

    /// Adds a certificate and its key, which is for its owner alone: `<prefix>cert.pem` and
    /// `<prefix>key.pem`.
    pub fn pair(&mut self, prefix: &str, pair: Pair) {
        self.public(&format!("{prefix}cert.pem"), pair.cert);
        self.0.insert(format!("{prefix}key.pem"), (pair.key, 0o600));
    }

    /// Name, text and mode of each file, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, u32)> {
        self.0.iter().map(|(name, (text, mode))| (name.as_str(), text.as_str(), *mode))
    }
}

/// Writes the files into `dir`, which is made if it is not there, for its owner alone. A file that
/// is there already is replaced, together with its permissions.
///
/// # Errors
/// The first file that cannot be written, with the reason.
pub fn write(dir: &Path, files: &Files) -> Result<(), String> {
    let failed = |path: &Path, e: io::Error| format!("cannot write {}: {e}", path.display());
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| failed(dir, e))?;
    for (name, text, mode) in files.iter() {
        let path = dir.join(name);
        // Never open a key to others, not even for a moment: the new file has its mode from its
        // first byte on, and takes the old one's place whole.
        let fresh = dir.join(format!(".{name}.new"));
        let write = || {
            let _ = fs::remove_file(&fresh);
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(mode).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|e| failed(&path, e))?;
    }
    Ok(())
}
