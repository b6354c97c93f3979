//! The sockets that production code sees, and the task that moves the network.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use swarm::ctx::{Addr, BoxFuture, BoxStream, Listener, Net};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::conn::Side;
use super::core::{ConnId, ListenerId, Target};
use super::errors::os_error;
use crate::world::{HostCtx, Owner, Shared};

/// Moves the network for ever: sleeps until the next event is due and applies it.
pub(crate) async fn pump(shared: Arc<Shared>) {
    let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
    poll_fn(|cx| {
        loop {
            let next = shared.net(|net, now_us, fx| net.advance(now_us, cx.waker(), fx));
            let Some(at_us) = next else { return Poll::<()>::Pending };
            sleep.as_mut().reset(shared.instant(at_us));
            ready!(sleep.as_mut().poll(cx));
        }
    })
    .await;
}

impl HostCtx {
    /// The address of a name or literal.
    fn lookup(&self, host: &str) -> io::Result<IpAddr> {
        if let Ok(ip) = host.parse() {
            return Ok(ip);
        }
        if host == "localhost" {
            return Ok(Ipv4Addr::LOCALHOST.into());
        }
        match self.shared.address_of(host) {
            Some(ip) => Ok(ip.into()),
            None => Err(io::Error::other(format!("lookup {host}: no such host"))),
        }
    }

    /// What to listen at.
    fn local_target(&self, at: &Addr) -> io::Result<Target> {
        match at {
            Addr::Unix(path) => Ok(Target::Unix(path.clone())),
            Addr::Tcp { host, port } if host.is_empty() => {
                Ok(Target::Tcp(Ipv4Addr::UNSPECIFIED, *port))
            }
            Addr::Tcp { host, port } => match self.lookup(host)? {
                IpAddr::V4(ip) => Ok(Target::Tcp(ip, *port)),
                IpAddr::V6(ip) if ip.is_unspecified() => {
                    Ok(Target::Tcp(Ipv4Addr::UNSPECIFIED, *port))
                }
                // This world has no IPv6 addresses.
                IpAddr::V6(_) => Err(os_error(ErrorKind::AddrNotAvailable)),
            },
        }
    }
}

impl Net for HostCtx {
    fn listen<'a>(&'a self, at: &'a Addr) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let scope = self.owner.scope()?;
            let target = self.local_target(at)?;
            let opened = self.shared.net(|net, _, _| net.listen(scope.host.id, scope.id, target));
            let (id, target) = opened.map_err(os_error)?;
            let local = match target {
                Target::Tcp(ip, port) => Addr::tcp(ip.to_string(), port),
                Target::Unix(path) => Addr::Unix(path),
            };
            let shared = Arc::clone(&self.shared);
            Ok(Box::new(SimListener { shared, owner: self.owner.clone(), id, local })
                as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, to: &'a Addr) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let scope = self.owner.scope()?;
            let target = match to {
                Addr::Unix(path) => Target::Unix(path.clone()),
                Addr::Tcp { host, port } => match self.lookup(host)? {
                    IpAddr::V4(ip) => Target::Tcp(ip, *port),
                    IpAddr::V6(_) => return Err(os_error(ErrorKind::NetworkUnreachable)),
                },
            };
            let unix = matches!(target, Target::Unix(_));
            let id = self
                .shared
                .net(|net, now_us, fx| net.dial(now_us, (scope.host.id, scope.id), target, fx));
            // Dropping the future drops the stream, which gives the attempt up.
            let stream = SimStream { shared: Arc::clone(&self.shared), id, side: Side::Client };
            let outcome =
                poll_fn(|cx| match self.shared.net(|net, _, _| net.poll_dial(id, cx.waker())) {
                    Some(result) => Poll::Ready(result),
                    None => Poll::Pending,
                });
            match outcome.await {
                Ok(()) => Ok(Box::new(stream) as BoxStream),
                // A missing socket file is not a closed port.
                Err(ErrorKind::ConnectionRefused) if unix => Err(os_error(ErrorKind::NotFound)),
                Err(kind) => Err(os_error(kind)),
            }
        })
    }

    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<IpAddr>> {
        Box::pin(async move { self.lookup(host) })
    }
}

struct SimListener {
    shared: Arc<Shared>,
    owner: Owner,
    id: ListenerId,
    local: Addr,
}

impl Listener for SimListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let scope = self.owner.scope()?;
            let (id, peer) = poll_fn(|cx| {
                let polled = self.shared.net(|net, _, _| net.accept(self.id, scope.id, cx.waker()));
                match polled {
                    Ok(Some(found)) => Poll::Ready(Ok(found)),
                    Ok(None) => Poll::Pending,
                    Err(kind) => Poll::Ready(Err(os_error(kind))),
                }
            })
            .await?;
            let shared = Arc::clone(&self.shared);
            Ok((Box::new(SimStream { shared, id, side: Side::Server }) as BoxStream, peer))
        })
    }

    fn local_addr(&self) -> Addr {
        self.local.clone()
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.shared.net(|net, now_us, fx| net.close_listener(now_us, self.id, fx));
    }
}

/// One end of a connection.
struct SimStream {
    shared: Arc<Shared>,
    id: ConnId,
    side: Side,
}

impl SimStream {
    fn write_with(
        &self,
        cx: &Context<'_>,
        total: usize,
        copy: impl FnOnce(usize) -> Bytes,
    ) -> Poll<io::Result<usize>> {
        let at = (self.id, self.side);
        let written =
            self.shared.net(|net, now_us, fx| net.write(now_us, at, total, cx.waker(), copy, fx));
        match written {
            Ok(Some(count)) => Poll::Ready(Ok(count)),
            Ok(None) => Poll::Pending,
            Err(kind) => Poll::Ready(Err(os_error(kind))),
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let at = (self.id, self.side);
        self.shared
            .net(|net, now_us, fx| net.read(now_us, at, buf, cx.waker(), fx))
            .map_err(os_error)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write_with(cx, buf.len(), |count| Bytes::copy_from_slice(&buf[..count]))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total = bufs.iter().map(|buf| buf.len()).sum();
        self.write_with(cx, total, |count| {
            let mut joined = BytesMut::with_capacity(count);
            for buf in bufs {
                let rest = count - joined.len();
                joined.extend_from_slice(&buf[..buf.len().min(rest)]);
            }
            joined.freeze()
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.net(|net, now_us, fx| net.shut(now_us, self.id, self.side, fx));
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.shared.net(|net, now_us, fx| net.close(now_us, self.id, self.side, fx));
    }
}
