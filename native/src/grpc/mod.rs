//! A gRPC server for one unary method: HTTP/2 and framing on a thread of its own, the answers Python's.
//!
//! A call comes in on a socket (`server`), becomes a stream of a connection (`connection`), is checked and read (`call`,
//! `message`, `inflate`) within bounds (`room`), waits for Python (`waiting`), and is answered (`answer`). That thread
//! never touches Python; what crosses are bytes.

mod answer;
mod call;
mod connection;
mod inflate;
mod message;
mod python;
mod room;
mod server;
mod waiting;

pub use python::{GrpcCall, GrpcServer};
