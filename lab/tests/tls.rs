//! Clusters with TLS in the simulator, and the files of `lab certs`.
#![expect(clippy::disallowed_methods, reason = "tests of a command read its files")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::pki::{Keys, Pki};
use lab::scenario::CertKind;

/// The first letters of every private key of these tests: Ed25519 keys in PKCS #8 begin alike.
const KEY: &str = "MC4CAQAwBQYDK2VwBCIEI";

fn lab(args: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace");
    Command::new(env!("CARGO_BIN_EXE_lab")).args(args).current_dir(root).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lab-tls-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a scenario and returns its log.
fn run(folder: &Folder, scenario: &str, args: &[&str]) -> String {
    let log = folder.path("log.jsonl");
    let output = lab(&[&["run", scenario, "--log", &log], args].concat());
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("tls on"), "{}", text(&output.stdout));
    std::fs::read_to_string(log).unwrap()
}

#[test]
fn bad_certificates_and_guests_are_found_out_with_any_seed_and_no_log_has_a_key() {
    let folder = Folder::new("menu");
    let pki = Pki::new(Keys::Seeded(1), std::time::SystemTime::now());
    assert!(pki.client(CertKind::Good).key.contains(KEY), "this is how keys begin");
    for scenario in ["scenarios/tls-menu.yaml", "scenarios/tls-no-ip-san.yaml"] {
        for seed in ["1", "2", "3"] {
            let log = run(&folder, scenario, &["--seed", seed]);
            assert!(log.contains("Registered Engine dockerhost01"), "what processes say is there");
            assert!(!log.contains("PRIVATE KEY") && !log.contains(KEY), "a key in a log");
        }
    }
}

#[test]
fn with_tls_and_without_the_story_is_the_same() {
    let folder = Folder::new("switch");
    let (on, off) = (folder.path("on"), folder.path("off"));
    for (switch, log) in [("on", &on), ("off", &off)] {
        let run = lab(&["run", "scenarios/vagrant4.yaml", "--tls", switch, "--log", log]);
        assert!(run.status.success(), "{}{}", text(&run.stdout), text(&run.stderr));
    }
    let compared = lab(&["compare", &on, &off]);
    assert!(text(&compared.stdout).starts_with("same story: "), "{}", text(&compared.stdout));
}

#[test]
fn a_run_with_tls_is_the_same_twice() {
    let checked = lab(&["check", "scenarios/tls-menu.yaml", "scenarios/vagrant4.yaml", "--tls=on"]);
    assert!(checked.status.success(), "{}{}", text(&checked.stdout), text(&checked.stderr));
    assert_eq!(text(&checked.stdout).matches("byte-identical").count(), 2);
}

#[test]
fn a_matrix_is_a_run_for_each_value_and_the_command_line_chooses() {
    let folder = Folder::new("matrix");
    let file = folder.path("both.yaml");
    let scenario = "name: both\ncluster: { hosts: { a: { manager: {} }, b: { engine: {} } } }\n\
                    matrix: { tls: [false, true] }\nsteps: [ wait: { healthy: 1 } ]\n";
    std::fs::write(&file, scenario).unwrap();
    let headers = |args: &[&str]| {
        let output = lab(&[&["run", &file], args].concat());
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        let out = text(&output.stdout);
        ["tls off", "tls on"].map(|header| out.matches(header).count())
    };
    assert_eq!(headers(&[]), [1, 1]);
    assert_eq!(headers(&["--tls", "on"]), [0, 1]);
    assert_eq!(headers(&["--tls", "off"]), [1, 0]);
    let both = lab(&["run", &file, "--log", &folder.path("log")]);
    assert_eq!(both.status.code(), Some(1), "two runs, one log");
}

#[test]
fn certificates_for_use_elsewhere_are_for_their_owner() {
    let folder = Folder::new("certs");
    let dir = folder.path("new/certs");
    let output = lab(&["certs", &dir]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains("DOCKER_HOST=tcp://10.100.199.200:2376"), "{told}");
    assert!(told.contains(&format!("DOCKER_CERT_PATH={dir} DOCKER_TLS_VERIFY=1")), "{told}");
    assert!(!told.contains("PRIVATE"), "{told}");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(Path::new(&dir)), 0o700);
    let mut keys = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let secret = std::fs::read_to_string(&path).unwrap().contains("PRIVATE KEY");
        assert_eq!(mode(&path), if secret { 0o600 } else { 0o644 }, "{}", path.display());
        assert_eq!(secret, path.display().to_string().ends_with("key.pem"));
        keys += usize::from(secret);
    }
    assert_eq!(keys, 6);
}
