//! One connection: HTTP/2 with its own protections, closed when it is silent, idle, or the server stops.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, join, sink, split};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::call::Calls;

/// Says when the server stops, and how long its calls may still take.
pub type Stopping = watch::Receiver<Option<Duration>>;

/// Returns when the server stops.
pub async fn stopped(stopping: &mut Stopping) {
    // an error says that the server was dropped, which stops it too
    let _ = stopping.wait_for(Option::is_some).await;
}

/// How connections are kept.
pub struct Keeping {
    pub max_concurrent_streams: u32,
    /// After so long without a frame the client is pinged.
    pub keepalive: Duration,
    /// How long it has to answer, and to speak at all.
    pub keepalive_timeout: Duration,
    /// After so long without a call the connection is closed; `None` keeps it.
    pub max_idle: Option<Duration>,
}

/// What a client of HTTP/2 says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const NOT_HTTP2: &[u8] =
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 34\r\n\r\n\
      This port speaks gRPC over HTTP/2\n";
/// How long, and how much, a refused client may go on talking, so that it reads the refusal first.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 << 10;

/// Bytes of one call's body, and of all of a connection, that may be on their way without being read.
const WINDOW: u32 = 1 << 20;
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// Serves a connection until it ends, or the server stops and its calls are answered.
pub async fn serve<S>(stream: S, calls: Arc<Calls>, keeping: &Keeping, mut stopping: Stopping)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut reader, mut writer) = split(stream);
    let hello = tokio::select! {
        hello = timeout(keeping.keepalive_timeout, greeting(&mut reader)) => hello,
        () = stopped(&mut stopping) => return,
    };
    match hello {
        Ok(Greeting::Http2) => {}
        Ok(Greeting::Other) => {
            let _ = timeout(LINGER, refuse(&mut reader, &mut writer)).await;
            return;
        }
        Ok(Greeting::None) | Err(_) => return,
    }
    // HTTP/2's own code wants to see the greeting too
    http2(join(PREFACE.chain(reader), writer), calls, keeping, stopping).await;
}

async fn http2<S>(stream: S, calls: Arc<Calls>, keeping: &Keeping, mut stopping: Stopping)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let usage = Arc::new(Usage::default());
    let of_calls = usage.clone();
    let service = service_fn(move |request| {
        let (calls, call) = (calls.clone(), of_calls.begin());
        async move {
            let response = calls.serve(request).await;
            drop(call);
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(builder(keeping).serve_connection(TokioIo::new(stream), service));
    // errors are the client's: it went away, or broke the rules and was told so
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
        () = usage.idle(keeping.max_idle) => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(keeping.keepalive_timeout, connection).await;
        }
    }
}

enum Greeting {
    Http2,
    Other,
    None,
}

async fn greeting(reader: &mut (impl AsyncRead + Unpin)) -> Greeting {
    let mut got = [0; PREFACE.len()];
    let mut length = 0;
    while length < got.len() {
        match reader.read(&mut got[length..]).await {
            Ok(0) | Err(_) => return Greeting::None,
            Ok(read) => length += read,
        }
        if got[..length] != PREFACE[..length] {
            return Greeting::Other;
        }
    }
    Greeting::Http2
}

async fn refuse(reader: &mut (impl AsyncRead + Unpin), writer: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    writer.write_all(NOT_HTTP2).await?;
    writer.shutdown().await?;
    tokio::io::copy(&mut reader.take(LINGER_BYTES), &mut sink()).await?;
    Ok(())
}

fn builder(keeping: &Keeping) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(keeping.max_concurrent_streams)
        .keep_alive_interval(keeping.keepalive)
        .keep_alive_timeout(keeping.keepalive_timeout);
    builder
}

/// How many calls a connection has, and how many it has had.
#[derive(Default)]
struct Usage {
    open: AtomicUsize,
    begun: AtomicUsize,
}

struct Open(Arc<Usage>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Usage {
    fn begin(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Returns once there has been no call for so long, which is looked at as often.
    async fn idle(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return pending().await };
        let mut before = None;
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            if before == Some(begun) && self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
            before = Some(begun);
            sleep(limit).await;
        }
    }
}
