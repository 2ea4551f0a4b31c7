//! What the policy found in a span, and the words for it.

use std::borrow::Cow;

use crate::labels::{DECLARED_BIT, Label, UNCHECKED_BIT};
use crate::plan::Term;
use crate::privacy::entities::{DECLARED, Entity, UNCHECKED};

/// What the policy found, but for the verdict on quality, which waits for the baselines.
pub struct Found<'f> {
    pub label: Label,
    /// Bits of entity types.
    pub pii: u16,
    /// Sorted, without repeats.
    pub subjects: &'f [String],
}

/// Types by their bits, in alphabetical order.
pub fn type_names(bits: u16) -> impl Iterator<Item = &'static str> {
    const fn bit(entity: Entity) -> u16 {
        1 << entity as u16
    }
    const SORTED: [(u16, &str); 14] = [
        (bit(Entity::ApiKey), Entity::ApiKey.name()),
        (bit(Entity::BearerToken), Entity::BearerToken.name()),
        (bit(Entity::Card), Entity::Card.name()),
        (bit(Entity::Credential), Entity::Credential.name()),
        (bit(Entity::CredentialUrl), Entity::CredentialUrl.name()),
        (DECLARED_BIT, DECLARED),
        (bit(Entity::Email), Entity::Email.name()),
        (bit(Entity::Iban), Entity::Iban.name()),
        (bit(Entity::Ipv4), Entity::Ipv4.name()),
        (bit(Entity::Ipv6), Entity::Ipv6.name()),
        (bit(Entity::Jwt), Entity::Jwt.name()),
        (bit(Entity::Phone), Entity::Phone.name()),
        (UNCHECKED_BIT, UNCHECKED),
        (bit(Entity::UsSsn), Entity::UsSsn.name()),
    ];
    SORTED.iter().filter(move |(bit, _)| bits & bit != 0).map(|(_, name)| *name)
}

/// A term as the table and the wire have it: `30d`, `permanent`.
pub fn retention_name(term: Term) -> Cow<'static, str> {
    match term.0 {
        0 => Cow::Borrowed("permanent"),
        30 => Cow::Borrowed("30d"),
        days => Cow::Owned(format!("{days}d")),
    }
}
