//! OTLP/JSON to the protobuf wire format, so that one pass reads both.
//!
//! What is here is JSON as every SDK writes it. Whatever is unusual (a field of another type, a member that comes twice,
//! text that is not UTF-8, numbers written in odd ways) makes the request `Irregular`: the twin reads it, by the rules of
//! the OTLP specification, with words for what is wrong. Fields of tomorrow are passed over.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::wire::{Irregular, Read};

/// An attribute may be nested 32 deep, each level being three objects or arrays of JSON.
const MAX_DEPTH: usize = 128;
/// Bytes set aside for the length of a message, written with padding once it is known: enough for 256 MiB.
const LENGTH: usize = 4;
const MAX_LENGTH: usize = 1 << (7 * LENGTH);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// The request in protobuf.
///
/// # Errors
/// It is not as every SDK writes them: the twin's.
pub fn to_protobuf(body: &[u8]) -> Read<Vec<u8>> {
    let text = std::str::from_utf8(body).map_err(|_| Irregular)?;
    let mut json = Transcoder { text, at: 0, depth: 0, out: Vec::with_capacity(body.len() / 2) };
    json.members(|json, name, seen| match name {
        "resourceSpans" => json.messages(seen, 1, Transcoder::resource_spans),
        _ => json.skip(),
    })?;
    json.space();
    if json.at == text.len() { Ok(json.out) } else { Err(Irregular) }
}

/// Numbers of the fields that an object had so far, as bits.
struct Seen(u32);

impl Seen {
    fn first(&mut self, number: u32) -> Read<()> {
        let bit = 1 << number;
        if self.0 & bit != 0 {
            return Err(Irregular);
        }
        self.0 |= bit;
        Ok(())
    }
}

/// Reads JSON from its beginning to its end, and writes as it goes.
struct Transcoder<'j> {
    text: &'j str,
    at: usize,
    depth: usize,
    out: Vec<u8>,
}

type Reader<'j> = fn(&mut Transcoder<'j>) -> Read<()>;

