//! Checks of matches that look like secrets. See `numbers` for the contract.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::Regex;

use super::bounds::{at, is_word_at};
use super::numbers::Answer;

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

fn has_letter(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Nothing but the end of the word: the regex has seen the beginning.
pub fn whole_word(text: &str, start: usize, end: usize) -> Answer {
    if is_word_at(at(text, end)) { Answer::On(end) } else { Answer::Hit(start, end) }
}

/// Like `mixed_word`, but in letters of both cases or in one long run: `sk-learn-pipeline-2` is made of words.
pub fn mixed_run(text: &str, start: usize, end: usize) -> Answer {
    const LONG_RUN: usize = 8;
    let body = &text[start + 3..end];
    let has = |test: fn(&u8) -> bool| body.as_bytes().iter().any(test);
    if has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has_digit(body) {
        return Answer::Hit(start, end);
    }
    let mut runs = body.split(|character: char| !character.is_ascii_alphanumeric());
    if runs.any(|run| run.len() >= LONG_RUN && has_digit(run) && has_letter(run)) {
        Answer::Hit(start, end)
    } else {
        Answer::On(end)
    }
}

/// A word with letters and digits behind its prefix: a random key, not a name in words.
pub fn mixed_word(text: &str, start: usize, end: usize) -> Answer {
    let body = &text[start + 3..end];
    if has_digit(body) && has_letter(body) { Answer::Hit(start, end) } else { Answer::On(end) }
}

static END_OF_BLOCK: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----").ok());

/// The block up to its END line, or the rest of the text when it was cut off before.
pub fn private_key(text: &str, start: usize, end: usize) -> Answer {
    let closing = END_OF_BLOCK.as_ref().and_then(|regex| regex.find_at(text, end));
    Answer::Hit(start, closing.map_or(text.len(), |found| found.end()))
}

/// `Basic` with base64 of user:password, `Bearer` with something that is no word of a language.
pub fn authorization(text: &str, start: usize, end: usize) -> Answer {
    const MIN_TOKEN: usize = 8;
    const SURE_TOKEN: usize = 20;
    const BEARER: usize = 6;
    let (scheme, token) = text[start..end].split_once(' ').unwrap_or(("", ""));
    let token = token.trim_matches(' ');
    let is_secret = if scheme.eq_ignore_ascii_case("basic") {
        is_user_and_password(token)
    } else {
        token.len() >= SURE_TOKEN || (token.len() >= MIN_TOKEN && has_digit(token) && has_letter(token))
    };
    if is_secret { Answer::Hit(start, end) } else { Answer::On(start + BEARER) }
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

fn is_user_and_password(token: &str) -> bool {
    let body = token.trim_end_matches(['=', '.']).replace('-', "+").replace('_', "/");
    BASE64.decode(body).is_ok_and(|decoded| decoded.contains(&b':'))
}

const NO_SECRETS: [&str; 7] = ["true", "false", "null", "none", "undefined", "nil", "redacted"];

/// A value behind `password=` or `"password": "`; not a placeholder, a call or a name of code.
pub fn assigned(text: &str, start: usize, end: usize) -> Answer {
    let value = &text[start..end];
    let is_word = NO_SECRETS.iter().any(|word| word.eq_ignore_ascii_case(value));
    if is_word || is_bound_parameter(value) || !(has_digit(value) || has_letter(value)) {
        return Answer::On(end);
    }
    let is_code = matches!(at(text, end), Some(b'(' | b')' | b'[' | b']' | b'{'));
    if value.starts_with(['<', '{', '$', '%']) || is_code { Answer::On(end) } else { Answer::Hit(start, end) }
}

/// A parameter in SQL: `:password`, `@token`.
fn is_bound_parameter(value: &str) -> bool {
    match value.as_bytes() {
        [b':' | b'@', name @ ..] => {
            !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        }
        _ => false,
    }
}

/// A value behind a name that also stands before harmless words, such as `token=`: letters and digits, and long.
pub fn assigned_random(text: &str, start: usize, end: usize) -> Answer {
    const MIN_RANDOM: usize = 6;
    let value = &text[start..end];
    let is_random = has_digit(value) && has_letter(value) && value.chars().count() >= MIN_RANDOM;
    if is_random && !value.starts_with(['/', '~', '.']) { assigned(text, start, end) } else { Answer::On(end) }
}

/// User, password and host, from a URL's authority; a token in the password's place is none.
pub fn in_url(text: &str, start: usize, end: usize) -> Answer {
    if matches!(at(text, end), Some(b'<' | b'>')) { Answer::On(end) } else { Answer::Hit(start, end) }
}
