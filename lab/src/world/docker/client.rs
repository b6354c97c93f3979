//! The context of a client outside the cluster.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use swarm::ctx::{self, Addr, BoxFuture, BoxStream, Ctx, Level, Listener, Log, Net, Record};

use crate::scenario::cluster::Cluster;

/// This machine's context, in which the names of the cluster's hosts are known and nothing is
/// logged.
pub(in crate::world) fn ctx(cluster: &Cluster) -> Ctx {
    let real = ctx::real::ctx(Level::Error);
    let hosts = cluster.hosts.iter();
    let names = hosts.map(|host| (host.name.clone(), IpAddr::V4(host.address))).collect();
    Ctx {
        net: Arc::new(ClusterNet { machine: real.net.clone(), names }),
        log: Arc::new(Quiet),
        ..real
    }
}

struct Quiet;

impl Log for Quiet {
    fn write(&self, _: &Record) {}
}

struct ClusterNet {
    machine: Arc<dyn Net>,
    names: BTreeMap<String, IpAddr>,
}

impl Net for ClusterNet {
    fn listen<'a>(&'a self, at: &'a Addr) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        self.machine.listen(at)
    }

    fn connect<'a>(&'a self, to: &'a Addr) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let known = match to {
                Addr::Tcp { host, port } => {
                    self.names.get(host).map(|ip| Addr::tcp(ip.to_string(), *port))
                }
                Addr::Unix(_) => None,
            };
            self.machine.connect(known.as_ref().unwrap_or(to)).await
        })
    }

    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<IpAddr>> {
        match self.names.get(host) {
            Some(ip) => Box::pin(std::future::ready(Ok(*ip))),
            None => self.machine.resolve(host),
        }
    }
}
