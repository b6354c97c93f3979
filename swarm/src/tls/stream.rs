//! Streams around TLS: errors in words, handshakes that wait for the first use, bytes put back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ctx::{BoxFuture, BoxStream};

use super::Refused;

/// How much is read ahead when a write fails.
const AHEAD_BYTES: usize = 4096;

/// A secured stream whose errors are told in words.
///
/// A peer that ends the connection without a farewell is taken at its word, as Go does between
/// records: HTTP knows the length of what matters, and a process that was killed says no farewell.
pub(super) struct Worded<S> {
    inner: S,
    /// What was read to find out why a write failed.
    ahead: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Worded<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, ahead: Vec::new() }
    }

    fn wrote<T>(&mut self, cx: &mut Context<'_>, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| self.why(cx, Refused::worded(error)))
    }

    /// Why a write failed. A server that refuses a client's certificate says so and hangs up; the
    /// client, busy writing its request, learns only that nobody listens. The alert is there to
    /// be read.
    fn why(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        if !matches!(error.kind(), BrokenPipe | ConnectionReset) {
            return error;
        }
        let mut space = [0; AHEAD_BYTES];
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
            Poll::Ready(Err(reason)) => {
                let reason = Refused::worded(reason);
                if super::refusal(&reason).is_some() { reason } else { error }
            }
            Poll::Ready(Ok(())) => {
                self.ahead.extend_from_slice(buf.filled());
                error
            }
            Poll::Pending => error,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Worded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if hand_out(&mut self.ahead, buf) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(match ready!(Pin::new(&mut self.inner).poll_read(cx, buf)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            result => result.map_err(Refused::worded),
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Worded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.inner).poll_write(cx, buf));
        Poll::Ready(self.wrote(cx, result))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.inner).poll_flush(cx));
        Poll::Ready(self.wrote(cx, result))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs));
        Poll::Ready(self.wrote(cx, result))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// A stream whose first bytes were taken to look at.
pub(super) struct Prefixed {
    first: Vec<u8>,
    inner: BoxStream,
}

impl Prefixed {
    pub(super) fn new(first: Vec<u8>, inner: BoxStream) -> Self {
        Self { first, inner }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if hand_out(&mut self.first, buf) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

/// Moves what fits from `kept` into `buf`; says whether there was anything.
fn hand_out(kept: &mut Vec<u8>, buf: &mut ReadBuf<'_>) -> bool {
    let count = kept.len().min(buf.remaining());
    buf.put_slice(&kept[..count]);
    kept.drain(..count).count() > 0
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// A stream that makes its handshake when it is first used.
pub(super) struct Opening(State);

enum State {
    Handshake(BoxFuture<'static, io::Result<BoxStream>>),
    Open(BoxStream),
    Failed,
}

impl Opening {
    pub(super) fn new(handshake: BoxFuture<'static, io::Result<BoxStream>>) -> Self {
        Self(State::Handshake(handshake))
    }

    /// The stream, once the handshake is done.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut BoxStream>>> {
        if let State::Handshake(handshake) = &mut self.0 {
            match ready!(handshake.as_mut().poll(cx)) {
                Ok(stream) => self.0 = State::Open(stream),
                Err(error) => {
                    self.0 = State::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(match &mut self.0 {
            State::Open(stream) => Ok(Pin::new(stream)),
            State::Handshake(_) | State::Failed => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

impl AsyncRead for Opening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Opening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            // Nothing was written, so there is nothing to flush and nobody to wait for.
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
            State::Open(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
            State::Open(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
