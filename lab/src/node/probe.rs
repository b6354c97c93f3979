//! Waiting for servers.

use std::net::Ipv4Addr;
use std::time::Duration;

use swarm::ctx::{self, BoxStream, Level};
use swarm::tls::{Client, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::spec::Gate;
use crate::scenario::cluster::PKI;

const EVERY: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Returns once this node has `address`.
pub(super) async fn own_address(address: Ipv4Addr) {
    while TcpListener::bind((address, 0)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The TLS of the client whose certificate this node has, if it has one. It takes any server: that a
/// server is up and whether it can be trusted are different questions.
pub(super) fn own_client() -> Option<Client> {
    let ctx = ctx::real::ctx(Level::Fatal);
    let (cert, key) = (format!("{PKI}/cert.pem"), format!("{PKI}/key.pem"));
    Tls::load(&ctx, &cert, &key, None).ok().map(|tls| tls.client)
}

/// Returns once `gate` is open, as seen with `tls` if it speaks that.
pub(crate) async fn open(gate: &Gate, tls: Option<&Client>) {
    let tls = tls.filter(|_| gate.tls);
    while !tokio::time::timeout(ANSWER_WITHIN, is_open(gate, tls)).await.is_ok_and(|open| open) {
        tokio::time::sleep(EVERY).await;
    }
}

/// Returns once something listens on `port` of `address`.
pub(crate) async fn listens(address: Ipv4Addr, port: u16) {
    while TcpStream::connect((address, port)).await.is_err() {
        tokio::time::sleep(EVERY).await;
    }
}

async fn is_open(gate: &Gate, tls: Option<&Client>) -> bool {
    let mut answer = Vec::new();
    // HTTP/1.0: the server closes the connection behind its answer.
    let request = format!("GET {} HTTP/1.0\r\nHost: {}\r\n\r\n", gate.path, gate.address);
    let asked = async {
        let stream = TcpStream::connect((gate.address, gate.port)).await?;
        let mut stream: BoxStream = Box::new(stream);
        if let Some(tls) = tls {
            stream = tls.connect(&gate.address.to_string(), stream).await?;
        }
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    asked.await.is_ok() && says_yes(&String::from_utf8_lossy(&answer))
}

fn says_yes(answer: &str) -> bool {
    let status = answer.split(' ').nth(1);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim());
    status == Some("200") && body.is_some_and(|body| body != "\"\"")
}

#[cfg(test)]
mod tests {
    use super::says_yes;

    #[test]
    fn a_store_without_a_leader_is_not_ready() {
        assert!(says_yes("HTTP/1.0 200 OK\r\nA: b\r\n\r\n\"10.0.0.1:8300\""));
        assert!(!says_yes("HTTP/1.0 200 OK\r\nA: b\r\n\r\n\"\"\n"));
        assert!(!says_yes("HTTP/1.0 500 Internal Server Error\r\n\r\nNo known Consul servers"));
        assert!(!says_yes(""));
    }
}
