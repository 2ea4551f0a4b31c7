//! Reading the one message of a call: five bytes of prefix, then its bytes.

use std::future::poll_fn;
use std::pin::Pin;

use hyper::body::{Body, Incoming};

use super::answer::{Refusal, code};
use super::inflate::{Compression, Failure, inflate};
use super::room::{Full, Held};

/// Bytes before a message: a flag for compression, and the length, big-endian.
pub const PREFIX: usize = 5;

/// Compressed bytes from which on a message is decompressed in another thread, so that other calls need not wait.
const LONG: usize = 64 << 10;
/// What is set aside at once for a message that says it will be long.
const FIRST: usize = 1 << 20;

/// A message, decompressed, with the room it takes.
pub struct Message {
    bytes: Vec<u8>,
    start: usize,
    pub held: Held,
}

impl Message {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Reads one message of at most `limit` bytes, before and after decompression.
///
/// # Errors
/// It is too large, not one message, damaged, or there is no room for it.
pub async fn read(
    body: &mut Incoming,
    compression: Option<Compression>,
    limit: usize,
    mut held: Held,
) -> Result<Message, Refusal> {
    let mut bytes = Vec::new();
    while let Some(data) = next(body).await? {
        held.grow(data.len()).map_err(|Full| full())?;
        bytes.extend_from_slice(&data);
        let Some(length) = length(&bytes) else { continue };
        if length > limit {
            return Err(too_large(limit));
        }
        if bytes.len() > PREFIX + length {
            return Err(Refusal::new(code::INTERNAL, "more than one message in a call that takes one"));
        }
        bytes.reserve((PREFIX + length - bytes.len()).min(FIRST));
    }
    if length(&bytes).is_none_or(|length| bytes.len() < PREFIX + length) {
        return Err(Refusal::new(code::INTERNAL, "the call ended before its message was complete"));
    }
    match (bytes[0], compression) {
        (0, _) => Ok(Message { bytes, start: PREFIX, held }),
        (1, Some(compression)) => inflated(compression, bytes, limit, held).await,
        (1, None) => Err(Refusal::new(code::INTERNAL, "a compressed message in a call that names no compression")),
        (flag, _) => Err(Refusal::new(code::INTERNAL, format!("a message with the unknown flag {flag}"))),
    }
}

/// The next bytes of the body; `None` at its end.
async fn next(body: &mut Incoming) -> Result<Option<bytes::Bytes>, Refusal> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Refusal::new(code::CANCELLED, "the client gave up")),
            // trailers of a request say nothing
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// What the prefix says; `None` while it is incomplete.
fn length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(1..PREFIX)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(length)).ok()
}

async fn inflated(
    compression: Compression,
    compressed: Vec<u8>,
    limit: usize,
    mut held: Held,
) -> Result<Message, Refusal> {
    let long = compressed.len() > LONG;
    let work = move || {
        let bytes = inflate(compression, &compressed[PREFIX..], limit, &mut held)?;
        held.shrink(compressed.len());
        Ok(Message { bytes, start: 0, held })
    };
    let outcome = if long { tokio::task::spawn_blocking(work).await } else { Ok(work()) };
    match outcome {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(Failure::TooLarge)) => Err(too_large(limit)),
        Ok(Err(Failure::Full)) => Err(full()),
        Ok(Err(Failure::Damaged)) | Err(_) => Err(Refusal::new(code::INTERNAL, "the message cannot be decompressed")),
    }
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(code::RESOURCE_EXHAUSTED, format!("the message is larger than {limit} bytes; send smaller batches"))
}

/// OTLP clients send again what was UNAVAILABLE, as it is here for a moment only.
pub fn full() -> Refusal {
    Refusal::new(code::UNAVAILABLE, "too many requests at once")
}