/// The messages of OTLP.
impl<'j> Transcoder<'j> {
    fn resource_spans(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "resource" => json.message(seen, 1, Transcoder::resource),
            "scopeSpans" => json.messages(seen, 2, Transcoder::scope_spans),
            "schemaUrl" => json.text(seen, 3),
            _ => json.skip(),
        })
    }

    fn scope_spans(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "scope" => json.message(seen, 1, Transcoder::scope),
            "spans" => json.messages(seen, 2, Transcoder::span),
            "schemaUrl" => json.text(seen, 3),
            _ => json.skip(),
        })
    }

    fn resource(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "attributes" => json.messages(seen, 1, Transcoder::key_value),
            "droppedAttributesCount" => json.count(seen, 2),
            "entityRefs" => json.messages(seen, 3, Transcoder::entity_ref),
            _ => json.skip(),
        })
    }

    fn entity_ref(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "schemaUrl" => json.text(seen, 1),
            "type" => json.text(seen, 2),
            "idKeys" => json.texts(seen, 3),
            "descriptionKeys" => json.texts(seen, 4),
            _ => json.skip(),
        })
    }

    fn scope(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "name" => json.text(seen, 1),
            "version" => json.text(seen, 2),
            "attributes" => json.messages(seen, 3, Transcoder::key_value),
            "droppedAttributesCount" => json.count(seen, 4),
            _ => json.skip(),
        })
    }

    fn span(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "traceId" => json.id(seen, 1),
            "spanId" => json.id(seen, 2),
            "traceState" => json.text(seen, 3),
            "parentSpanId" => json.id(seen, 4),
            "name" => json.text(seen, 5),
            "kind" => json.enumeration(seen, 6),
            "startTimeUnixNano" => json.time(seen, 7),
            "endTimeUnixNano" => json.time(seen, 8),
            "attributes" => json.messages(seen, 9, Transcoder::key_value),
            "droppedAttributesCount" => json.count(seen, 10),
            "events" => json.messages(seen, 11, Transcoder::event),
            "droppedEventsCount" => json.count(seen, 12),
            "links" => json.messages(seen, 13, Transcoder::link),
            "droppedLinksCount" => json.count(seen, 14),
            "status" => json.message(seen, 15, Transcoder::status),
            "flags" => json.flags(seen, 16),
            _ => json.skip(),
        })
    }

    fn status(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "message" => json.text(seen, 2),
            "code" => json.enumeration(seen, 3),
            _ => json.skip(),
        })
    }

    fn event(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "timeUnixNano" => json.time(seen, 1),
            "name" => json.text(seen, 2),
            "attributes" => json.messages(seen, 3, Transcoder::key_value),
            "droppedAttributesCount" => json.count(seen, 4),
            _ => json.skip(),
        })
    }

    fn link(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "traceId" => json.id(seen, 1),
            "spanId" => json.id(seen, 2),
            "traceState" => json.text(seen, 3),
            "attributes" => json.messages(seen, 4, Transcoder::key_value),
            "droppedAttributesCount" => json.count(seen, 5),
            "flags" => json.flags(seen, 6),
            _ => json.skip(),
        })
    }

    fn key_value(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "key" => json.text(seen, 1),
            "value" => json.message(seen, 2, Transcoder::any_value),
            _ => json.skip(),
        })
    }

    /// An AnyValue has one member at most; of several the last would win, which is the twin's to say.
    fn any_value(&mut self) -> Read<()> {
        const ONLY: u32 = 1;
        self.members(|json, name, seen| {
            if json.null() {
                return Ok(());
            }
            match name {
                "stringValue" => json.string_value(seen),
                "boolValue" => {
                    seen.first(ONLY)?;
                    let value = json.boolean()?;
                    json.tag(2, VARINT);
                    json.varint(u64::from(value));
                    Ok(())
                }
                "intValue" => {
                    seen.first(ONLY)?;
                    let value: i64 = json.integer()?;
                    json.tag(3, VARINT);
                    json.varint(value as u64);
                    Ok(())
                }
                "doubleValue" => {
                    seen.first(ONLY)?;
                    let value = json.double()?;
                    json.tag(4, FIXED64);
                    json.out.extend_from_slice(&value.to_le_bytes());
                    Ok(())
                }
                "arrayValue" => json.nested(seen, 5, Transcoder::array_value),
                "kvlistValue" => json.nested(seen, 6, Transcoder::kvlist_value),
                "bytesValue" => {
                    seen.first(ONLY)?;
                    let octets = STANDARD.decode(json.string()?.as_bytes()).map_err(|_| Irregular)?;
                    json.bytes(7, &octets);
                    Ok(())
                }
                _ => json.skip(),
            }
        })
    }

    fn string_value(&mut self, seen: &mut Seen) -> Read<()> {
        seen.first(1)?;
        let value = self.string()?;
        self.bytes(1, value.as_bytes()); // also when it is empty, which is a value
        Ok(())
    }

    fn nested(&mut self, seen: &mut Seen, number: u32, read: Reader<'j>) -> Read<()> {
        seen.first(1)?;
        self.framed(number, read)
    }

    fn array_value(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "values" => json.messages(seen, 1, Transcoder::any_value),
            _ => json.skip(),
        })
    }

    fn kvlist_value(&mut self) -> Read<()> {
        self.members(|json, name, seen| match name {
            "values" => json.messages(seen, 1, Transcoder::key_value),
            _ => json.skip(),
        })
    }
}

/// Fields: absent and null are the same.
impl<'j> Transcoder<'j> {
    fn message(&mut self, seen: &mut Seen, number: u32, read: Reader<'j>) -> Read<()> {
        seen.first(number)?;
        if self.null() { Ok(()) } else { self.framed(number, read) }
    }

    fn messages(&mut self, seen: &mut Seen, number: u32, read: Reader<'j>) -> Read<()> {
        seen.first(number)?;
        if self.null() { Ok(()) } else { self.items(|json| json.framed(number, read)) }
    }

    fn text(&mut self, seen: &mut Seen, number: u32) -> Read<()> {
        seen.first(number)?;
        if self.null() {
            return Ok(());
        }
        let text = self.string()?;
        self.bytes(number, text.as_bytes());
        Ok(())
    }

    fn texts(&mut self, seen: &mut Seen, number: u32) -> Read<()> {
        seen.first(number)?;
        if self.null() {
            return Ok(());
        }
        self.items(|json| {
            let text = json.string()?;
            json.bytes(number, text.as_bytes());
            Ok(())
        })
    }

    /// An id in hex of either case, of any length: what it should be, the reader of protobuf knows.
    fn id(&mut self, seen: &mut Seen, number: u32) -> Read<()> {
        seen.first(number)?;
        if self.null() {
            return Ok(());
        }
        let digits = self.string()?;
        let digits = digits.as_bytes();
        if !digits.len().is_multiple_of(2) {
            return Err(Irregular);
        }
        self.tag(number, BYTES);
        self.varint(digits.len() as u64 / 2);
        for pair in digits.chunks_exact(2) {
            let byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
            self.out.push(byte);
        }
        Ok(())
    }

