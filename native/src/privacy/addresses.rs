//! Checks of matches that look like addresses: email, IPv4, IPv6. See `numbers` for the contract.

use std::net::Ipv6Addr;
use std::sync::LazyLock;

use regex::Regex;

use super::bounds::{at, before, is_number, is_word_at};
use super::numbers::Answer;

fn is_local_part(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-'))
}

/// The whole local part, however long; not the name of an image for screens of double density.
pub fn email(text: &str, mut start: usize, end: usize) -> Answer {
    const LONGEST_LOCAL: usize = 64;
    let Some(sign) = text[start..end].find('@').map(|offset| start + offset) else {
        return Answer::On(end);
    };
    if is_image(&text.as_bytes()[sign + 1..end]) {
        return Answer::On(end);
    }
    if text[start..sign].chars().count() >= LONGEST_LOCAL {
        while is_local_part(before(text, start, 1)) {
            start -= 1;
        }
    }
    while matches!(at(text, start), Some(b'.' | b'+' | b'-')) {
        start += 1;
    }
    // git@github.com:org/repo is how a forge is called, nobody's address
    if start < sign && &text[start..sign] != "git" { Answer::Hit(start, end) } else { Answer::On(end) }
}

/// `2x.png`, as in `icon@2x.png`.
fn is_image(host: &[u8]) -> bool {
    let digits = host.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match &host[digits..] {
        [b'x' | b'X', b'.', suffix @ ..] => {
            digits > 0 && !suffix.is_empty() && suffix.iter().all(u8::is_ascii_alphabetic)
        }
        _ => false,
    }
}

static PRODUCT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?:^|[ (;,"'])[A-Za-z][A-Za-z0-9_.-]{0,31}/\n?$"#).ok());
static VERSION_WORD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = r"[Vv]ersion|VERSION|[Rr]elease|RELEASE|[Bb]uild|BUILD|[Ff]irmware|[Dd]river|[?&]v(?:er)?=|\.NET";
    Regex::new(&format!(r#"(?:{words})["']?[ ]?[:=]?[ ]?["']?\n?$"#)).ok()
});
const PRE_RELEASE: [&str; 7] = ["-alpha", "-beta", "-rc", "-snapshot", "-SNAPSHOT", "-preview", "-dev"];

/// Four octets without leading zeros that are neither part of a longer dotted number nor a version.
pub fn ipv4(text: &str, start: usize, end: usize) -> Answer {
    let mut octets = text[start..end].split('.');
    let is_octet = |octet: &str| (octet == "0" || !octet.starts_with('0')) && octet.parse::<u8>().is_ok();
    if !is_number(text, start, end) || !octets.clone().all(is_octet) {
        return Answer::On(start + 1);
    }
    let before = look_back(text, start);
    let ends = |regex: &LazyLock<Option<Regex>>| regex.as_ref().is_some_and(|regex| regex.is_match(before));
    if PRE_RELEASE.iter().any(|word| text[end..].starts_with(word)) || ends(&VERSION_WORD) {
        return Answer::On(end);
    }
    if octets.next_back() == Some("0") && ends(&PRODUCT) {
        return Answer::On(end);
    }
    Answer::Hit(start, end)
}

/// The characters before a position that can say what follows.
fn look_back(text: &str, position: usize) -> &str {
    const CHARACTERS: usize = 36;
    let head = &text[..position];
    let from = head.char_indices().rev().nth(CHARACTERS - 1).map_or(0, |(index, _)| index);
    &head[from..]
}

/// An address that cannot be a time, a slice, a MAC address, a fingerprint or a path of names in code.
pub fn ipv6(text: &str, start: usize, mut end: usize) -> Answer {
    if before(text, end, 1) == Some(b':') && before(text, end, 2) != Some(b':') {
        end -= 1;
    }
    let word = &text[start..end];
    if touches(text, start, end) || !looks_like_ipv6(word) || word.parse::<Ipv6Addr>().is_err() {
        return Answer::On(end);
    }
    Answer::Hit(start, end)
}

fn touches(text: &str, start: usize, end: usize) -> bool {
    let (previous, next) = (before(text, start, 1), at(text, end));
    if is_word_at(previous) || matches!(previous, Some(b':' | b'.')) || is_word_at(next) {
        return true;
    }
    next == Some(b':') && (is_word_at(at(text, end + 1)) || at(text, end + 1) == Some(b':'))
}

fn looks_like_ipv6(word: &str) -> bool {
    const FEW_GROUPS: usize = 4;
    const LONG_GROUP: usize = 3;
    if !word.bytes().any(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let mut groups = word.split(':').filter(|group| !group.is_empty());
    if !word.contains("::") {
        return groups.any(|group| group.len() >= LONG_GROUP);
    }
    word.contains('.')
        || groups.clone().count() >= FEW_GROUPS
        || groups.next().is_some_and(|group| group.len() >= LONG_GROUP)
}
