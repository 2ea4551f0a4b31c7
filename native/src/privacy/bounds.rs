//! What may stand next to a match: letters and digits are the ASCII ones.

/// The byte there; `None` outside of the text. `position` may come from a subtraction that wrapped.
#[inline]
pub fn at(text: &str, position: usize) -> Option<u8> {
    text.as_bytes().get(position).copied()
}

#[inline]
pub fn before(text: &str, position: usize, back: usize) -> Option<u8> {
    position.checked_sub(back).and_then(|position| at(text, position))
}

#[inline]
pub fn is_digit_at(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_digit())
}

#[inline]
pub fn is_word_at(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// Whether no letter or digit touches `text[start..end]`.
pub fn is_word(text: &str, start: usize, end: usize) -> bool {
    !is_word_at(before(text, start, 1)) && !is_word_at(at(text, end))
}

/// `is_word`, and not a piece of a number with a point.
pub fn is_number(text: &str, start: usize, end: usize) -> bool {
    is_word(text, start, end) && !hangs_on(text, start, end, b'.')
}

/// `is_number`, and no other group of digits hangs on by one more `joint`.
pub fn stands_alone(text: &str, start: usize, end: usize, joint: u8) -> bool {
    is_number(text, start, end) && !hangs_on(text, start, end, joint)
}

fn hangs_on(text: &str, start: usize, end: usize, joint: u8) -> bool {
    (before(text, start, 1) == Some(joint) && is_digit_at(before(text, start, 2)))
        || (at(text, end) == Some(joint) && is_digit_at(at(text, end + 1)))
}
