use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use swarm::ctx::{self, Level};
use swarm::tls::{Authorities, Client, Identity, Server};

use super::*;
use crate::scenario::Overrides;

/// The beginning of the simulator's calendar.
const NOW: Duration = Duration::from_secs(1_767_225_600);

fn cluster() -> Cluster {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios/vagrant4.yaml");
    crate::scenario::load(&file, &Overrides { tls: Some(true) }).expect("a valid file").cluster
}

fn seeded(seed: u64) -> Pki {
    Pki::new(Keys::Seeded(seed), SystemTime::UNIX_EPOCH + NOW)
}

fn all(pki: &Pki) -> Vec<(String, String)> {
    let files = pki.files(&cluster());
    files.iter().map(|(name, text, _)| (name.to_owned(), text.to_owned())).collect()
}

#[test]
fn the_files_are_those_of_the_reference_clusters() {
    let names: Vec<_> = all(&seeded(1)).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "ca.pem",
            "cert.pem",
            "dockerhost01-cert.pem",
            "dockerhost01-key.pem",
            "dockerhost02-cert.pem",
            "dockerhost02-key.pem",
            "dockerhost03-cert.pem",
            "dockerhost03-key.pem",
            "key.pem",
            "store-cert.pem",
            "store-key.pem",
            "swarm-cert.pem",
            "swarm-key.pem",
        ]
    );
}

#[test]
fn a_seed_decides_every_file_and_fresh_keys_are_never_the_same() {
    assert_eq!(all(&seeded(1)), all(&seeded(1)));
    let (one, two) = (all(&seeded(1)), all(&seeded(2)));
    assert!(one.iter().zip(&two).all(|(one, two)| one.1 != two.1), "no file is shared");
    let mut keys: Vec<_> = one.into_iter().filter(|(name, _)| name.ends_with("key.pem")).collect();
    keys.dedup_by(|a, b| a.1 == b.1);
    assert_eq!(keys.len(), 6, "every holder has a key of its own");
    let fresh = || Pki::new(Keys::Fresh, SystemTime::UNIX_EPOCH + NOW).client(Kind::Good);
    assert_ne!(fresh(), fresh());
}

#[test]
fn keys_are_for_their_owner_alone_even_when_they_replace_a_file_open_to_all() {
    let dir = std::env::temp_dir().join(format!("lab-pki-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    for _ in 0..2 {
        write(&dir, &seeded(1).files(&cluster())).unwrap();
        for entry in std::fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let name = entry.file_name().into_string().unwrap();
            let wanted = if name.ends_with("key.pem") { 0o600 } else { 0o644 };
            assert_eq!(mode, wanted, "{name}");
        }
        // What a careless copy would leave.
        let open = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(dir.join("key.pem"), open).unwrap();
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn pairs_do_not_show_their_keys() {
    assert_eq!(format!("{:?}", seeded(1).client(Kind::Good)), "Pair(..)");
}

/// Whether a client with one certificate gets an answer from a server with another, and if not,
/// what the client is told.
async fn meet(pki: &Pki, client: &Pair, server: &Pair, address: &str) -> Result<(), String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let ctx = ctx::real::ctx(Level::Fatal);
    let ctx = ctx::Ctx { clock: std::sync::Arc::new(Fixed(pki.now)), ..ctx };
    let authorities = Authorities::from_pem(pki.authority().as_bytes())?;
    let identity = |pair: &Pair| {
        Identity::from_pem(&ctx.rng.crypto(), pair.cert.as_bytes(), pair.key.as_bytes())
    };
    let client = Client::new(&ctx, Some(&identity(client)?), Some(&authorities));
    let server = Server::new(&ctx, &identity(server)?, Some(&authorities))?;
    let (near, far) = tokio::io::duplex(64 << 10);
    let ask = async {
        let mut stream = client.connect(address, Box::new(near)).await?;
        stream.read_exact(&mut [0]).await
    };
    let answer = async { server.accept(Box::new(far)).await?.write_all(b"x").await };
    let (asked, _) = tokio::join!(ask, answer);
    asked.map(drop).map_err(|error| error.to_string())
}

struct Fixed(SystemTime);

impl ctx::Clock for Fixed {
    fn wall(&self) -> SystemTime {
        self.0
    }
}

#[tokio::test]
async fn good_certificates_get_in_and_no_other_kind_does() {
    const DATE: &str = "x509: certificate has expired or is not yet valid";
    let cluster = cluster();
    let host = cluster.host("dockerhost01").unwrap();
    let (manager_host, _) = cluster.manager().unwrap();
    for keys in [Keys::Seeded(3), Keys::Fresh] {
        let pki = Pki::new(keys, SystemTime::UNIX_EPOCH + NOW);
        let manager = pki.manager(manager_host, Kind::Good);
        for (kind, told) in [
            (Kind::Good, ""),
            (
                Kind::NoSan,
                "x509: cannot validate certificate for 10.100.199.201 because it doesn't contain \
                 any IP SANs",
            ),
            (Kind::WrongSan, "x509: certificate is valid for 192.0.2.1, not 10.100.199.201"),
            (Kind::Expired, DATE),
            (Kind::NotYetValid, DATE),
            (Kind::OtherCa, "x509: certificate signed by unknown authority"),
        ] {
            let engine = pki.engine(host, kind);
            let met = meet(&pki, &manager, &engine, "10.100.199.201").await;
            let why = met.err().unwrap_or_default();
            assert!(why.starts_with(told) && why.is_empty() == told.is_empty(), "{kind}: {why}");
        }
        let engine = pki.engine(host, Kind::Good);
        for (kind, told) in [
            (Kind::Good, ""),
            (Kind::NoClientAuth, "remote error: tls: bad certificate"),
            (Kind::Expired, "remote error: tls: expired certificate"),
            (Kind::NotYetValid, "remote error: tls: expired certificate"),
            (Kind::OtherCa, "remote error: tls: unknown certificate authority"),
        ] {
            let manager = pki.manager(manager_host, kind);
            let met = meet(&pki, &manager, &engine, "dockerhost01").await;
            assert_eq!(met.err().unwrap_or_default(), told, "{kind}");
        }
        let client = pki.client(Kind::Good);
        assert_eq!(meet(&pki, &client, &manager, "dockerswarm01").await, Ok(()));
        assert_eq!(meet(&pki, &client, &engine, "127.0.0.1").await, Ok(()));
    }
}
