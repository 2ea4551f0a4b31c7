//! Checksums and number plans: what a regex cannot say of a match.

use std::ops::RangeInclusive;

type Lengths = &'static [usize];

const ALL: Lengths = &[13, 14, 15, 16, 17, 18, 19];
const LONG: Lengths = &[16, 17, 18, 19];
const DINERS: Lengths = &[14, 15, 16, 17, 18, 19];

/// Digits of the prefix, the prefixes, lengths of the whole number.
const ISSUERS: [(usize, RangeInclusive<u32>, Lengths); 23] = [
    (1, 4..=4, &[13, 16, 19]), // Visa
    (2, 51..=55, &[16]),       // Mastercard
    (4, 2221..=2720, &[16]),
    (2, 34..=34, &[15]), // American Express
    (2, 37..=37, &[15]),
    (4, 6011..=6011, LONG), // Discover
    (3, 644..=649, LONG),
    (2, 65..=65, LONG),
    (2, 62..=62, LONG),     // UnionPay
    (4, 3528..=3589, LONG), // JCB
    (3, 300..=305, DINERS), // Diners Club
    (2, 36..=36, DINERS),
    (2, 38..=39, DINERS),
    (4, 5018..=5018, ALL), // Maestro
    (4, 5020..=5020, ALL),
    (4, 5038..=5038, ALL),
    (4, 5893..=5893, ALL),
    (4, 6304..=6304, ALL),
    (4, 6759..=6763, ALL),
    (4, 2200..=2204, LONG), // Mir
    (2, 60..=60, &[16]),    // RuPay
    (3, 508..=508, &[16]),
    (2, 81..=82, &[16]),
];

/// Characters of the IBANs of these countries, from the SWIFT registry.
const IBANS: [(usize, &str); 18] = [
    (15, "NO"),
    (16, "BE"),
    (18, "DK FK FO FI GL NL SD"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU XK MN"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM SO TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "BI DJ FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU YE"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
];

/// Whether the last digit is the ISO/IEC 7812 check digit of those before it.
fn luhn(digits: &[u8]) -> bool {
    let value = |(position, digit): (usize, &u8)| {
        let digit = u32::from(digit - b'0');
        let double = if position % 2 == 1 { digit * 2 } else { digit };
        if double > 9 { double - 9 } else { double }
    };
    digits.iter().rev().enumerate().map(value).sum::<u32>() % 10 == 0
}

/// Whether ASCII digits are a card number that a known issuer gives out, check digit included.
pub fn card(digits: &[u8]) -> bool {
    ALL.contains(&digits.len()) && is_issued(digits) && luhn(digits)
}

fn is_issued(digits: &[u8]) -> bool {
    let prefix = |width: usize| digits[..width].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    ISSUERS.iter().any(|(width, range, lengths)| lengths.contains(&digits.len()) && range.contains(&prefix(*width)))
}

/// How many characters the IBANs of a country have; `None` for one that has none.
pub fn iban_length(country: &[u8]) -> Option<usize> {
    let country = std::str::from_utf8(country).ok()?.to_ascii_uppercase();
    IBANS.iter().find(|(_, countries)| countries.split(' ').any(|code| code == country)).map(|(length, _)| *length)
}

/// Whether letters and digits have their country's length and the right ISO 13616 check digits (mod 97).
pub fn iban(compact: &[u8]) -> bool {
    if iban_length(&compact[..2]) != Some(compact.len()) {
        return false;
    }
    let remainder = compact[4..].iter().chain(&compact[..4]).fold(0_u32, |remainder, character| {
        let value = (*character as char).to_digit(36).unwrap_or(0);
        if value > 9 { (remainder * 100 + value) % 97 } else { (remainder * 10 + value) % 97 }
    });
    remainder == 1
}

/// Whether nine digits are in the ranges that have been given out as social security numbers.
pub fn us_ssn(digits: &[u8]) -> bool {
    !matches!(&digits[..3], b"000" | b"666") && digits[0] != b'9' && &digits[3..5] != b"00" && &digits[5..] != b"0000"
}
