//! Finding personal data and secrets in texts. The twin is `spanward.processor.policy.privacy`; names are as there.
//!
//! Offsets are bytes here and characters there. What may stand next to a match is told by ASCII characters alone, so that
//! looking at bytes and at characters gives the same answer.

mod addresses;
mod bounds;
pub mod canonical;
mod checks;
pub mod detect;
pub mod entities;
mod escapes;
mod gate;
mod numbers;
mod patterns;
mod secrets;
pub mod tokens;
