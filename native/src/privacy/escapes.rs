//! Text inside text: undoing JSON's and the URL's escapes while remembering where each character came from.

/// What is undone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// JSON's escapes, and the URL's for ASCII.
    Written,
    /// Spaces that do not break, dashes, and full-width forms.
    Typography,
    /// A `+` in a form's encoding, where it is a space.
    Pluses,
}

/// A text with one layer of escapes undone.
pub struct Unescaped {
    pub kind: Escapes,
    pub text: String,
    pub changed: bool,
    length: usize,
    /// Starts of stretches in order: in the source, in `text`, and whether the stretch is an escape.
    stretches: Vec<(usize, usize, bool)>,
}

impl Unescaped {
    pub fn new(source: &str, escapes: Escapes) -> Self {
        let mut undone = Unescaped {
            kind: escapes,
            text: String::with_capacity(source.len()),
            changed: false,
            length: source.len(),
            stretches: vec![(0, 0, false)],
        };
        let mut position = 0;
        let mut copied = 0;
        while let Some((start, end, meant)) = next(source, position, escapes) {
            undone.text.push_str(&source[copied..start]);
            undone.mark(start, true);
            undone.text.push(meant);
            undone.mark(end, false);
            undone.changed = true;
            (position, copied) = (end, end);
        }
        undone.text.push_str(&source[copied..]);
        undone
    }

    fn mark(&mut self, source: usize, is_escape: bool) {
        match self.stretches.last_mut() {
            Some(last) if last.0 == source => last.2 = is_escape,
            _ => self.stretches.push((source, self.text.len(), is_escape)),
        }
    }

    /// Where in the source the character at `position` of `text` begins.
    pub fn source_of(&self, position: usize) -> usize {
        let index = self.stretches.partition_point(|(_, text, _)| *text <= position) - 1;
        let (source, text, _) = self.stretches[index];
        (source + position - text).min(self.length)
    }

    /// Where in `text` the character that begins at `position` of the source is.
    pub fn target_of(&self, position: usize) -> usize {
        let (source, text, _) = self.stretches[self.stretch_at(position)];
        text + position - source
    }

    /// Whether a cut at `position` of the source would go through an escape.
    pub fn splits(&self, position: usize) -> bool {
        let (source, _, is_escape) = self.stretches[self.stretch_at(position)];
        is_escape && position > source
    }

    fn stretch_at(&self, position: usize) -> usize {
        self.stretches.partition_point(|(source, _, _)| *source <= position) - 1
    }
}

/// The next escape from `position` on: where it starts and ends, and the character it stands for.
fn next(source: &str, position: usize, escapes: Escapes) -> Option<(usize, usize, char)> {
    match escapes {
        Escapes::Written => next_written(source, position),
        Escapes::Typography => source[position..].char_indices().find_map(|(offset, character)| {
            let start = position + offset;
            plain(character).map(|meant| (start, start + character.len_utf8(), meant))
        }),
        Escapes::Pluses => next_plus(source, position),
    }
}

fn next_written(source: &str, mut position: usize) -> Option<(usize, usize, char)> {
    let bytes = source.as_bytes();
    loop {
        position += bytes[position..].iter().position(|byte| matches!(byte, b'\\' | b'%'))?;
        if let Some((length, meant)) = written(&bytes[position..]) {
            return Some((position, position + length, meant));
        }
        position += 1;
    }
}

/// The escape that begins here: its length and meaning.
fn written(bytes: &[u8]) -> Option<(usize, char)> {
    match bytes {
        [b'\\', b'u', digits @ ..] => {
            // half of a surrogate pair is no character: one stands there that no pattern looks for
            let code = hex(digits.get(..4)?)?;
            Some((6, char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)))
        }
        [b'\\', letter, ..] => {
            let meant = match letter {
                b'"' | b'\'' | b'\\' | b'/' => char::from(*letter),
                b'b' => '\x08',
                b'f' => '\x0c',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                _ => return None,
            };
            Some((2, meant))
        }
        [b'%', high @ b'0'..=b'7', low, ..] => Some((3, char::from_u32(hex(&[*high, *low])?)?)),
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

fn next_plus(source: &str, position: usize) -> Option<(usize, usize, char)> {
    let bytes = source.as_bytes();
    for (offset, _) in bytes[position..].iter().enumerate().filter(|(_, byte)| **byte == b'+') {
        let at = position + offset;
        let previous = at.checked_sub(1).map(|before| bytes[before]);
        let follows = previous.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b')');
        let leads = bytes.get(at + 1).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'(' | b'+'));
        if follows && leads {
            return Some((at, at + 1, ' '));
        }
    }
    None
}

/// The ASCII character that a typographic one is read as; `None` for all others.
pub fn plain(character: char) -> Option<char> {
    const FULL_WIDTH: u32 = 0xfee0;
    match character {
        '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}' => Some(' '),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
        '\u{ff0b}' | '\u{ff0d}' | '\u{ff0e}' | '\u{ff10}'..='\u{ff1a}' | '\u{ff20}' => {
            char::from_u32(u32::from(character) - FULL_WIDTH)
        }
        _ => None,
    }
}
