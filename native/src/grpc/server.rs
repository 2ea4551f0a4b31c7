//! The server: its ports, its thread, its end.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as Bound, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::call::Calls;
use super::connection::{self, Keeping, Stopping, stopped};

/// How long to wait after a connection could not be accepted, mostly for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Threads that decompress.
const HELPERS: usize = 2;

pub struct Server {
    port: u16,
    stop: watch::Sender<Option<Duration>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the server's tasks share.
struct Shared {
    calls: Arc<Calls>,
    keeping: Keeping,
    /// One for each connection that may be open.
    slots: Arc<Semaphore>,
    max_connections: u32,
}

impl Server {
    /// Binds and begins to serve.
    ///
    /// # Errors
    /// An address of the host cannot be listened on, or there is no thread to be had.
    pub fn start(host: &str, port: u16, calls: Arc<Calls>, keeping: Keeping, max_connections: u32) -> io::Result<Self> {
        let listeners = bind(host, port)?;
        let port = listeners[0].local_addr()?.port();
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(HELPERS).build()?;
        let (stop, stopping) = watch::channel(None);
        let slots = Arc::new(Semaphore::new(max_connections as usize));
        let shared = Arc::new(Shared { calls, keeping, slots, max_connections });
        let thread = thread::Builder::new().name("grpc-server".into());
        let thread = thread.spawn(move || run(runtime, listeners, &shared, stopping))?;
        Ok(Server { port, stop, thread: Mutex::new(Some(thread)) })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Unbinds, and returns when the calls in flight have been answered, at the latest after `grace`.
    pub fn stop(&self, grace: Duration) {
        self.stop.send_replace(Some(grace));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // a panic of that thread has been printed and there is nothing left to stop
        let _ = thread.map(JoinHandle::join);
    }
}

/// Listens on every address of the host, all with one port.
fn bind(host: &str, port: u16) -> io::Result<Vec<Bound>> {
    let mut listeners: Vec<Bound> = Vec::new();
    let mut refusal = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        let port = listeners.first().map_or(Ok(port), |first| first.local_addr().map(|bound| bound.port()))?;
        match listen(SocketAddr::new(address.ip(), port)) {
            Ok(listener) => listeners.push(listener),
            // of a host with two protocols, the machine may have one
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => refusal = error,
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() { Err(refusal) } else { Ok(listeners) }
}

fn listen(address: SocketAddr) -> io::Result<Bound> {
    let listener = Bound::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn run(runtime: Runtime, listeners: Vec<Bound>, shared: &Arc<Shared>, mut stopping: Stopping) {
    runtime.block_on(async {
        for listener in listeners {
            match TcpListener::from_std(listener) {
                Ok(listener) => drop(tokio::spawn(accept(listener, shared.clone(), stopping.clone()))),
                Err(error) => eprintln!("the gRPC server cannot accept connections: {error}"),
            }
        }
        stopped(&mut stopping).await;
        let grace = stopping.borrow().unwrap_or_default();
        let _ = timeout(grace, shared.slots.acquire_many(shared.max_connections)).await;
    });
    runtime.shutdown_background();
}

/// Takes connections until the server stops. Whatever is to stand before HTTP/2, such as TLS, belongs here.
async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopping: Stopping) {
    let of_connections = stopping.clone();
    tokio::select! {
        () = accept_all(&listener, &shared, &of_connections) => {}
        () = stopped(&mut stopping) => {}
    }
}

async fn accept_all(listener: &TcpListener, shared: &Arc<Shared>, stopping: &Stopping) {
    while let Ok(slot) = shared.slots.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        // answers are small and waited for
        let _ = stream.set_nodelay(true);
        let (shared, stopping) = (shared.clone(), stopping.clone());
        tokio::spawn(async move {
            connection::serve(stream, shared.calls.clone(), &shared.keeping, stopping).await;
            drop(slot);
        });
    }
}
