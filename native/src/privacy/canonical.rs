//! One written form for each value, so that the same person has the same digest however the value was typed.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::entities::Entity;

/// The form of a found value that is digested.
pub fn canonical(entity: Entity, text: &str) -> String {
    match entity {
        Entity::Email => python_strip(text).to_lowercase(),
        Entity::Phone => phone(text),
        Entity::Ipv4 | Entity::Ipv6 => address(text),
        Entity::Card | Entity::UsSsn | Entity::Iban => {
            text.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_uppercase() as char).collect()
        }
        _ => python_strip(text).to_owned(),
    }
}

/// `(415) 555-2671` and `+1 415 555 2671` -> `+14155552671`.
fn phone(text: &str) -> String {
    const NANP_DIGITS: usize = 10;
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_national = !text.contains('+') && digits.len() == NANP_DIGITS && digits.as_bytes()[0] >= b'2';
    format!("{}{digits}", if is_national { "+1" } else { "+" })
}

/// `2001:DB8:0::1` -> `2001:db8::1`; `::ffff:192.0.2.1` -> `192.0.2.1`; what is no address is only trimmed.
fn address(text: &str) -> String {
    let word = python_strip(text);
    if let Ok(address) = word.parse::<Ipv4Addr>() {
        return address.to_string();
    }
    match word.parse::<Ipv6Addr>() {
        Ok(address) => address.to_ipv4_mapped().map_or_else(|| address.to_string(), |mapped| mapped.to_string()),
        Err(_) => word.to_owned(),
    }
}

/// `str.strip()`: the separators of ASCII count as white space there.
pub fn python_strip(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || ('\x1c'..='\x1f').contains(&character))
}
