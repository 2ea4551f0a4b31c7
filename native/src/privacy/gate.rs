//! One look at the bytes of a text says which patterns can match at all; for most texts that is none.

/// Features of a text, by bit; the first 26 are the letters, in either case.
pub const AT: u64 = 1 << 26;
pub const EQUALS: u64 = 1 << 27;
pub const COLON: u64 = 1 << 28;
pub const DOT: u64 = 1 << 29;
pub const LESS: u64 = 1 << 30;
/// A backslash or a percent sign: something may be escaped.
pub const ESCAPE: u64 = 1 << 31;
pub const PLUS: u64 = 1 << 32;
pub const UNDERSCORE: u64 = 1 << 33;
pub const DASH: u64 = 1 << 34;
pub const SPACE: u64 = 1 << 35;
pub const DIGIT: u64 = 1 << 36;
pub const NON_ASCII: u64 = 1 << 37;
/// `J`, without which there is no `eyJ`.
pub const UPPER_J: u64 = 1 << 38;
/// `I`, without which there is no `AKIA`, `ASIA`, `AIza` and no `PRIVATE KEY`.
pub const UPPER_I: u64 = 1 << 39;
const BRACKET: u64 = 1 << 40;

/// What may stand between the digits of one number.
const BETWEEN_DIGITS: u64 = SPACE | DOT | BRACKET | DASH;

/// The features of a text that has at least these letters.
pub const fn letters(word: &str) -> u64 {
    let (mut features, mut index) = (0, 0);
    while index < word.len() {
        features |= 1 << (word.as_bytes()[index] - b'a');
        index += 1;
    }
    features
}

static CLASSES: [u64; 256] = classes();

const fn classes() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = class(byte as u8);
        byte += 1;
    }
    table
}

const fn class(byte: u8) -> u64 {
    let letter = if byte.is_ascii_alphabetic() { 1 << (byte.to_ascii_lowercase() - b'a') } else { 0 };
    letter
        | match byte {
            b'@' => AT,
            b'=' => EQUALS,
            b':' => COLON,
            b'.' => DOT,
            b'<' => LESS,
            b'\\' | b'%' => ESCAPE,
            b'+' => PLUS,
            b'_' => UNDERSCORE,
            b'-' => DASH,
            b' ' => SPACE,
            b'0'..=b'9' => DIGIT,
            b'J' => UPPER_J,
            b'I' => UPPER_I,
            b'(' | b')' => BRACKET,
            0x80..=0xff => NON_ASCII,
            _ => 0,
        }
}

/// What is seen of a text at one look.
#[derive(Clone, Copy)]
pub struct Look {
    pub features: u64,
    /// The most digits in a row with at most two of ` .()-` between neighbours.
    pub digits: u32,
}

impl Look {
    #[inline]
    pub fn at(text: &str) -> Self {
        let features = text.bytes().fold(0, |features, byte| features | CLASSES[usize::from(byte)]);
        Look { features, digits: if features & DIGIT == 0 { 0 } else { longest_number(text.as_bytes()) } }
    }

    #[inline]
    pub fn has(self, feature: u64) -> bool {
        self.features & feature != 0
    }

    #[inline]
    pub fn has_all(self, features: u64) -> bool {
        self.features & features == features
    }

    /// Whether the text has all features of one of these sets.
    #[inline]
    pub fn has_one_of(self, sets: &[u64]) -> bool {
        sets.iter().any(|features| self.has_all(*features))
    }
}

fn longest_number(bytes: &[u8]) -> u32 {
    const WIDEST_GAP: u32 = 2;
    let (mut longest, mut count, mut gap) = (0, 0, 0);
    for byte in bytes {
        let class = CLASSES[usize::from(*byte)];
        if class & DIGIT != 0 {
            count += 1;
            gap = 0;
            longest = longest.max(count);
        } else if class & BETWEEN_DIGITS != 0 && gap < WIDEST_GAP {
            gap += 1;
        } else {
            count = 0;
        }
    }
    longest
}

/// How many of a byte there are.
pub fn count(text: &str, byte: u8) -> usize {
    text.bytes().filter(|other| *other == byte).count()
}
