//! One call, from its headers to its answer.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::answer::{Answer, Refusal, code, not_grpc, respond};
use super::inflate::Compression;
use super::message::{self, Message};
use super::room::Room;
use super::waiting::{Call, Waiting};

/// What every call needs.
pub struct Calls {
    /// The path of the one method.
    pub method: String,
    /// The metadata that Python wants to see.
    pub metadata: Vec<HeaderName>,
    pub max_message_bytes: usize,
    /// How long a body may take, and how long it may wait until it is read.
    pub body_timeout: Duration,
    pub room: Room,
    pub waiting: Waiting,
}

impl Calls {
    pub async fn serve(&self, request: Request<Incoming>) -> Response<Answer> {
        if request.method() != Method::POST {
            return not_grpc(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !is_grpc(request.headers()) {
            return not_grpc(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        respond(self.outcome(request).await)
    }

    async fn outcome(&self, request: Request<Incoming>) -> Result<Vec<u8>, Refusal> {
        let (head, mut body) = request.into_parts();
        if head.uri.path() != self.method {
            return Err(Refusal::new(code::UNIMPLEMENTED, "Method not found!"));
        }
        let compression = compression(&head.headers)?;
        let message = self.read(&mut body, compression).await?;
        let metadata = self.metadata.iter().map(|name| text(&head.headers, name)).collect();
        let (reply, answered) = oneshot::channel();
        self.waiting.push(Call { message, metadata, reply });
        answered.await.unwrap_or_else(|_| Err(Refusal::new(code::INTERNAL, "the call was not answered")))
    }

    async fn read(&self, body: &mut Incoming, compression: Option<Compression>) -> Result<Message, Refusal> {
        let held = match timeout(self.body_timeout, self.room.enter()).await {
            Ok(Ok(held)) => held,
            _ => return Err(message::full()),
        };
        let read = message::read(body, compression, self.max_message_bytes, held);
        timeout(self.body_timeout, read).await.unwrap_or_else(|_| {
            let text = format!("the message did not arrive within {} seconds", self.body_timeout.as_secs_f64());
            Err(Refusal::new(code::DEADLINE_EXCEEDED, text))
        })
    }
}

/// `application/grpc`, alone or with a suffix that names how messages are written.
fn is_grpc(headers: &HeaderMap) -> bool {
    let rest = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn compression(headers: &HeaderMap) -> Result<Option<Compression>, Refusal> {
    match headers.get("grpc-encoding").map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(None),
        Some(b"gzip") => Ok(Some(Compression::Gzip)),
        Some(b"deflate") => Ok(Some(Compression::Deflate)),
        Some(other) => {
            let text = format!("the compression {} is not known here", String::from_utf8_lossy(other));
            Err(Refusal::new(code::UNIMPLEMENTED, text))
        }
    }
}

/// Base64 with or without padding, as metadata in `-bin` may have it.
const BINARY: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The first value of a key as text; what is not UTF-8 in it becomes U+FFFD.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    let value = match name.as_str().ends_with("-bin") {
        true => Cow::Owned(BINARY.decode(value).ok()?),
        false => Cow::Borrowed(value),
    };
    Some(String::from_utf8_lossy(&value).into_owned())
}
