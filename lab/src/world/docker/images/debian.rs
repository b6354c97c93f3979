//! Programs from Debian 11's packages, fetched by this machine's apt without touching its state.
//!
//! Debian 11 is the last release that has Consul, and one release for all keeps the images the
//! same on every machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::archive::Archive;
use crate::world::WorldError;

const RELEASE: &str = "bullseye";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Tried in this order behind the machine's own mirrors: old releases move to the second.
const MIRRORS: [&str; 2] = ["http://deb.debian.org/debian", "http://archive.debian.org/debian"];
const PACKAGES: [&str; 9] = [
    "busybox-static",
    "consul",
    "nginx-light",
    "nginx-common",
    "libc6",
    "libcrypt1",
    "libpcre3",
    "libssl1.1",
    "zlib1g",
];

/// What tells one recipe from another: part of the tags of all images made here. Raise the number
/// when a change to this file changes an image.
pub(super) const RECIPE: &str = "bullseye 2";

const NGINX_CONF: &str = "\
user www-data;
worker_processes auto;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /dev/stdout;
    server {
        listen 80;
        location / { root /usr/share/nginx/html; }
    }
}
";

/// Unpacked packages, in a directory that vanishes with this value.
pub(super) struct Packages {
    home: PathBuf,
}

impl Drop for Packages {
    fn drop(&mut self) {
        // Below the directory for temporary files: somebody else cleans up there as well.
        let _ = fs::remove_dir_all(&self.home);
    }
}

impl Packages {
    /// Fetches the packages and unpacks them below `home`.
    pub(super) async fn fetch(home: PathBuf) -> Result<Self, WorldError> {
        if !Path::new(KEYRING).exists() {
            let what = format!("{KEYRING} is missing: packages of Debian 11 could not be verified");
            return Err(WorldError::new(what, "apt-get install debian-archive-keyring"));
        }
        let packages = Self { home };
        let mut refusal = String::new();
        for mirror in mirrors() {
            match packages.fetch_from(&mirror).await {
                Ok(()) => return Ok(packages),
                Err(error) => refusal = format!("{mirror}: {error}"),
            }
        }
        let what = format!("fetching packages of Debian 11: {refusal}");
        Err(WorldError::new(what, "the images need a registry or a Debian mirror, once"))
    }

    async fn fetch_from(&self, mirror: &str) -> io::Result<()> {
        let _ = fs::remove_dir_all(&self.home);
        for directory in ["lists/partial", "cache/archives/partial", "debs", "root"] {
            fs::create_dir_all(self.home.join(directory))?;
        }
        fs::write(self.home.join("status"), "")?;
        let source = format!("deb [signed-by={KEYRING}] {mirror} {RELEASE} main\n");
        fs::write(self.home.join("sources.list"), source)?;
        fs::write(self.home.join("apt.conf"), self.apt_conf().await?)?;
        self.apt(&["update", "--error-on=any"]).await?;
        self.apt(&[&["download"][..], &PACKAGES].concat()).await?;
        for deb in fs::read_dir(self.home.join("debs"))? {
            let deb = deb?.path();
            let root = self.home.join("root");
            succeed(Command::new("dpkg-deb").arg("-x").arg(deb).arg(root)).await?;
        }
        Ok(())
    }

    /// Nothing of the machine's configuration but how it reaches the network; no state of its own.
    async fn apt_conf(&self) -> io::Result<String> {
        let machine = succeed(Command::new("apt-config").arg("dump")).await?;
        let network = machine.lines().filter(|line| line.starts_with("Acquire::"));
        let network = network.filter(|line| !line.starts_with("Acquire::IndexTargets"));
        let home = self.home.display();
        let own = format!(
            "Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\n\
             Dir::Etc::sourcelist \"{home}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             Dir::State \"{home}\";\nDir::State::status \"{home}/status\";\n\
             Dir::Cache \"{home}/cache\";\nAPT::Sandbox::User \"root\";\n\
             Acquire::Check-Valid-Until \"false\";\nAcquire::Languages \"none\";\n"
        );
        Ok(network.chain(own.lines()).fold(String::new(), |all, line| all + line + "\n"))
    }

    async fn apt(&self, args: &[&str]) -> io::Result<String> {
        let mut apt = Command::new("apt-get");
        apt.arg("-q").args(args).current_dir(self.home.join("debs"));
        succeed(apt.env("APT_CONFIG", self.home.join("apt.conf")).env("LC_ALL", "C")).await
    }

    fn root(&self, path: &str) -> PathBuf {
        self.home.join("root").join(path)
    }

    /// The file system of the Consul image.
    pub(super) async fn consul(&self) -> io::Result<Vec<u8>> {
        let mut archive = self.base().await?;
        self.c_library(&mut archive)?;
        archive.copy(&self.root("usr/bin/consul"), "usr/bin/consul")?;
        archive.finish()
    }

    /// The file system of the busybox image.
    pub(super) async fn busybox(&self) -> io::Result<Vec<u8>> {
        self.base().await?.finish()
    }

