//! Checks of matches that are made of digits: cards, social security numbers, IBANs, telephone numbers.
//!
//! A check gets the text and the bounds of a match, and answers with the bounds of the hit or with the position to search
//! on from, which is always behind `start`. None looks further than a bounded number of bytes.

use std::ops::Range;

use super::bounds::{at, before, is_digit_at, is_number, is_word_at, stands_alone};
use super::checks;

/// What a check says of a match.
pub enum Answer {
    Hit(usize, usize),
    /// Where to search on.
    On(usize),
}

type Groups = Vec<Range<usize>>;

/// The runs of digits in `text[start..end]`.
fn groups(text: &str, start: usize, end: usize) -> Groups {
    let mut groups = Groups::new();
    for position in start..end {
        if !is_digit_at(at(text, position)) {
            continue;
        }
        match groups.last_mut() {
            Some(last) if last.end == position => last.end += 1,
            _ => groups.push(position..position + 1),
        }
    }
    groups
}

fn digits(text: &str, groups: &[Range<usize>]) -> Vec<u8> {
    groups.iter().flat_map(|group| text.as_bytes()[group.clone()].iter().copied()).collect()
}

/// A card written together, in fours, 4-6-5, 4-6-4 or 8-8; of a match that is too long, its first groups.
pub fn card(text: &str, start: usize, end: usize) -> Answer {
    let groups = groups(text, start, end);
    for last in (1..=groups.len()).rev() {
        let stop = groups[last - 1].end;
        let some = &groups[..last];
        if is_card_shape(some) && is_number(text, start, stop) && checks::card(&digits(text, some)) {
            return Answer::Hit(start, stop);
        }
    }
    let mut position = groups.first().map_or(start + 1, |group| group.end);
    while is_digit_at(at(text, position)) {
        position += 1;
    }
    Answer::On(position)
}

fn is_card_shape(groups: &[Range<usize>]) -> bool {
    let sizes: Vec<usize> = groups.iter().map(ExactSizeIterator::len).collect();
    match sizes.as_slice() {
        [_] | [4, 6, 5] | [4, 6, 4] | [8, 8] => true,
        [fours @ .., last] => fours.iter().all(|size| *size == 4) && *last <= 4,
        [] => false,
    }
}

/// Three, two and four digits with one separator, in the ranges that are given out.
pub fn us_ssn(text: &str, start: usize, end: usize) -> Answer {
    let bytes = &text.as_bytes()[start..end];
    let digits = [&bytes[..3], &bytes[4..6], &bytes[7..]].concat();
    if stands_alone(text, start, end, bytes[3]) && checks::us_ssn(&digits) {
        Answer::Hit(start, end)
    } else {
        Answer::On(start + 1)
    }
}

/// Calls `hit` with the bounds of each IBAN: two letters, two digits, four letters or digits, and what `iban` says.
///
/// By hand instead of by a regex, which would walk through every text that has a few digits.
pub fn ibans(text: &str, mut hit: impl FnMut(usize, usize)) {
    let bytes = text.as_bytes();
    let mut position = 0;
    while let Some([first, second, third, fourth]) = bytes.get(position..).and_then(<[u8]>::first_chunk) {
        if !fourth.is_ascii_digit() {
            // the fourth can be the second letter of the next one at the soonest
            position += if fourth.is_ascii_alphabetic() { 2 } else { 4 };
            continue;
        }
        let is_candidate = third.is_ascii_digit() && first.is_ascii_alphabetic() && second.is_ascii_alphabetic();
        match is_candidate.then(|| iban(text, position)).flatten() {
            Some(end) => {
                hit(position, end);
                position = end;
            }
            None => position += 1,
        }
    }
}

/// The end of the IBAN that starts here: as many letters and digits as its country's have, single spaces between them,
/// with right check digits.
fn iban(text: &str, start: usize) -> Option<usize> {
    if is_word_at(before(text, start, 1)) {
        return None;
    }
    let length = checks::iban_length(&text.as_bytes()[start..start + 2])?;
    let mut compact = Vec::with_capacity(length);
    let mut position = start;
    while compact.len() < length {
        match at(text, position) {
            Some(byte) if byte.is_ascii_alphanumeric() => compact.push(byte),
            // of the first eight only the check digits have a space behind them
            Some(b' ') if is_word_at(at(text, position + 1)) && (compact.len() == 4 || compact.len() >= 8) => {}
            _ => return None,
        }
        position += 1;
    }
    (!is_word_at(at(text, position)) && checks::iban(&compact)).then_some(position)
}

/// `+`, country code and number; cut at a group's end when more digits follow than a number has.
pub fn international(text: &str, start: usize, end: usize) -> Answer {
    const MIN_DIGITS: usize = 8;
    /// Digits of every number behind the country codes 1 and 7.
    const FIXED: usize = 11;
    if is_word_at(before(text, start, 1)) {
        return Answer::On(start + 1);
    }
    let mut groups = groups(text, start, end);
    while let Some(last) = groups.last() {
        let stop = last.end;
        let digits = digits(text, &groups);
        if digits.len() < MIN_DIGITS {
            break;
        }
        let fits = !matches!(digits[0], b'1' | b'7') || digits.len() == FIXED;
        if fits && ends_number(text, stop) {
            return Answer::Hit(start, stop);
        }
        groups.pop();
    }
    Answer::On(start + 1)
}

/// A North American number with its separators and, if it is there, the leading 1; not a piece of a longer one.
pub fn national(text: &str, start: usize, end: usize) -> Answer {
    let on = Answer::On(start + 1);
    let joint = before(text, end, 5);
    let is_joint = |byte: Option<u8>| byte.is_some() && (byte == joint || byte == Some(b'.'));
    if !ends_number(text, end) || (is_joint(at(text, end)) && is_digit_at(at(text, end + 1))) {
        return on;
    }
    if at(text, start) == Some(b'(') {
        return Answer::Hit(start, end);
    }
    if joint == Some(b' ') && before(text, end, 9) == Some(b' ') && !is_assignable(&text.as_bytes()[end - 12..end]) {
        return on;
    }
    let previous = before(text, start, 1);
    if is_word_at(previous) || (is_joint(previous) && is_digit_at(before(text, start, 2))) {
        return on;
    }
    Answer::Hit(start, end)
}

/// Whether spaced groups can be a number: three columns of a table are not, unless they fit the number plan.
fn is_assignable(number: &[u8]) -> bool {
    !matches!(&number[..3], b"200" | b"300" | b"400") && !matches!(number[4], b'0' | b'1')
}

/// Five pairs of digits behind a trunk 0, all with one separator.
pub fn pairs(text: &str, start: usize, end: usize) -> Answer {
    let joint = text.as_bytes()[start + 2];
    let same = (start + 2..end).step_by(3).all(|position| at(text, position) == Some(joint));
    if same && stands_alone(text, start, end, joint) { Answer::Hit(start, end) } else { Answer::On(start + 1) }
}

fn ends_number(text: &str, end: usize) -> bool {
    !is_word_at(at(text, end)) || (matches!(at(text, end), Some(b'x' | b'X')) && is_digit_at(at(text, end + 1)))
}
