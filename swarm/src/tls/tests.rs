use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::ctx::{Files, Level, Log, Record, real};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for the names, fit for both directions, changed by `change`.
fn issue(
    authority: &Authority,
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "10.0.0.1");
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, authority).unwrap();
    (cert.pem(), key.serialize_pem())
}

#[derive(Default)]
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Log for Lines {
    fn write(&self, record: &Record) {
        self.0.lock().unwrap().push(record.message.clone());
    }
}

fn ctx(files: &[(&str, &str)]) -> Ctx {
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()));
    Ctx { files: Arc::new(Memory(files.collect())), ..real::ctx(Level::Fatal) }
}

fn load(authority: &Authority, pair: &(String, String), verify: bool) -> Tls {
    let ca = authority.pem();
    let ctx = ctx(&[("ca", &ca), ("cert", &pair.0), ("key", &pair.1)]);
    Tls::load(&ctx, "cert", "key", verify.then_some("ca")).unwrap()
}

/// One request and its answer; what each side says of it.
async fn talk(
    client: &Client,
    server: &Server,
    host: &str,
) -> (Result<String, String>, Result<String, String>) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let ask = async {
        let mut stream = client.connect(host, Box::new(near)).await?;
        stream.write_all(b"ping").await?;
        // Half-close: the server sees the end and can still answer.
        stream.shutdown().await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    };
    let serve = async {
        let mut stream = server.accept(Box::new(far)).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        stream.write_all(b"pong").await?;
        stream.shutdown().await?;
        Ok(text)
    };
    let (asked, served) = tokio::join!(ask, serve);
    let words = |result: io::Result<String>| result.map_err(|error| error.to_string());
    (words(asked), words(served))
}

fn pong() -> (Result<String, String>, Result<String, String>) {
    (Ok("pong".to_owned()), Ok("ping".to_owned()))
}

#[tokio::test]
async fn good_certificates_carry_data_and_half_closes_both_ways() {
    let ca = authority("Test CA");
    let engine = load(&ca, &issue(&ca, &["10.0.0.1", "dockerhost01"], |_| ()), true);
    let manager = load(&ca, &issue(&ca, &["10.0.0.9"], |_| ()), true);
    for host in ["10.0.0.1", "dockerhost01"] {
        assert_eq!(talk(&manager.client, &engine.server, host).await, pong());
    }
}

