//! OTLP messages, read from their bytes into structures that borrow from them.

use std::borrow::Cow;

use crate::keys::{KeyId, Keys, ROLES, Role};
use crate::plan::Plan;
use crate::value::{Pairs, Text, Value, put};
use crate::wire::{Irregular, Message, Read, numbers, once, tag};

/// An attribute of a span, event, link, resource or scope.
#[derive(Debug)]
pub struct Attribute<'a> {
    pub key: KeyId,
    /// The key without the personal data that was in it.
    pub renamed: Option<Box<str>>,
    pub value: Value<'a>,
}

impl<'a> Attribute<'a> {
    pub fn name<'s>(&'s self, keys: &'s Keys) -> &'s str {
        self.renamed.as_deref().unwrap_or(&keys.get(self.key).text)
    }
}

pub type Attributes<'a> = Vec<Attribute<'a>>;

/// The value of a key that the kernel reads, where there is one.
pub fn by_role<'s, 'a>(keys: &Keys, attributes: &'s Attributes<'a>, role: Role) -> Option<&'s Value<'a>> {
    attributes.iter().find(|attribute| keys.get(attribute.key).role == Some(role)).map(|attribute| &attribute.value)
}

/// Where in a span's attributes the keys stand that the kernel reads.
pub struct Roles([Option<u16>; ROLES.len()]);

impl Roles {
    pub fn of(keys: &Keys, attributes: &Attributes<'_>) -> Self {
        let mut places = [None; ROLES.len()];
        for (index, attribute) in attributes.iter().enumerate() {
            if let Some(role) = keys.get(attribute.key).role {
                places[role as usize] = Some(index as u16);
            }
        }
        Roles(places)
    }

    pub fn value<'s, 'a>(&self, attributes: &'s Attributes<'a>, role: Role) -> Option<&'s Value<'a>> {
        self.0[role as usize].map(|index| &attributes[usize::from(index)].value)
    }

    /// Whether any of the claims is there.
    pub fn claims(&self) -> bool {
        self.0[..crate::keys::CLAIMS].iter().any(Option::is_some)
    }
}

pub struct Event<'a> {
    pub time: i64,
    pub name: Text<'a>,
    pub attributes: Attributes<'a>,
    pub dropped_attributes: i64,
}

pub struct Link<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub trace_state: Text<'a>,
    pub attributes: Attributes<'a>,
    pub dropped_attributes: i64,
    pub flags: u32,
}

#[derive(Default)]
pub struct Span<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    /// Empty for a root.
    pub parent_id: &'a [u8],
    pub trace_state: Text<'a>,
    pub flags: u32,
    pub name: Text<'a>,
    pub kind: i32,
    pub start: i64,
    pub end: i64,
    pub attributes: Attributes<'a>,
    pub dropped_attributes: i64,
    pub events: Vec<Event<'a>>,
    pub dropped_events: i64,
    pub links: Vec<Link<'a>>,
    pub dropped_links: i64,
    pub status: i32,
    pub status_message: Text<'a>,
}

/// How far a list of attributes has been read.
pub struct Seen {
    list: u64,
    /// How many were sent, duplicates included.
    count: usize,
    last: Option<KeyId>,
}

/// Reads messages; keys are looked up on the way.
pub struct Reader<'p, 'k> {
    pub plan: &'p Plan,
    pub keys: &'k mut Keys,
}