    fn count(&mut self, seen: &mut Seen, number: u32) -> Read<()> {
        seen.first(number)?;
        if self.null() {
            return Ok(());
        }
        let count: u32 = self.integer()?;
        self.tag(number, VARINT);
        self.varint(u64::from(count));
        Ok(())
    }

    fn flags(&mut self, seen: &mut Seen, number: u32) -> Read<()> {
        seen.first(number)?;
        if self.null() {
            return Ok(());
        }
        let flags: u32 = self.integer()?;
        self.tag(number, FIXED32);
        self.out.extend_from_slice(&flags.to_le_bytes());
        Ok(())
    }

    fn time(&mut self, seen: &mut Seen, number: u32) -> Read<()> {
        seen.first(number)?;
        if self.null() {
            return Ok(());
        }
        let nanoseconds: u64 = self.integer()?;
        self.tag(number, FIXED64);
        self.out.extend_from_slice(&nanoseconds.to_le_bytes());
        Ok(())
    }

    /// OTLP/JSON writes enum values as their numbers.
    fn enumeration(&mut self, seen: &mut Seen, number: u32) -> Read<()> {
        seen.first(number)?;
        if self.null() {
            return Ok(());
        }
        if self.peek() == Some(b'"') {
            return Err(Irregular);
        }
        let value: i32 = self.integer()?;
        self.tag(number, VARINT);
        self.varint(i64::from(value) as u64);
        Ok(())
    }
}

/// The wire.
impl<'j> Transcoder<'j> {
    fn tag(&mut self, number: u32, kind: u32) {
        self.varint(u64::from(number << 3 | kind));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, BYTES);
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// A message within its tag and length.
    fn framed(&mut self, number: u32, read: Reader<'j>) -> Read<()> {
        self.tag(number, BYTES);
        let start = self.out.len() + LENGTH;
        self.out.resize(start, 0);
        read(self)?;
        let length = self.out.len() - start;
        if length >= MAX_LENGTH {
            return Err(Irregular);
        }
        for (index, byte) in self.out[start - LENGTH..start].iter_mut().enumerate() {
            let more = if index + 1 < LENGTH { 0x80 } else { 0 };
            *byte = (length >> (7 * index)) as u8 & 0x7f | more;
        }
        Ok(())
    }
}

