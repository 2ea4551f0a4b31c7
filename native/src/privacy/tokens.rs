//! The tokens that stand where personal data was: `<card>`, `<email:k1:9b74c9897bac770ffc029102a200c5de>`.

use std::sync::LazyLock;

use hmac::{Hmac, KeyInit, Mac};
use regex::Regex;
use sha2::Sha256;

use super::entities::Entity;

/// A secret under which identifying values are hashed.
pub struct HashKey {
    id: String,
    mac: Option<Hmac<Sha256>>,
}

const DIGEST_BYTES: usize = 16;

impl HashKey {
    pub fn new(id: String, secret: &[u8]) -> Self {
        HashKey { id, mac: Hmac::new_from_slice(secret).ok() }
    }

    /// `keyid:` and the first 16 bytes of HMAC-SHA256(secret, value) in lowercase hex.
    pub fn digest(&self, value: &str) -> String {
        let mut subject = String::with_capacity(self.id.len() + 1 + 2 * DIGEST_BYTES);
        subject.push_str(&self.id);
        subject.push(':');
        if let Some(mut mac) = self.mac.clone() {
            mac.update(value.as_bytes());
            for byte in &mac.finalize().into_bytes()[..DIGEST_BYTES] {
                for digit in [byte >> 4, byte & 15] {
                    subject.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
                }
            }
        }
        subject
    }
}

static TOKEN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let types: Vec<&str> = Entity::ALL.iter().map(|entity| entity.name()).collect();
    Regex::new(&format!("<({})(?::([A-Za-z0-9_-]{{1,32}}:[0-9a-f]{{32}}))?>", types.join("|"))).ok()
});
static SUBJECT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^[A-Za-z0-9_-]{1,32}:[0-9a-f]{32}$").ok());

/// A token in a text: its type, where it is, and its subject, "" of a plain one.
pub struct Token<'t> {
    pub entity: Entity,
    pub start: usize,
    pub end: usize,
    pub subject: &'t str,
}

/// The tokens of a text, in order.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let Some(regex) = TOKEN.as_ref() else {
        return Vec::new();
    };
    let token = |found: regex::Captures<'_>| {
        let whole = found.get(0)?;
        let (start, end) = (whole.start(), whole.end());
        let entity = Entity::parse(found.get(1)?.as_str())?;
        let subject = found.get(2).map_or("", |part| &text[part.range()]);
        Some(Token { entity, start, end, subject })
    };
    regex.captures_iter(text).filter_map(token).collect()
}

/// Whether a text is a token and nothing else.
pub fn is_token(text: &str) -> bool {
    text.starts_with('<') && matches!(tokens(text).as_slice(), [token] if token.start == 0 && token.end == text.len())
}

/// Whether a text is `keyid:digest`.
pub fn is_subject(text: &str) -> bool {
    SUBJECT.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// The token without a digest.
pub fn masked(entity: Entity) -> &'static str {
    match entity {
        Entity::Credential => "<credential>",
        Entity::ApiKey => "<api_key>",
        Entity::Jwt => "<jwt>",
        Entity::BearerToken => "<bearer_token>",
        Entity::CredentialUrl => "<credential_url>",
        Entity::Card => "<card>",
        Entity::UsSsn => "<us_ssn>",
        Entity::Iban => "<iban>",
        Entity::Email => "<email>",
        Entity::Phone => "<phone>",
        Entity::Ipv6 => "<ipv6>",
        Entity::Ipv4 => "<ipv4>",
    }
}

/// The token of a value whose digest is `subject`.
pub fn hashed(entity: Entity, subject: &str) -> String {
    format!("<{}:{subject}>", entity.name())
}
