//! The server as Python sees it.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::HeaderName;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use tokio::sync::oneshot;

use super::answer::Refusal;
use super::call::Calls;
use super::connection::Keeping;
use super::room::{Held, Room};
use super::server::Server;
use super::waiting::{self, Reply, Waiting};

/// A gRPC server for one unary method. It serves from its construction on, on a thread of its own that never waits for
/// Python; calls wait until they are taken. Safe to use from several threads; does not survive a fork.
///
/// Args:
///     host: name or address; every address of a name is listened on.
///     port: 0 takes a free one.
///     method: path of the method, such as `/package.Service/Method`.
///     metadata: keys whose first values each call is to have, in lower case.
///     max_message_bytes: of one message, as sent and again after decompression.
///     max_pending_bytes: of all messages that are read or unanswered; further calls wait unread, or are UNAVAILABLE.
///     max_connections: further clients wait to be accepted.
///     max_concurrent_streams: calls in flight on one connection.
///     keepalive_seconds: of silence, after which a client is pinged.
///     keepalive_timeout_seconds: for its answer, and for its first words, after which the connection is closed.
///     max_idle_seconds: without a call, after which (within the same time again) a connection is closed; 0 keeps it.
///     body_seconds: for a message to arrive.
///
/// Raises:
///     OSError: it cannot listen there.
///     ValueError: a metadata key is none, or a number of seconds is out of range.
#[pyclass(frozen, module = "spanward.native._native")]
pub struct GrpcServer {
    server: Server,
    calls: Arc<Calls>,
}

#[pymethods]
impl GrpcServer {
    #[new]
    #[pyo3(signature = (
        host, port, *, method, metadata, max_message_bytes, max_pending_bytes, max_connections, max_concurrent_streams,
        keepalive_seconds, keepalive_timeout_seconds, max_idle_seconds, body_seconds,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword options are the interface")]
    fn new(
        py: Python<'_>,
        host: &str,
        port: u16,
        method: String,
        metadata: Vec<String>,
        max_message_bytes: u32,
        max_pending_bytes: usize,
        max_connections: u32,
        max_concurrent_streams: u32,
        keepalive_seconds: f64,
        keepalive_timeout_seconds: f64,
        max_idle_seconds: f64,
        body_seconds: f64,
    ) -> PyResult<Self> {
        let metadata = metadata.iter().map(|key| HeaderName::from_lowercase(key.as_bytes()));
        let calls = Arc::new(Calls {
            method,
            metadata: metadata.collect::<Result<_, _>>().map_err(|error| PyValueError::new_err(error.to_string()))?,
            max_message_bytes: max_message_bytes as usize,
            body_timeout: seconds(body_seconds)?,
            room: Room::new(max_pending_bytes),
            waiting: Waiting::new()?,
        });
        let idle = seconds(max_idle_seconds)?;
        let keeping = Keeping {
            max_concurrent_streams,
            keepalive: seconds(keepalive_seconds)?,
            keepalive_timeout: seconds(keepalive_timeout_seconds)?,
            max_idle: (!idle.is_zero()).then_some(idle),
        };
        let server = py.detach(|| Server::start(host, port, calls.clone(), keeping, max_connections))?;
        Ok(GrpcServer { server, calls })
    }

    /// The bound port.
    #[getter]
    fn port(&self) -> u16 {
        self.server.port()
    }

    /// A file descriptor that is readable while calls wait. It is the server's own and closed with it.
    fn fileno(&self) -> RawFd {
        self.calls.waiting.fd()
    }

    /// The calls that wait, in the order in which they came; never blocks.
    fn take(&self, py: Python<'_>) -> PyResult<Vec<GrpcCall>> {
        self.calls.waiting.take().into_iter().map(|call| GrpcCall::new(py, call)).collect()
    }

    /// Takes no new connections or calls, and returns when those in flight have been answered, at the latest after so
    /// many seconds; what is unanswered then is cut off. Blocks, so call it where answers can still be given meanwhile.
    /// Idempotent.
    fn stop(&self, py: Python<'_>, grace_seconds: f64) -> PyResult<()> {
        let grace = seconds(grace_seconds)?;
        py.detach(|| self.server.stop(grace));
        Ok(())
    }
}

/// A call that waits for its answer. One that is dropped unanswered fails with INTERNAL.
#[pyclass(frozen, module = "spanward.native._native")]
pub struct GrpcCall {
    /// The message, decompressed.
    #[pyo3(get)]
    body: Py<PyBytes>,
    /// The values of the metadata keys that were asked for, None for those that are absent.
    #[pyo3(get)]
    metadata: Py<PyTuple>,
    reply: Mutex<Option<oneshot::Sender<Reply>>>,
    _held: Held,
}

impl GrpcCall {
    fn new(py: Python<'_>, call: waiting::Call) -> PyResult<Self> {
        let body = PyBytes::new(py, call.message.bytes()).unbind();
        let metadata = PyTuple::new(py, call.metadata)?.unbind();
        Ok(GrpcCall { body, metadata, reply: Mutex::new(Some(call.reply)), _held: call.message.held })
    }

    fn reply(&self, reply: Reply) {
        if let Some(waiting) = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // an error says that the client has given up
            let _ = waiting.send(reply);
        }
    }
}

#[pymethods]
impl GrpcCall {
    /// Answers with a message. The first answer counts; it goes nowhere when the client has given up.
    fn answer(&self, body: &[u8]) {
        self.reply(Ok(body.to_vec()));
    }

    /// Refuses with a status: its code, its message, and a serialized `google.rpc.Status` or no bytes.
    fn abort(&self, code: u32, message: String, details: &[u8]) {
        self.reply(Err(Refusal { code, message, details: details.to_vec() }));
    }
}

/// What is longer than any machine runs: clocks cannot add more.
const FOREVER: Duration = Duration::from_secs(1 << 32);

fn seconds(seconds: f64) -> PyResult<Duration> {
    if seconds > FOREVER.as_secs_f64() {
        return Ok(FOREVER);
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))
}
