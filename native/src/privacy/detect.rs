//! The scan of one text.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::entities::Entity;
use super::escapes::{Escapes, Unescaped, plain};
use super::gate::{
    AT, COLON, DASH, DIGIT, DOT, EQUALS, ESCAPE, LESS, Look, NON_ASCII, PLUS, SPACE, UNDERSCORE, UPPER_I, UPPER_J,
    count, letters,
};
use super::numbers::ibans;
use super::patterns::{self, Pattern};
use super::tokens::{Token, tokens};

/// One find.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hit<'t> {
    pub entity: Entity,
    /// Where it is written, in bytes.
    pub start: usize,
    pub end: usize,
    /// What is meant, escapes undone; of a hashed token its subject, of a plain one "".
    pub value: Cow<'t, str>,
    /// It is a token that stands for a value taken out earlier.
    pub token: bool,
}

/// Characters: no hit and no token is shorter.
const SHORTEST: usize = 5;
/// Characters of the shortest key, JWT, authorization header and IBAN.
const SHORTEST_LONG: usize = 13;
const LAYERS: usize = 3;
/// Digits near each other without which nothing that is made of digits is looked for.
const SOME_DIGITS: u32 = 4;

/// Every hit and token in a text, in order of position; hits may overlap each other, never lie within a token.
#[inline]
pub fn find(text: &str) -> Vec<Hit<'_>> {
    if text.len() < SHORTEST {
        return Vec::new();
    }
    let look = Look::at(text);
    if look.has(NON_ASCII) && text.chars().count() < SHORTEST {
        return Vec::new();
    }
    let mut hits = find_as_written(text, look);
    if look.has(ESCAPE | NON_ASCII) || look.has_all(PLUS | EQUALS) {
        hits = find_in_layers(text, hits);
    }
    if hits.len() > 1 {
        hits.sort_by_key(|hit| (hit.start, std::cmp::Reverse(hit.end)));
    }
    hits
}

/// The hits in a text taken as it is written.
fn find_as_written(text: &str, look: Look) -> Vec<Hit<'_>> {
    let mut hits = Vec::new();
    let is_long =
        text.len() >= SHORTEST_LONG && (!look.has(NON_ASCII) || text.chars().nth(SHORTEST_LONG - 1).is_some());
    if look.has(EQUALS | COLON) && look.has_one_of(&SECRET_LETTERS) && matches(&SECRETS, text) {
        patterns::ASSIGNED.iter().for_each(|pattern| run(pattern, text, &mut hits));
    }
    if is_long {
        secrets(text, look, &mut hits);
    }
    if look.has(AT) {
        patterns::AT_SIGN.iter().for_each(|pattern| run(pattern, text, &mut hits));
    }
    if is_long && look.digits >= SOME_DIGITS {
        ibans(text, |start, end| hits.push(hit(Entity::Iban, text, start, end)));
    }
    numbers(text, look, &mut hits);
    if look.has_all(COLON | DIGIT) && count(text, b':') >= 2 {
        run(&patterns::IPV6, text, &mut hits);
    }
    if look.has(LESS) { apart(tokens(text), hits) } else { hits }
}

fn hit(entity: Entity, text: &str, start: usize, end: usize) -> Hit<'_> {
    Hit { entity, start, end, value: Cow::Borrowed(&text[start..end]), token: false }
}

fn run<'t>(pattern: &Pattern, text: &'t str, hits: &mut Vec<Hit<'t>>) {
    pattern.each(text, |start, end| hits.push(hit(pattern.entity, text, start, end)));
}

/// What stands in every name of a secret.
static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = ["pass", "secret", "token", "key", "authorization", "pwd", "cookie"];
    Regex::new(&format!("(?i-u:{})", words.join("|"))).ok()
});
const SECRET_LETTERS: [u64; 7] = [
    letters("pas"),
    letters("secrt"),
    letters("token"),
    letters("key"),
    letters("authorizn"),
    letters("pwd"),
    letters("cokie"),
];
/// What stands in the beginning of every API key.
const KEY_LETTERS: [u64; 9] = [
    UPPER_I | letters("ak"),
    UPPER_I | letters("as"),
    UPPER_I | letters("az"),
    UNDERSCORE | letters("gh"),
    UNDERSCORE | letters("hf"),
    UNDERSCORE | letters("npm"),
    UNDERSCORE | letters("k"),
    DASH | letters("xo"),
    DASH | letters("glpat"),
];
const SK: u64 = DASH | letters("sk");
const SCHEME_LETTERS: [u64; 2] = [SPACE | letters("bear"), SPACE | letters("basic")];

fn matches(regex: &LazyLock<Option<Regex>>, text: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

fn secrets<'t>(text: &'t str, look: Look, hits: &mut Vec<Hit<'t>>) {
    if (look.has_all(SK) || look.has_one_of(&KEY_LETTERS)) && matches(&patterns::KEY_BEGINS, text) {
        patterns::API_KEYS.iter().for_each(|pattern| run(pattern, text, hits));
    }
    if look.has_all(UPPER_I | SPACE | DASH) && text.contains("PRIVATE KEY") {
        run(&patterns::PRIVATE_KEY, text, hits);
    }
    if look.has_all(UPPER_J | DOT) && text.contains("eyJ") {
        run(&patterns::JWT, text, hits);
    }
    if look.has_one_of(&SCHEME_LETTERS) && matches(&patterns::SCHEMES, text) {
        run(&patterns::AUTHORIZATION, text, hits);
    }
}

