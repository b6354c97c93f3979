//! The node image from this machine's own files: the engine that is installed here, with all it
//! calls and all the libraries these need.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive::Archive;
use crate::world::WorldError;

/// A program of the node image.
struct Program {
    name: &'static str,
    /// The Debian package that has it.
    package: &'static str,
    /// Further names under which it is called.
    aliases: &'static [&'static str],
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package, aliases: &[] }
}

const PROGRAMS: [Program; 10] = [
    program("dockerd", "docker.io"),
    program("docker-init", "docker.io"),
    program("docker-proxy", "docker.io"),
    program("containerd", "containerd"),
    program("containerd-shim-runc-v2", "containerd"),
    program("runc", "runc"),
    program("ip", "iproute2"),
    // Makes a node slow.
    program("tc", "iproute2"),
    // The engine calls it for `docker top`.
    program("ps", "procps"),
    Program {
        name: "iptables",
        package: "iptables",
        aliases: &[
            "iptables-save",
            "iptables-restore",
            "ip6tables",
            "ip6tables-save",
            "ip6tables-restore",
        ],
    },
];

/// Where programs are looked for, in this order.
pub(super) const PLACES: [&str; 8] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/libexec/docker",
    "/usr/lib/docker",
];

/// The programs of the node image on this machine.
pub(super) struct Machine {
    found: Vec<(&'static Program, PathBuf)>,
}

impl Machine {
    /// Finds the programs in `places`.
    ///
    /// # Errors
    /// Names every program that is missing, and the command that installs them.
    pub(super) fn survey(places: &[&str]) -> Result<Self, WorldError> {
        let mut found = Vec::new();
        let mut missing: Vec<&Program> = Vec::new();
        for program in &PROGRAMS {
            let mut paths = places.iter().map(|place| Path::new(place).join(program.name));
            // Links such as /etc/alternatives lead to the file itself.
            match paths.find_map(|path| path.canonicalize().ok()) {
                Some(path) => found.push((program, path)),
                None => missing.push(program),
            }
        }
        if missing.is_empty() {
            return Ok(Self { found });
        }
        let names: Vec<_> = missing.iter().map(|program| program.name).collect();
        let mut packages: Vec<_> = missing.iter().map(|program| program.package).collect();
        packages.dedup();
        let what = format!(
            "the node image is built from this machine's programs, and {} is missing",
            names.join(", ")
        );
        Err(WorldError::new(what, format!("apt-get install {}", packages.join(" "))))
    }

    /// What tells one set of programs from another without reading them all: name, size and time
    /// of change.
    pub(super) fn inputs(&self) -> Vec<String> {
        let input = |(program, path): &(&Program, PathBuf)| {
            let state = fs::metadata(path).map(|meta| (meta.len(), meta.mtime()));
            format!("{} {} {state:?}", program.name, path.display())
        };
        self.found.iter().map(input).collect()
    }

    /// The file system of the node image.
    pub(super) fn archive(&self) -> Result<Vec<u8>, WorldError> {
        self.fill().map_err(|e| WorldError::new(format!("building the node image: {e}"), ""))
    }

    fn fill(&self) -> io::Result<Vec<u8>> {
        let mut archive = Archive::new();
        for name in ["bin", "sbin", "lib", "lib64"] {
            archive.dir(&format!("usr/{name}"), 0o755)?;
            archive.link(name, &format!("usr/{name}"))?;
        }
        archive.dir("tmp", 0o1777)?;
        for path in ["proc", "sys", "dev", "root", "run", "var/lib/docker", "var/log"] {
            archive.dir(path, 0o755)?;
        }
        archive.link("var/run", "../run")?;
        let mut dynamic = Vec::new();
        for (program, path) in &self.found {
            archive.copy(path, &format!("usr/bin/{}", program.name))?;
            for alias in program.aliases {
                archive.link(&format!("usr/bin/{alias}"), program.name)?;
            }
            dynamic.push(path.clone());
        }
        let libraries = libraries(&dynamic)?;
        // iptables opens its extensions by name: ldd does not show them.
        let extensions = libraries
            .iter()
            .filter(|path| {
                path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"libxtables."))
            })
            .find_map(|path| fs::read_dir(path.parent()?.join("xtables")).ok());
        let mut extensions: Vec<PathBuf> = match extensions {
            Some(entries) => entries.map(|e| Ok(e?.path())).collect::<io::Result<_>>()?,
            None => Vec::new(),
        };
        extensions.sort();
        for path in libraries.iter().chain(&self::libraries(&extensions)?).chain(&extensions) {
            // Directories such as /lib are links to their like below /usr, here and there.
            let inside = path.to_string_lossy();
            let inside =
                format!("usr/{}", inside.trim_start_matches("/usr").trim_start_matches('/'));
            if !archive.has(&inside) {
                archive.copy(path, &inside)?;
            }
        }
        settings(&mut archive)?;
        archive.finish()
    }
}

/// Files that the programs read.
fn settings(archive: &mut Archive) -> io::Result<()> {
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)?;
    archive.file("etc/group", b"root:x:0:\ndocker:x:999:\n", 0o644)?;
    archive.file("etc/nsswitch.conf", b"hosts: files dns\n", 0o644)?;
    for path in ["/etc/os-release", "/etc/ssl/certs/ca-certificates.crt"] {
        // Reported by `docker info`, and needed by no one on a network without a way out.
        if Path::new(path).exists() {
            archive.copy(Path::new(path), path.trim_start_matches('/'))?;
        }
    }
    Ok(())
}

/// The libraries that `files` need, as the dynamic linker finds them; sorted.
fn libraries(files: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    // It fails for the static ones among the files, and says what the others need all the same.
    let output = Command::new("ldd").args(files).output();
    let output = output.map_err(|e| io::Error::new(e.kind(), format!("ldd: {e}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut paths: Vec<_> = text.lines().filter_map(library).map(PathBuf::from).collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// The path in a line of `ldd`: `libc.so.6 => /lib/… (0x…)`, or `/lib64/ld-… (0x…)`.
fn library(line: &str) -> Option<&str> {
    let line = line.trim();
    let path = line.split_once(" => ").map_or(line, |(_, path)| path);
    let (path, _) = path.split_once(" (0x")?;
    path.starts_with('/').then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_named_with_the_command_that_installs_them() {
        let error = Machine::survey(&["/nonexistent"]).err().expect("nothing is there");
        assert!(error.what.contains("dockerd, docker-init, docker-proxy, containerd"), "{error}");
        assert_eq!(
            error.help,
            "apt-get install docker.io containerd runc iproute2 procps iptables"
        );
    }

    #[test]
    fn libraries_are_read_from_ldd() {
        assert_eq!(library("\tlibc.so.6 => /lib/libc.so.6 (0x00007f)"), Some("/lib/libc.so.6"));
        assert_eq!(library("\t/lib64/ld-linux.so.2 (0x00007f)"), Some("/lib64/ld-linux.so.2"));
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007f)"), None);
        assert_eq!(library("/usr/bin/ps:"), None);
        assert_eq!(library("\tlibx.so => not found"), None);
    }
}