/// What the client says of an engine with such a certificate; nothing must have been answered.
async fn refused_server(
    names: &[&str],
    host: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> String {
    let ca = authority("Test CA");
    let engine = load(&ca, &issue(&ca, names, change), true);
    let manager = load(&ca, &issue(&ca, &["10.0.0.9"], |_| ()), true);
    let (asked, served) = talk(&manager.client, &engine.server, host).await;
    assert!(served.is_err(), "{served:?}");
    asked.unwrap_err()
}

#[tokio::test]
async fn a_server_with_a_bad_certificate_is_refused_with_the_reason_in_gos_words() {
    let none: fn(&mut CertificateParams) = |_| ();
    for (names, host, why) in [
        (
            &["dockerhost01"][..],
            "10.100.199.201",
            "x509: cannot validate certificate for 10.100.199.201 because it doesn't contain any \
             IP SANs",
        ),
        (
            &[],
            "10.0.0.1",
            "x509: cannot validate certificate for 10.0.0.1 because it doesn't \
             contain any IP SANs",
        ),
        (
            &["10.0.0.2", "a", "10.0.0.3", "fd00::1"],
            "10.0.0.1",
            "x509: certificate is valid for 10.0.0.2, 10.0.0.3, fd00::1, not 10.0.0.1",
        ),
        (&["a", "10.0.0.1", "*.b"], "c", "x509: certificate is valid for a, *.b, not c"),
        (&["10.0.0.1"], "c", "x509: certificate is not valid for any names, but wanted to match c"),
    ] {
        assert_eq!(refused_server(names, host, none).await, why);
    }
    let dated = "x509: certificate has expired or is not yet valid: current time ";
    let expired = refused_server(&["10.0.0.1"], "10.0.0.1", |params| {
        params.not_before = date_time_ymd(2014, 1, 1);
        params.not_after = date_time_ymd(2015, 1, 1);
    });
    let expired = expired.await;
    assert!(expired.starts_with(dated), "{expired}");
    assert!(expired.ends_with("Z is after 2015-01-01T00:00:00Z"), "{expired}");
    let early = refused_server(&["10.0.0.1"], "10.0.0.1", |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let early = early.await;
    assert!(early.ends_with("Z is before 4000-01-01T00:00:00Z"), "{early}");
    let purpose = refused_server(&["10.0.0.1"], "10.0.0.1", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert_eq!(purpose.await, "x509: certificate specifies an incompatible key usage");
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused_even_when_its_name_is_the_same() {
    let (ours, theirs, namesake) = (authority("A"), authority("B"), authority("A"));
    let manager = load(&ours, &issue(&ours, &["10.0.0.9"], |_| ()), true);
    for other in [theirs, namesake] {
        let engine = load(&ours, &issue(&other, &["10.0.0.1"], |_| ()), true);
        let (asked, _) = talk(&manager.client, &engine.server, "10.0.0.1").await;
        assert_eq!(asked.unwrap_err(), "x509: certificate signed by unknown authority");
        let mine = load(&ours, &issue(&ours, &["10.0.0.1"], |_| ()), true);
        assert_eq!(talk(&manager.client, &mine.server, "10.0.0.1").await, pong(), "healed");
    }
}

#[tokio::test]
async fn without_verification_any_server_and_any_client_will_do() {
    let (ours, theirs) = (authority("A"), authority("B"));
    let engine = load(&theirs, &issue(&theirs, &["b"], |_| ()), false);
    let manager = load(&ours, &issue(&ours, &["a"], |_| ()), false);
    assert_eq!(talk(&manager.client, &engine.server, "10.0.0.1").await, pong());
    let nobody = Client::new(&ctx(&[]), None, None);
    assert_eq!(talk(&nobody, &engine.server, "10.0.0.1").await, pong());
    let strict = load(&ours, &issue(&ours, &["a"], |_| ()), true);
    let (asked, served) = talk(&nobody, &strict.server, "10.0.0.1").await;
    assert_eq!(asked.unwrap_err(), "remote error: tls: certificate required");
    assert_eq!(served.unwrap_err(), "tls: client didn't provide a certificate");
}

#[tokio::test]
async fn a_client_with_a_bad_certificate_learns_it_from_the_servers_alert() {
    let (ours, theirs) = (authority("A"), authority("B"));
    let engine = load(&ours, &issue(&ours, &["10.0.0.1"], |_| ()), true);
    let no_client: fn(&mut CertificateParams) = |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    let expired: fn(&mut CertificateParams) = |params| {
        params.not_before = date_time_ymd(2014, 1, 1);
        params.not_after = date_time_ymd(2015, 1, 1);
    };
    for (by, change, told, logged) in [
        (&ours, no_client, "bad certificate", "certificate specifies an incompatible key usage"),
        (&ours, expired, "expired certificate", "certificate has expired or is not yet valid"),
        (&theirs, |_| (), "unknown certificate authority", "certificate signed by unknown"),
    ] {
        let manager = load(&ours, &issue(by, &["10.0.0.9"], change), true);
        let (asked, served) = talk(&manager.client, &engine.server, "10.0.0.1").await;
        assert_eq!(asked.unwrap_err(), format!("remote error: tls: {told}"));
        let served = served.unwrap_err();
        assert!(served.starts_with(&format!("x509: {logged}")), "{served}");
    }
}

/// Sends raw bytes to a TLS server; what it answers and what it says.
async fn raw(bytes: &[u8]) -> (Vec<u8>, String) {
    let ca = authority("Test CA");
    let server = load(&ca, &issue(&ca, &["10.0.0.1"], |_| ()), true).server;
    let (mut near, far) = tokio::io::duplex(64 << 10);
    let ask = async {
        near.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        drop(near);
        answer
    };
    let (answer, served) = tokio::join!(ask, server.accept(Box::new(far)));
    (answer, served.err().unwrap().to_string())
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    for method in ["GET", "DELETE"] {
        let request = format!("{method} /info HTTP/1.1\r\nHost: x\r\n\r\n");
        let (answer, why) = raw(request.as_bytes()).await;
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
        );
        assert_eq!(why, "client sent an HTTP request to an HTTPS server");
    }
}

/// A ClientHello of TLS 1.1: version 3.2, no extensions.
fn hello_of_tls_1_1() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

#[tokio::test]
async fn tls_1_1_is_answered_with_an_alert() {
    let (answer, why) = raw(&hello_of_tls_1_1()).await;
    // A fatal alert, protocol_version.
    assert_eq!(answer[answer.len() - 2..], [2, 70], "{answer:?}");
    assert_eq!(why, "tls: client offered only unsupported versions");
}

#[tokio::test]
async fn a_plain_server_does_not_look_like_tls() {
    let ca = authority("Test CA");
    let client = load(&ca, &issue(&ca, &["10.0.0.1"], |_| ()), true).client;
    let (near, mut far) = tokio::io::duplex(64 << 10);
    let answer = async {
        let mut byte = [0];
        far.read_exact(&mut byte).await.unwrap();
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    };
    let (connected, ()) = tokio::join!(client.connect("10.0.0.1", Box::new(near)), answer);
    let error = connected.err().unwrap();
    assert_eq!(error.to_string(), "tls: first record does not look like a TLS handshake");
    assert!(refusal(&error).is_some());
}

#[tokio::test]
async fn a_refusal_is_found_even_by_a_client_that_only_writes() {
    let ca = authority("Test CA");
    let server = load(&ca, &issue(&ca, &["10.0.0.1"], |_| ()), true).server;
    let nobody = Client::new(&ctx(&[]), None, None);
    let (near, far) = tokio::io::duplex(64 << 10);
    // The server is done, and gone, before the client writes its request.
    let (stream, refused) =
        tokio::join!(nobody.connect("10.0.0.1", Box::new(near)), server.accept(Box::new(far)));
    assert!(refused.is_err());
    let error = stream.unwrap().write_all(b"POST").await.unwrap_err();
    assert_eq!(error.to_string(), "remote error: tls: certificate required");
}

#[tokio::test]
async fn a_listener_takes_others_while_a_client_is_slow_and_logs_who_does_not_get_in() {
    let ca = authority("Test CA");
    let lines = Arc::new(Lines::default());
    let ctx = Ctx { log: lines.clone(), ..ctx(&[]) };
    let tls = load(&ca, &issue(&ca, &["127.0.0.1"], |_| ()), true);
    let inner = ctx.net.listen(&crate::ctx::Addr::tcp("127.0.0.1", 0)).await.unwrap();
    let mut listener = tls.server.listener(&ctx, inner);
    let at = listener.local_addr();
    ctx.spawn("server", async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = async move {
                let mut byte = [0];
                if stream.read_exact(&mut byte).await.is_ok() {
                    stream.write_all(b"pong").await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            };
            real::ctx(Level::Fatal).spawn("connection", answer);
        }
    });
    let silent = ctx.net.connect(&at).await.unwrap();
    let mut plain = ctx.net.connect(&at).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("HTTPS server"), "{answer}");
    drop(plain);
    let stream = ctx.net.connect(&at).await.unwrap();
    let mut stream = tls.client.connect("127.0.0.1", stream).await.unwrap();
    stream.write_all(b"p").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "pong");
    drop(silent);
    let logged = lines.0.lock().unwrap().join("\n");
    assert!(logged.starts_with("http: TLS handshake error from 127.0.0.1:"), "{logged}");
    assert!(logged.contains(": client sent an HTTP request to an HTTPS server"), "{logged}");
}