    /// The file system of the nginx image.
    pub(super) async fn nginx(&self) -> io::Result<Vec<u8>> {
        let mut archive = self.base().await?;
        self.c_library(&mut archive)?;
        archive.copy(&self.root("usr/sbin/nginx"), "usr/sbin/nginx")?;
        archive.copy(&self.root("etc/nginx/mime.types"), "etc/nginx/mime.types")?;
        archive.file("etc/nginx/nginx.conf", NGINX_CONF.as_bytes(), 0o644)?;
        let page = "usr/share/nginx/html/index.html";
        archive.copy(&self.root(page), page)?;
        for path in ["var/lib/nginx", "var/log/nginx", "run"] {
            archive.dir(path, 0o755)?;
        }
        archive.finish()
    }

    /// Busybox under all its names, and the few files that programs expect everywhere.
    async fn base(&self) -> io::Result<Archive> {
        let mut archive = Archive::new();
        let busybox = self.root("bin/busybox");
        archive.copy(&busybox, "bin/busybox")?;
        for applet in succeed(Command::new(&busybox).arg("--list")).await?.lines() {
            if applet != "busybox" {
                archive.link(&format!("bin/{applet}"), "busybox")?;
            }
        }
        archive.dir("tmp", 0o1777)?;
        archive.dir("root", 0o700)?;
        archive.file(
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\n\
              nobody:x:65534:65534:nobody:/home:/bin/false\n",
            0o644,
        )?;
        archive.file("etc/group", b"root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n", 0o644)?;
        archive.file("etc/nsswitch.conf", b"hosts: files dns\n", 0o644)?;
        Ok(archive)
    }

    /// Every library of the unpacked packages, and the program that loads them.
    fn c_library(&self, archive: &mut Archive) -> io::Result<()> {
        for parent in ["lib", "usr/lib"] {
            for directory in sorted(&self.root(parent))? {
                if directory.to_string_lossy().ends_with("-linux-gnu") {
                    self.copy_libraries(archive, &directory)?;
                }
            }
        }
        for parent in ["lib64", "lib"] {
            let entries = sorted(&self.root(parent)).unwrap_or_default();
            for loader in entries.iter().filter(|path| file_name(path).starts_with("ld-linux")) {
                // The link leads out of the unpacked tree: what it names is copied by its name.
                let target = fs::read_link(loader)?.to_string_lossy().into_owned();
                archive.link(&format!("{parent}/{}", file_name(loader)), &target)?;
            }
        }
        Ok(())
    }

    fn copy_libraries(&self, archive: &mut Archive, directory: &Path) -> io::Result<()> {
        let root = self.home.join("root");
        for path in sorted(directory)? {
            if file_name(&path).contains(".so") && path.is_file() {
                let inside = path.strip_prefix(&root).map_err(io::Error::other)?;
                archive.copy(&path, &inside.to_string_lossy())?;
            }
        }
        Ok(())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn sorted(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

/// Runs a command and returns what it wrote; an error holds what it complained about.
async fn succeed(command: &mut Command) -> io::Result<String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    // Ends with the one who waits for it.
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|e| io::Error::new(e.kind(), format!("{name}: {e}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(io::Error::other(format!("{name}: {}: {last}", output.status)))
}

/// Where packages may be found: what this machine's apt uses for Debian, then the world's mirrors.
fn mirrors() -> Vec<String> {
    let files = sorted(Path::new("/etc/apt/sources.list.d")).unwrap_or_default();
    let files = std::iter::once(PathBuf::from("/etc/apt/sources.list")).chain(files);
    let texts = files.filter_map(|path| fs::read_to_string(path).ok());
    let mut mirrors: Vec<String> = texts.flat_map(|text| debian_mirrors(&text)).collect();
    mirrors.extend(MIRRORS.map(str::to_owned));
    let mut seen = std::collections::BTreeSet::new();
    mirrors.retain(|mirror| seen.insert(mirror.clone()));
    mirrors
}

/// The addresses in a list of sources, of either form, that end like a mirror of Debian itself.
fn debian_mirrors(sources: &str) -> Vec<String> {
    let lines = sources.lines().map(str::trim);
    let lines = lines.filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"));
    let words = lines.flat_map(str::split_whitespace).map(|word| word.trim_end_matches('/'));
    words.filter(|word| word.contains("://") && word.ends_with("/debian")).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_found_in_both_forms_of_sources() {
        let old = "deb [arch=amd64] http://mirror.one/debian/ bookworm main\n\
                   # deb http://commented/debian bookworm main\n\
                   deb https://download.docker.com/linux/ubuntu jammy stable\n";
        assert_eq!(debian_mirrors(old), ["http://mirror.one/debian"]);
        let new = "Types: deb\nURIs: http://mirror.two/debian\nSuites: bookworm\n\n\
                   Types: deb\nURIs: http://mirror.two/debian-security\n";
        assert_eq!(debian_mirrors(new), ["http://mirror.two/debian"]);
    }

    #[tokio::test]
    async fn a_failed_command_says_what_it_complained_about() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo first >&2; echo 'E: no such package' >&2; exit 100"]);
        let error = succeed(&mut shell).await.unwrap_err().to_string();
        assert_eq!(error, "sh: exit status: 100: E: no such package");
    }
}
