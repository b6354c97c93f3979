//! How the runner gets into a cluster with TLS, and how a stranger tries to.

use std::path::Path;
use std::time::Duration;

use hyper::Method;
use swarm::ctx::{Addr, Ctx};
use swarm::tls::{Authorities, Client, Identity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::api::Api;
use crate::pki::{Pair, Pki};
use crate::scenario::{CertKind, Guise};

/// How long a server may take to say something to a client of an old version.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// What servers are asked for a sign of life.
const PING: &str = "/_ping";

/// The certificates of a cluster, as its clients need them. Without TLS there is nothing in it.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    ctx: &'a Ctx,
    pki: Option<&'a Pki>,
    /// What a client shows and trusts where there is no authority to ask for anything else.
    given: Option<&'a Client>,
}

impl<'a> Access<'a> {
    /// Access through `ctx` with certificates of `pki`.
    #[must_use]
    pub fn new(ctx: &'a Ctx, pki: Option<&'a Pki>) -> Self {
        Self { ctx, pki, given: None }
    }

    /// The same in a cluster whose certificates were made elsewhere: of all guises there is only
    /// that of a client, and those that show nothing.
    #[must_use]
    pub fn given(self, given: Option<&'a Client>) -> Self {
        Self { given, ..self }
    }

    /// A client as any other: it trusts the cluster's authority and nobody else.
    #[must_use]
    pub fn client(&self, addr: Addr) -> Api {
        self.api(addr, CertKind::Good, true)
    }

    /// A client that gets an answer whatever is wrong with the server's certificate: for the
    /// runner's own looks past the manager.
    #[must_use]
    pub fn witness(&self, addr: Addr) -> Api {
        self.api(addr, CertKind::Good, false)
    }

    /// The TLS of such a client.
    #[must_use]
    pub fn witness_tls(&self, pki: &Pki) -> Client {
        self.tls(pki, Some(&pki.client(CertKind::Good)), false)
    }

    /// The TLS of a client whose `ca.pem`, `cert.pem` and `key.pem` are in a folder, as the docker
    /// command has them.
    ///
    /// # Errors
    /// The file that cannot be read, and why.
    pub fn of_folder(ctx: &Ctx, folder: &Path) -> Result<Client, String> {
        let read = |name: &str| {
            let path = folder.join(name);
            ctx.files.read(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))
        };
        let authorities = Authorities::from_pem(&read("ca.pem")?)?;
        let provider = ctx.rng.crypto();
        let identity = Identity::from_pem(&provider, &read("cert.pem")?, &read("key.pem")?)?;
        Ok(Client::new(ctx, Some(&identity), Some(&authorities)))
    }

    fn api(&self, addr: Addr, kind: CertKind, verify: bool) -> Api {
        let tls = self.pki.map(|pki| self.tls(pki, Some(&pki.client(kind)), verify));
        Api::new(self.ctx, addr, tls.or_else(|| self.given.cloned()))
    }

    fn tls(&self, pki: &Pki, pair: Option<&Pair>, verify: bool) -> Client {
        let identity = pair.map(|pair| {
            let provider = self.ctx.rng.crypto();
            Identity::from_pem(&provider, pair.cert.as_bytes(), pair.key.as_bytes())
                .expect("a pair of our own making")
        });
        let authorities = verify.then(|| {
            Authorities::from_pem(pki.authority().as_bytes()).expect("a certificate of our own")
        });
        Client::new(self.ctx, identity.as_ref(), authorities.as_ref())
    }

    /// Asks the server at `addr` for a sign of life, in a guise.
    ///
    /// # Errors
    /// What the stranger is told: the server's words, or why there is no connection.
    pub async fn dial(&self, addr: Addr, guise: Guise) -> Result<(), String> {
        let Some(pki) = self.pki else {
            return match (self.given, guise) {
                (None, _) | (_, Guise::Http) => ping(&Api::new(self.ctx, addr, None)).await,
                (_, Guise::OldTls) => hello_of_old(self.ctx, &addr).await,
                (Some(_), _) => ping(&self.client(addr)).await,
            };
        };
        let kind = match guise {
            Guise::Client => CertKind::Good,
            Guise::NoClientAuth => CertKind::NoClientAuth,
            Guise::Expired => CertKind::Expired,
            Guise::NotYetValid => CertKind::NotYetValid,
            Guise::OtherCa => CertKind::OtherCa,
            Guise::Http => return ping(&Api::new(self.ctx, addr, None)).await,
            Guise::NoCertificate => {
                let tls = self.tls(pki, None, true);
                return ping(&Api::new(self.ctx, addr, Some(tls))).await;
            }
            Guise::OldTls => return hello_of_old(self.ctx, &addr).await,
        };
        ping(&self.api(addr, kind, true)).await
    }
}

async fn ping(api: &Api) -> Result<(), String> {
    let told = api.send(Method::GET, PING, None).await.and_then(|reply| reply.ok().map(drop));
    // Where it asked is known: the words that follow are what matters.
    let behind = format!("{PING}: ");
    told.map_err(|why| match why.split_once(&behind) {
        Some((_, words)) => words.to_owned(),
        None => why,
    })
}

/// Offers TLS 1.1, which nothing here speaks any more, and reads what the server says to that.
async fn hello_of_old(ctx: &Ctx, addr: &Addr) -> Result<(), String> {
    let exchange = async {
        let mut stream = ctx.net.connect(addr).await?;
        stream.write_all(&old_hello()).await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = match tokio::time::timeout(HELLO_LIMIT, exchange).await {
        Ok(answer) => answer.map_err(|error| error.to_string())?,
        Err(_) => return Err("no answer to the greeting".to_owned()),
    };
    match answer {
        // A fatal alert, `protocol_version`.
        [21, _, _, 0, 2, 2, 70] => Err("remote error: tls: protocol version not supported".into()),
        [21, _, _, 0, 2, 2, alert] => Err(format!("remote error: tls: alert({alert})")),
        [22, ..] => Ok(()),
        _ => Err("tls: first record does not look like a TLS handshake".to_owned()),
    }
}

/// A ClientHello as clients of TLS 1.1 send it: version 3.2, one cipher suite of those days
/// (`TLS_RSA_WITH_AES_128_CBC_SHA`), no extensions.
fn old_hello() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend([0x5a; 32]);
    body.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let length = u8::try_from(body.len()).expect("a short greeting");
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}