#[tokio::test]
async fn files_that_are_of_no_use_are_told_in_the_classic_words() {
    let ca = authority("Test CA");
    let (cert, key) = issue(&ca, &["a"], |_| ());
    let (_, other) = issue(&ca, &["a"], |_| ());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE \
                     KEY-----\n";
    let ca = ca.pem();
    let files: &[(&str, &str)] = &[
        ("cert", &cert),
        ("key", &key),
        ("other", &other),
        ("encrypted", encrypted),
        ("empty", ""),
        ("ca", &ca),
    ];
    let ctx = ctx(files);
    let pair = |cert: &str, key: &str| Tls::load(&ctx, cert, key, None).err();
    assert_eq!(pair("cert", "key"), None);
    for (cert, key, why) in [
        ("gone", "key", "open gone: no such file or directory"),
        ("cert", "gone", "open gone: no such file or directory"),
        ("empty", "key", "tls: failed to find any PEM data in certificate input"),
        (
            "key",
            "cert",
            "tls: failed to find certificate PEM data in certificate input, but did find a \
             private key; PEM inputs may have been switched",
        ),
        ("cert", "empty", "tls: failed to find any PEM data in key input"),
        (
            "cert",
            "cert",
            "tls: found a certificate rather than a key in the PEM for the private key",
        ),
        ("cert", "encrypted", "tls: failed to parse private key"),
        ("cert", "other", "tls: private key does not match public key"),
    ] {
        let text = format!("Couldn't load X509 key pair ({cert}, {key}): {why}. Key encrypted?");
        assert_eq!(pair(cert, key), Some(text));
    }
    let verify = |ca: &str| Tls::load(&ctx, "cert", "key", Some(ca)).err();
    assert_eq!(verify("ca"), None);
    let gone = "Couldn't read CA certificate: open gone: no such file or directory";
    assert_eq!(verify("gone").as_deref(), Some(gone));
    let empty = "Couldn't read CA certificate: no certificate found in it";
    assert_eq!(verify("empty").as_deref(), Some(empty));
}

#[tokio::test]
async fn keys_do_not_show_in_debug_output() {
    let ca = authority("Test CA");
    let pair = issue(&ca, &["a"], |_| ());
    let identity =
        Identity::from_pem(&ctx(&[]).rng.crypto(), pair.0.as_bytes(), pair.1.as_bytes()).unwrap();
    let shown = format!("{identity:?} {:?}", load(&ca, &pair, true));
    assert_eq!(shown, "Identity(1 certificates) Tls { client: tls::Client, server: tls::Server }");
}
