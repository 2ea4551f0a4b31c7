//! The memory that calls may hold together.
//!
//! A call waits for a little room before its body is read, which makes the client wait by HTTP/2's flow control. What it
//! needs beyond that it takes as its bytes arrive, without waiting: two half-read bodies must not wait for each other.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a call costs apart from its body, in bytes.
const CALL: u32 = 1 << 10;

/// So many bytes, shared by all calls.
#[derive(Clone)]
pub struct Room {
    free: Arc<Semaphore>,
}

/// There is no room left.
#[derive(Debug)]
pub struct Full;

/// A call's part of the room, given back when dropped.
pub struct Held {
    free: Arc<Semaphore>,
    permit: OwnedSemaphorePermit,
}

impl Room {
    pub fn new(bytes: usize) -> Self {
        Room { free: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))) }
    }

    /// Waits for room for one more call.
    ///
    /// # Errors
    /// There never will be: the room was closed.
    pub async fn enter(&self) -> Result<Held, Full> {
        let permit = self.free.clone().acquire_many_owned(CALL).await.map_err(|_| Full)?;
        Ok(Held { free: self.free.clone(), permit })
    }
}

impl Held {
    /// Takes room for so many more bytes.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let bytes = u32::try_from(bytes).map_err(|_| Full)?;
        self.permit.merge(self.free.clone().try_acquire_many_owned(bytes).map_err(|_| Full)?);
        Ok(())
    }

    /// Gives room for so many bytes back.
    pub fn shrink(&mut self, bytes: usize) {
        drop(self.permit.split(bytes));
    }
}
