//! Answers in gRPC's form: a message and trailers, or trailers alone.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use hyper::body::{Body, Frame};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::message::PREFIX;

/// The codes of gRPC that this server itself gives.
pub mod code {
    pub const CANCELLED: u32 = 1;
    pub const DEADLINE_EXCEEDED: u32 = 4;
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    pub const UNIMPLEMENTED: u32 = 12;
    pub const INTERNAL: u32 = 13;
    pub const UNAVAILABLE: u32 = 14;
}

const CONTENT: HeaderValue = HeaderValue::from_static("application/grpc");
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity, deflate, gzip");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Why a call is not taken.
#[derive(Debug)]
pub struct Refusal {
    pub code: u32,
    pub message: String,
    /// A serialized `google.rpc.Status`, empty for none.
    pub details: Vec<u8>,
}

impl Refusal {
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into(), details: Vec::new() }
    }

    fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(3);
        trailers.insert(STATUS, HeaderValue::from(self.code));
        insert(&mut trailers, MESSAGE, percent_encoded(&self.message));
        if !self.details.is_empty() {
            insert(&mut trailers, DETAILS, STANDARD_NO_PAD.encode(&self.details));
        }
        trailers
    }
}

/// The body of an answer: at most one message, at most one set of trailers.
pub struct Answer {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let message = self.message.take().map(Frame::data);
        Poll::Ready(message.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}

/// What the client gets for a call: the message, or the reason why there is none.
pub fn respond(outcome: Result<Vec<u8>, Refusal>) -> Response<Answer> {
    match outcome {
        Ok(message) => {
            let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
            response(HeaderMap::new(), Answer { message: Some(framed(&message)), trailers: Some(trailers) })
        }
        Err(refusal) => response(refusal.trailers(), Answer { message: None, trailers: None }),
    }
}

/// A refusal in HTTP's terms, for what is not gRPC.
pub fn not_grpc(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer { message: None, trailers: None });
    *response.status_mut() = status;
    response
}

fn response(headers: HeaderMap, answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    *response.headers_mut() = headers;
    response.headers_mut().insert(CONTENT_TYPE, CONTENT);
    response.headers_mut().insert(ACCEPT_ENCODING, ENCODINGS);
    response
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

fn insert(trailers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        trailers.insert(name, value);
    }
}

/// Text as `grpc-message` has it: printable ASCII but `%` as it is, every other byte as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
