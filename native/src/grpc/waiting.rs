//! Calls that wait for Python to take them, with a pipe that is readable while there are any.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::answer::Refusal;
use super::message::Message;

/// A message, or why there is none.
pub type Reply = Result<Vec<u8>, Refusal>;

/// A call, read and decompressed.
pub struct Call {
    pub message: Message,
    /// Of the keys that were asked for, in their order.
    pub metadata: Vec<Option<String>>,
    pub reply: oneshot::Sender<Reply>,
}

pub struct Waiting {
    calls: Mutex<Vec<Call>>,
    reader: PipeReader,
    writer: PipeWriter,
}

impl Waiting {
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Waiting { calls: Mutex::default(), reader, writer })
    }

    /// Readable while calls wait. Belongs to this object.
    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    pub fn push(&self, call: Call) {
        let mut calls = self.lock();
        calls.push(call);
        if calls.len() == 1 {
            // one byte at most is ever in the pipe, so this does not block; nor does it fail while both ends are here
            let _ = (&self.writer).write_all(&[0]);
        }
    }

    /// All that wait, but for those whose clients have given up.
    pub fn take(&self) -> Vec<Call> {
        let mut calls = self.lock();
        if calls.is_empty() {
            return Vec::new();
        }
        let _ = (&self.reader).read_exact(&mut [0]);
        let mut taken = std::mem::take(&mut *calls);
        drop(calls);
        taken.retain(|call| !call.reply.is_closed());
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