/// Each pattern needs so many digits near each other.
fn numbers<'t>(text: &'t str, look: Look, hits: &mut Vec<Hit<'t>>) {
    const INTERNATIONAL: u32 = 8;
    const SSN: u32 = 9;
    const NATIONAL: u32 = 10;
    const CARD: u32 = 13;
    if look.digits < SOME_DIGITS {
        return;
    }
    if look.digits >= CARD {
        run(&patterns::CARD, text, hits);
    }
    if look.digits >= SSN {
        run(&patterns::US_SSN, text, hits);
    }
    if look.digits >= NATIONAL {
        run(&patterns::NATIONAL, text, hits);
        run(&patterns::PAIRS, text, hits);
    }
    if look.digits >= INTERNATIONAL && look.has(PLUS) {
        run(&patterns::INTERNATIONAL, text, hits);
    }
    if look.has(DOT) && count(text, b'.') >= 3 {
        run(&patterns::IPV4, text, hits);
    }
}

/// Tokens, and those of the hits that do not lie within one.
fn apart<'t>(tokens: Vec<Token<'t>>, hits: Vec<Hit<'t>>) -> Vec<Hit<'t>> {
    let is_inside = |hit: &Hit<'_>| {
        let before = tokens.partition_point(|token| token.start <= hit.start);
        before > 0 && hit.end <= tokens[before - 1].end
    };
    let outside: Vec<Hit<'t>> = hits.into_iter().filter(|hit| !is_inside(hit)).collect();
    let as_hit = |token: &Token<'t>| Hit {
        entity: token.entity,
        start: token.start,
        end: token.end,
        value: Cow::Borrowed(token.subject),
        token: true,
    };
    tokens.iter().map(as_hit).chain(outside).collect()
}

/// Hits in the text and in what it means, layer by layer of escapes.
///
/// One that begins or ends inside an escape of a deeper layer is none: `nalice@x.com` in `\nalice@x.com`.
fn find_in_layers<'t>(text: &'t str, hits: Vec<Hit<'t>>) -> Vec<Hit<'t>> {
    // each hit, and where it is in the innermost text so far
    let mut found: Vec<(Hit<'t>, usize, usize)> = Vec::new();
    let mut known: HashSet<Hit<'t>> = HashSet::new();
    for hit in hits {
        if known.insert(hit.clone()) {
            let (start, end) = (hit.start, hit.end);
            found.push((hit, start, end));
        }
    }
    let mut layers: Vec<Unescaped> = Vec::new();
    while let Some(layer) = next_layer(text, &layers) {
        found.retain(|(_, start, end)| !layer.splits(*start) && !layer.splits(*end));
        for (_, start, end) in &mut found {
            (*start, *end) = (layer.target_of(*start), layer.target_of(*end));
        }
        known = found.iter().map(|(hit, _, _)| hit.clone()).collect();
        layers.push(layer);
        let Some(layer) = layers.last() else { break };
        for hit in find_as_written(&layer.text, Look::at(&layer.text)) {
            let (start, end) = (hit.start, hit.end);
            let written = as_written(hit, &layers);
            if known.insert(written.clone()) {
                found.push((written, start, end));
            }
        }
    }
    found.into_iter().map(|(hit, _, _)| hit).collect()
}

/// The next layer below those there are: up to three of escapes, then plain characters, then the spaces of a form.
fn next_layer(text: &str, layers: &[Unescaped]) -> Option<Unescaped> {
    let inner = layers.last().map_or(text, |layer| layer.text.as_str());
    let kinds: Vec<Escapes> = layers.iter().map(|layer| layer.kind).collect();
    let plain_done = kinds.iter().any(|kind| *kind != Escapes::Written);
    if !plain_done && kinds.len() < LAYERS {
        let layer = Unescaped::new(inner, Escapes::Written);
        if layer.changed {
            return Some(layer);
        }
    }
    if !plain_done && !inner.is_ascii() && inner.chars().any(|character| plain(character).is_some()) {
        return Some(Unescaped::new(inner, Escapes::Typography));
    }
    if kinds.contains(&Escapes::Pluses) || !(inner.contains('+') && inner.contains('=')) {
        return None;
    }
    Some(Unescaped::new(inner, Escapes::Pluses)).filter(|layer| layer.changed)
}

fn as_written<'t>(hit: Hit<'_>, layers: &[Unescaped]) -> Hit<'t> {
    let (mut start, mut end) = (hit.start, hit.end);
    for layer in layers.iter().rev() {
        (start, end) = (layer.source_of(start), layer.source_of(end));
    }
    Hit { entity: hit.entity, start, end, value: Cow::Owned(hit.value.into_owned()), token: hit.token }
}