/// JSON itself.
impl<'j> Transcoder<'j> {
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }

    /// The first byte of what comes next.
    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: u8) -> Read<()> {
        if self.take(wanted) { Ok(()) } else { Err(Irregular) }
    }

    fn word(&mut self, word: &str) -> bool {
        self.space();
        let found = self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn null(&mut self) -> bool {
        self.word("null")
    }

    fn boolean(&mut self) -> Read<bool> {
        if self.word("true") {
            return Ok(true);
        }
        if self.word("false") { Ok(false) } else { Err(Irregular) }
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Read<()>) -> Read<()> {
        if self.depth == MAX_DEPTH {
            return Err(Irregular);
        }
        self.depth += 1;
        read(self)?;
        self.depth -= 1;
        Ok(())
    }

    /// An object; `member` reads the value of each name.
    fn members(&mut self, mut member: impl FnMut(&mut Self, &str, &mut Seen) -> Read<()>) -> Read<()> {
        let mut seen = Seen(0);
        self.deeper(|json| {
            json.expect(b'{')?;
            if json.take(b'}') {
                return Ok(());
            }
            loop {
                let name = json.string()?;
                json.expect(b':')?;
                member(json, &name, &mut seen)?;
                if json.take(b'}') {
                    return Ok(());
                }
                json.expect(b',')?;
            }
        })
    }

    /// An array; `item` reads each of its values.
    fn items(&mut self, mut item: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.deeper(|json| {
            json.expect(b'[')?;
            if json.take(b']') {
                return Ok(());
            }
            loop {
                item(json)?;
                if json.take(b']') {
                    return Ok(());
                }
                json.expect(b',')?;
            }
        })
    }

    /// Passes over any value.
    fn skip(&mut self) -> Read<()> {
        match self.peek() {
            Some(b'{') => self.members(|json, _, _| json.skip()),
            Some(b'[') => self.items(Transcoder::skip),
            Some(b'"') => self.string().map(|_| ()),
            Some(b'n') => {
                if self.null() {
                    Ok(())
                } else {
                    Err(Irregular)
                }
            }
            Some(b't' | b'f') => self.boolean().map(|_| ()),
            _ => self.number().map(|_| ()),
        }
    }

    fn string(&mut self) -> Read<Cow<'j, str>> {
        self.expect(b'"')?;
        let text = self.text;
        let start = self.at;
        loop {
            match text.as_bytes().get(self.at).ok_or(Irregular)? {
                b'"' => {
                    self.at += 1;
                    return Ok(Cow::Borrowed(&text[start..self.at - 1]));
                }
                b'\\' => return self.escaped(start).map(Cow::Owned),
                0..0x20 => return Err(Irregular),
                _ => self.at += 1,
            }
        }
    }

    /// A string that began at `start`, from its first escape on.
    fn escaped(&mut self, start: usize) -> Read<String> {
        let text = self.text;
        let mut plain = start;
        let mut found = String::new();
        loop {
            match text.as_bytes().get(self.at).ok_or(Irregular)? {
                b'"' => {
                    found.push_str(&text[plain..self.at]);
                    self.at += 1;
                    return Ok(found);
                }
                b'\\' => {
                    found.push_str(&text[plain..self.at]);
                    self.at += 1;
                    found.push(self.escape()?);
                    plain = self.at;
                }
                0..0x20 => return Err(Irregular),
                _ => self.at += 1,
            }
        }
    }

    /// The character of an escape sequence; half a surrogate pair is the twin's.
    fn escape(&mut self) -> Read<char> {
        let letter = *self.text.as_bytes().get(self.at).ok_or(Irregular)?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => letter as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.code_unit()?;
                if !(0xd800..0xdc00).contains(&unit) {
                    return char::from_u32(unit).ok_or(Irregular);
                }
                if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                    return Err(Irregular);
                }
                self.at += 2;
                let low = self.code_unit()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return Err(Irregular);
                }
                return char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).ok_or(Irregular);
            }
            _ => return Err(Irregular),
        })
    }

    fn code_unit(&mut self) -> Read<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(Irregular)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| Ok(unit << 4 | u32::from(hex_digit(*digit)?)))
    }

    /// A number as it is written, by the grammar of JSON, and whether it is an integer.
    fn number(&mut self) -> Read<(&'j str, bool)> {
        self.space();
        let bytes = self.text.as_bytes();
        let start = self.at;
        let digits = |mut at: usize| {
            let first = at;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            if at == first { Err(Irregular) } else { Ok(at) }
        };
        let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
        let whole = at;
        at = digits(at)?;
        if bytes[whole] == b'0' && at > whole + 1 {
            return Err(Irregular);
        }
        let integer_end = at;
        if bytes.get(at) == Some(&b'.') {
            at = digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            at += 1;
            at = digits(at + usize::from(matches!(bytes.get(at), Some(b'+' | b'-'))))?;
        }
        self.at = at;
        Ok((&self.text[start..at], at == integer_end))
    }

    /// An integer, as a number or as decimal digits in a string.
    fn integer<T: std::str::FromStr>(&mut self) -> Read<T> {
        let digits = if self.peek() == Some(b'"') {
            let digits = self.string()?;
            let plain = digits.strip_prefix('-').unwrap_or(&digits);
            if plain.is_empty() || plain.len() > 20 || !plain.bytes().all(|digit| digit.is_ascii_digit()) {
                return Err(Irregular);
            }
            digits
        } else {
            let (digits, true) = self.number()? else { return Err(Irregular) };
            Cow::Borrowed(digits)
        };
        digits.parse().map_err(|_| Irregular)
    }

    fn double(&mut self) -> Read<f64> {
        if self.peek() == Some(b'"') {
            return match &*self.string()? {
                "NaN" => Ok(f64::NAN),
                "Infinity" => Ok(f64::INFINITY),
                "-Infinity" => Ok(f64::NEG_INFINITY),
                _ => Err(Irregular),
            };
        }
        let (written, integer) = self.number()?;
        let value: f64 = written.parse().map_err(|_| Irregular)?;
        // to Python, `-0` is the integer 0, which has no sign
        if value.is_finite() && !(integer && value == 0.0 && value.is_sign_negative()) {
            Ok(value)
        } else {
            Err(Irregular)
        }
    }
}

fn hex_digit(digit: u8) -> Read<u8> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(Irregular),
    }
}
