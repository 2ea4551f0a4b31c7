//! Decompression with a bound: a small message must not become a large one in memory.

use std::io::Read;

use flate2::bufread::{GzDecoder, ZlibDecoder};

use super::room::{Full, Held};

/// How a message may be compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    Gzip,
    Deflate,
}

/// Why a message could not be decompressed.
#[derive(Debug)]
pub enum Failure {
    /// It is damaged, truncated, or followed by something else.
    Damaged,
    /// It is larger than the limit.
    TooLarge,
    /// The room is full.
    Full,
}

const STEP: usize = 64 << 10;

/// Decompresses at most `limit` bytes, for which `held` grows.
pub fn inflate(compression: Compression, data: &[u8], limit: usize, held: &mut Held) -> Result<Vec<u8>, Failure> {
    match compression {
        Compression::Gzip => drained(GzDecoder::new(data), GzDecoder::into_inner, limit, held),
        Compression::Deflate => drained(ZlibDecoder::new(data), ZlibDecoder::into_inner, limit, held),
    }
}

fn drained<'a, D: Read>(
    mut decoder: D,
    rest: fn(D) -> &'a [u8],
    limit: usize,
    held: &mut Held,
) -> Result<Vec<u8>, Failure> {
    let mut message = Vec::new();
    loop {
        let step = STEP.max(message.len()).min(limit + 1 - message.len());
        held.grow(step).map_err(|Full| Failure::Full)?;
        let read = decoder.by_ref().take(step as u64).read_to_end(&mut message).map_err(|_| Failure::Damaged)?;
        held.shrink(step - read);
        if message.len() > limit {
            return Err(Failure::TooLarge);
        }
        if read < step {
            return if rest(decoder).is_empty() { Ok(message) } else { Err(Failure::Damaged) };
        }
    }
}
