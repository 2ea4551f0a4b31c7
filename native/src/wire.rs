//! The protobuf wire format, read in place.
//!
//! The kernel takes requests whose bytes are as every SDK writes them. Whatever is unusual (groups, a known field with
//! another wire type, a singular message that comes twice, lengths that do not fit) makes the request `Irregular`: the
//! Python twin then takes it apart, slower and with words for what is wrong.

/// The request is not for the kernel; the twin takes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Irregular;

pub type Read<T> = Result<T, Irregular>;

/// The tag of a field: its number and wire type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tag(pub u32);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// Tags by wire type and number.
pub mod tag {
    use super::{BYTES, FIXED32, FIXED64, Tag, VARINT};

    macro_rules! tags {
        ($($name:ident = $kind:ident $number:literal,)*) => {
            $(pub const $name: Tag = Tag($number << 3 | $kind);)*
        };
    }

    tags! {
        BYTES_1 = BYTES 1,
        BYTES_2 = BYTES 2,
        BYTES_3 = BYTES 3,
        BYTES_4 = BYTES 4,
        BYTES_5 = BYTES 5,
        BYTES_6 = BYTES 6,
        BYTES_7 = BYTES 7,
        BYTES_9 = BYTES 9,
        BYTES_11 = BYTES 11,
        BYTES_13 = BYTES 13,
        BYTES_15 = BYTES 15,
        FIXED32_6 = FIXED32 6,
        FIXED32_16 = FIXED32 16,
        FIXED64_1 = FIXED64 1,
        FIXED64_4 = FIXED64 4,
        FIXED64_7 = FIXED64 7,
        FIXED64_8 = FIXED64 8,
        VARINT_2 = VARINT 2,
        VARINT_3 = VARINT 3,
        VARINT_4 = VARINT 4,
        VARINT_5 = VARINT 5,
        VARINT_6 = VARINT 6,
        VARINT_8 = VARINT 8,
        VARINT_10 = VARINT 10,
        VARINT_12 = VARINT 12,
        VARINT_14 = VARINT 14,
    }
}

/// The fields of one message in their order: a tag, then the value by the method for its wire type.
pub struct Message<'a> {
    rest: &'a [u8],
}

impl<'a> Message<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Message { rest: bytes }
    }

    /// The next field's tag; `None` at the end.
    #[inline]
    pub fn tag(&mut self) -> Read<Option<Tag>> {
        match self.rest {
            [] => Ok(None),
            // field numbers 1 to 15
            [byte @ 8..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(Some(Tag(u32::from(*byte))))
            }
            _ => self.long_tag(),
        }
    }

    #[cold]
    fn long_tag(&mut self) -> Read<Option<Tag>> {
        let tag = u32::try_from(self.varint()?).map_err(|_| Irregular)?;
        if tag < 8 { Err(Irregular) } else { Ok(Some(Tag(tag))) }
    }

    #[inline]
    pub fn varint(&mut self) -> Read<u64> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(*byte) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Read<u64> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            if index == 9 && *byte > 1 {
                return Err(Irregular);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Irregular)
    }

    /// A `uint32`: longer varints lose their high bits, as in every parser.
    #[inline]
    pub fn uint32(&mut self) -> Read<u32> {
        Ok(self.varint()? as u32)
    }

    #[inline]
    pub fn bytes(&mut self) -> Read<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| Irregular)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Irregular)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub fn fixed64(&mut self) -> Read<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub fn fixed32(&mut self) -> Read<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Irregular)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Passes over a field of tomorrow. One of the `known` numbers (by bit) with another wire type is not for the kernel.
    pub fn skip(&mut self, tag: Tag, known: u32) -> Read<()> {
        let number = tag.0 >> 3;
        if number < 32 && known >> number & 1 == 1 {
            return Err(Irregular);
        }
        match tag.0 & 7 {
            VARINT => self.varint().map(|_| ()),
            FIXED64 => self.fixed64().map(|_| ()),
            BYTES => self.bytes().map(|_| ()),
            FIXED32 => self.fixed32().map(|_| ()),
            _ => Err(Irregular),
        }
    }
}

/// The numbers `first` to `last` as bits, for `Message::skip`.
pub const fn numbers(first: u32, last: u32) -> u32 {
    (1 << (last + 1)) - (1 << first)
}

/// Sets a singular field; one that comes twice would have to be merged, which is the twin's.
pub fn once<T>(place: &mut Option<T>, value: T) -> Read<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Irregular),
    }
}