impl Reader<'_, '_> {
    /// Reads a span into `span`, whose vectors are used again.
    pub fn span<'a>(&mut self, bytes: &'a [u8], span: &mut Span<'a>) -> Read<()> {
        let limits = self.plan.limits;
        span.clear();
        let mut status = None;
        let (mut start, mut end) = (0, 0);
        let mut seen = self.begin();
        let mut message = Message::new(bytes);
        while let Some(tag) = message.tag()? {
            match tag {
                tag::BYTES_1 => span.trace_id = message.bytes()?,
                tag::BYTES_2 => span.span_id = message.bytes()?,
                tag::BYTES_3 => span.trace_state = text(message.bytes()?),
                tag::BYTES_4 => span.parent_id = message.bytes()?,
                tag::BYTES_5 => span.name = text(message.bytes()?),
                tag::VARINT_6 => span.kind = message.varint()? as i32,
                tag::FIXED64_7 => start = message.fixed64()?,
                tag::FIXED64_8 => end = message.fixed64()?,
                tag::BYTES_9 => self.attribute(message.bytes()?, &mut seen, &mut span.attributes)?,
                tag::VARINT_10 => span.dropped_attributes = i64::from(message.uint32()?),
                tag::BYTES_11 => {
                    bounded(span.events.len(), limits.events)?;
                    let event = self.event(message.bytes()?)?;
                    span.events.push(event);
                }
                tag::VARINT_12 => span.dropped_events = i64::from(message.uint32()?),
                tag::BYTES_13 => {
                    bounded(span.links.len(), limits.links)?;
                    let link = self.link(message.bytes()?)?;
                    span.links.push(link);
                }
                tag::VARINT_14 => span.dropped_links = i64::from(message.uint32()?),
                tag::BYTES_15 => once(&mut status, message.bytes()?)?,
                tag::FIXED32_16 => span.flags = message.fixed32()?,
                tag => message.skip(tag, numbers(1, 16))?,
            }
        }
        self.status(status.unwrap_or(&[]), span)?;
        span.start = time(start)?;
        span.end = time(end)?;
        check_ids(span)
    }

    fn status<'a>(&mut self, bytes: &'a [u8], span: &mut Span<'a>) -> Read<()> {
        let mut message = Message::new(bytes);
        while let Some(tag) = message.tag()? {
            match tag {
                tag::BYTES_2 => span.status_message = text(message.bytes()?),
                tag::VARINT_3 => span.status = message.varint()? as i32,
                tag => message.skip(tag, numbers(2, 3))?,
            }
        }
        Ok(())
    }

    fn event<'a>(&mut self, bytes: &'a [u8]) -> Read<Event<'a>> {
        let mut event = Event { time: 0, name: Cow::Borrowed(""), attributes: Vec::new(), dropped_attributes: 0 };
        let mut at = 0;
        let mut seen = self.begin();
        let mut message = Message::new(bytes);
        while let Some(tag) = message.tag()? {
            match tag {
                tag::FIXED64_1 => at = message.fixed64()?,
                tag::BYTES_2 => event.name = text(message.bytes()?),
                tag::BYTES_3 => self.attribute(message.bytes()?, &mut seen, &mut event.attributes)?,
                tag::VARINT_4 => event.dropped_attributes = i64::from(message.uint32()?),
                tag => message.skip(tag, numbers(1, 4))?,
            }
        }
        event.time = time(at)?;
        Ok(event)
    }

    fn link<'a>(&mut self, bytes: &'a [u8]) -> Read<Link<'a>> {
        let mut link = Link {
            trace_id: &[],
            span_id: &[],
            trace_state: Cow::Borrowed(""),
            attributes: Vec::new(),
            dropped_attributes: 0,
            flags: 0,
        };
        let mut seen = self.begin();
        let mut message = Message::new(bytes);
        while let Some(tag) = message.tag()? {
            match tag {
                tag::BYTES_1 => link.trace_id = message.bytes()?,
                tag::BYTES_2 => link.span_id = message.bytes()?,
                tag::BYTES_3 => link.trace_state = text(message.bytes()?),
                tag::BYTES_4 => self.attribute(message.bytes()?, &mut seen, &mut link.attributes)?,
                tag::VARINT_5 => link.dropped_attributes = i64::from(message.uint32()?),
                tag::FIXED32_6 => link.flags = message.fixed32()?,
                tag => message.skip(tag, numbers(1, 6))?,
            }
        }
        if !matches!(link.trace_id.len(), 0 | 16) || !matches!(link.span_id.len(), 0 | 8) {
            return Err(Irregular);
        }
        Ok(link)
    }

    /// Reads a KeyValue; of duplicate keys the last value holds, at the place of the first.
    #[inline]
    pub fn attribute<'a>(&mut self, bytes: &'a [u8], seen: &mut Seen, attributes: &mut Attributes<'a>) -> Read<()> {
        bounded(seen.count, self.plan.limits.attributes)?;
        seen.count += 1;
        let (key, value) = pair(bytes)?;
        let value = match value {
            Some(value) => any_value(value, self.plan.limits.nesting)?,
            None => Value::Null,
        };
        let key = self.keys.find(self.plan, seen.last, key);
        seen.last = Some(key);
        match self.keys.place_in(seen.list, key, attributes.len()) {
            Some(place) => attributes[place].value = value,
            None => attributes.push(Attribute { key, renamed: None, value }),
        }
        Ok(())
    }

    /// The beginning of a list of attributes.
    pub fn begin(&mut self) -> Seen {
        Seen { list: self.keys.list(), count: 0, last: None }
    }
}

impl Reader<'_, '_> {
    /// An attribute under a name of ours.
    pub fn named<'a>(&mut self, key: &str, value: Value<'a>) -> Attribute<'a> {
        Attribute { key: self.keys.find(self.plan, None, key.as_bytes()), renamed: None, value }
    }
}

impl Span<'_> {
    fn clear(&mut self) {
        let (mut attributes, mut events, mut links) =
            (std::mem::take(&mut self.attributes), std::mem::take(&mut self.events), std::mem::take(&mut self.links));
        attributes.clear();
        events.clear();
        links.clear();
        *self = Span { attributes, events, links, ..Span::default() };
    }
}

fn check_ids(span: &mut Span<'_>) -> Read<()> {
    let is_id = |id: &[u8], length: usize| id.len() == length && id.iter().any(|byte| *byte != 0);
    if span.parent_id.len() == 8 && !is_id(span.parent_id, 8) {
        span.parent_id = &[];
    }
    let has_parent = span.parent_id.is_empty() || span.parent_id.len() == 8;
    if is_id(span.trace_id, 16) && is_id(span.span_id, 8) && has_parent { Ok(()) } else { Err(Irregular) }
}

/// Text as it was sent; what is not UTF-8 in it becomes U+FFFD.
#[inline]
pub fn text(bytes: &[u8]) -> Text<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

fn time(nanoseconds: u64) -> Read<i64> {
    i64::try_from(nanoseconds).map_err(|_| Irregular)
}

fn bounded(count: usize, limit: usize) -> Read<()> {
    if count < limit { Ok(()) } else { Err(Irregular) }
}

/// The key of a KeyValue, which may not be UTF-8, and its AnyValue.
#[inline]
fn pair(bytes: &[u8]) -> Read<(&[u8], Option<&[u8]>)> {
    let (mut key, mut value): (&[u8], _) = (&[], None);
    let mut message = Message::new(bytes);
    while let Some(tag) = message.tag()? {
        match tag {
            tag::BYTES_1 => key = message.bytes()?,
            tag::BYTES_2 => once(&mut value, message.bytes()?)?,
            tag => message.skip(tag, numbers(1, 2))?,
        }
    }
    Ok((key, value))
}

/// Reads an AnyValue; `room` is how many more levels of arrays and maps are allowed.
fn any_value(bytes: &[u8], room: usize) -> Read<Value<'_>> {
    let mut value = None;
    let mut message = Message::new(bytes);
    while let Some(tag) = message.tag()? {
        let member = match tag {
            tag::BYTES_1 => Value::Str(text(message.bytes()?)),
            tag::VARINT_2 => Value::Bool(message.varint()? != 0),
            tag::VARINT_3 => Value::Int(message.varint()? as i64),
            tag::FIXED64_4 => Value::Double(f64::from_bits(message.fixed64()?)),
            tag::BYTES_5 => list(message.bytes()?, room)?,
            tag::BYTES_6 => map(message.bytes()?, room)?,
            tag::BYTES_7 => Value::Bytes(Cow::Borrowed(message.bytes()?)),
            // 8 is an index into another signal's string table; beyond are fields of tomorrow
            tag::VARINT_8 => return Err(Irregular),
            tag => {
                message.skip(tag, numbers(1, 8))?;
                continue;
            }
        };
        once(&mut value, member)?;
    }
    Ok(value.unwrap_or(Value::Null))
}

fn list(bytes: &[u8], room: usize) -> Read<Value<'_>> {
    let mut items = Vec::new();
    let mut message = Message::new(bytes);
    let room = room.checked_sub(1).ok_or(Irregular)?;
    while let Some(tag) = message.tag()? {
        match tag {
            tag::BYTES_1 => items.push(any_value(message.bytes()?, room)?),
            tag => message.skip(tag, numbers(1, 1))?,
        }
    }
    Ok(Value::List(items))
}

fn map(bytes: &[u8], room: usize) -> Read<Value<'_>> {
    /// Beyond this many members looking for duplicates one by one would cost more than the twin does.
    const MANY: usize = 256;
    let mut pairs = Pairs::new();
    let mut message = Message::new(bytes);
    let room = room.checked_sub(1).ok_or(Irregular)?;
    while let Some(tag) = message.tag()? {
        match tag {
            tag::BYTES_1 => {
                bounded(pairs.len(), MANY)?;
                let (key, value) = pair(message.bytes()?)?;
                let value = value.map_or(Ok(Value::Null), |value| any_value(value, room))?;
                put(&mut pairs, text(key), value);
            }
            tag => message.skip(tag, numbers(1, 1))?,
        }
    }
    Ok(Value::Map(pairs))
}
