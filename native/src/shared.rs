//! What the spans of one message share: the resource and the instrumentation scope, read and governed once.

use std::borrow::Cow;

use crate::keys::Role;
use crate::plan::Plan;
use crate::redact::Redactor;
use crate::span::{Attributes, Reader, Roles, by_role, text};
use crate::value::{Text, Value};
use crate::wire::{Message, Read, numbers, once, tag};

/// What was found in what is shared.
#[derive(Default)]
pub struct Findings {
    /// Bits of entity types.
    pub types: u16,
    pub subjects: Vec<String>,
}

pub struct Resource<'a> {
    pub attributes: Attributes<'a>,
    pub roles: Roles,
    pub service: String,
    pub dropped_attributes: i64,
    pub schema_url: Text<'a>,
    pub entity_refs: Vec<Attributes<'a>>,
    pub found: Findings,
}

pub struct Scope<'a> {
    pub name: Text<'a>,
    pub version: Text<'a>,
    pub attributes: Attributes<'a>,
    pub dropped_attributes: i64,
    pub schema_url: Text<'a>,
    pub found: Findings,
}

/// The parts of a ResourceSpans or a ScopeSpans message: its header, its own schema URL, its members.
pub struct Parts<'a> {
    pub header: &'a [u8],
    pub schema_url: Text<'a>,
    pub members: Vec<&'a [u8]>,
}

/// Takes a ResourceSpans or a ScopeSpans apart; both number their fields alike.
pub fn parts(bytes: &[u8]) -> Read<Parts<'_>> {
    let mut header = None;
    let mut schema_url = Cow::Borrowed("");
    let mut members = Vec::new();
    let mut message = Message::new(bytes);
    while let Some(tag) = message.tag()? {
        match tag {
            tag::BYTES_1 => once(&mut header, message.bytes()?)?,
            tag::BYTES_2 => members.push(message.bytes()?),
            tag::BYTES_3 => schema_url = text(message.bytes()?),
            tag => message.skip(tag, numbers(1, 3))?,
        }
    }
    Ok(Parts { header: header.unwrap_or(&[]), schema_url, members })
}

/// Reads and governs a resource.
pub fn resource<'p, 'a>(
    reader: &mut Reader<'p, '_>,
    redactor: &mut Redactor<'p>,
    bytes: &'a [u8],
    mut schema_url: Text<'a>,
) -> Read<Resource<'a>> {
    let mut attributes = Attributes::new();
    let mut dropped_attributes = 0_i64;
    let mut entity_refs = Vec::new();
    let mut seen = reader.begin();
    let mut message = Message::new(bytes);
    while let Some(tag) = message.tag()? {
        match tag {
            tag::BYTES_1 => reader.attribute(message.bytes()?, &mut seen, &mut attributes)?,
            tag::VARINT_2 => dropped_attributes = i64::from(message.uint32()?),
            tag::BYTES_3 => entity_refs.push(entity_ref(reader, message.bytes()?)?),
            tag => message.skip(tag, numbers(1, 3))?,
        }
    }
    let plan = reader.plan;
    let mut found = Findings::default();
    if plan.privacy.enabled {
        redactor.begin(&plan.privacy.shared_actions);
        dropped_attributes += redactor.attributes(reader.keys, &mut attributes)?;
        redactor.text(&mut schema_url);
        for attributes in &mut entity_refs {
            redactor.attributes(reader.keys, attributes)?;
        }
        found = findings(redactor);
    }
    let service = match by_role(reader.keys, &attributes, Role::ServiceName) {
        Some(Value::Str(name)) => name.to_string(),
        _ => String::new(),
    };
    let roles = Roles::of(reader.keys, &attributes);
    Ok(Resource { attributes, roles, service, dropped_attributes, schema_url, entity_refs, found })
}

/// An EntityRef as attributes, under the names of its fields.
fn entity_ref<'a>(reader: &mut Reader<'_, '_>, bytes: &'a [u8]) -> Read<Attributes<'a>> {
    let (mut schema_url, mut kind) = (Cow::Borrowed(""), Cow::Borrowed(""));
    let (mut id_keys, mut description_keys) = (Vec::new(), Vec::new());
    let mut message = Message::new(bytes);
    while let Some(tag) = message.tag()? {
        match tag {
            tag::BYTES_1 => schema_url = text(message.bytes()?),
            tag::BYTES_2 => kind = text(message.bytes()?),
            tag::BYTES_3 => id_keys.push(Value::Str(text(message.bytes()?))),
            tag::BYTES_4 => description_keys.push(Value::Str(text(message.bytes()?))),
            tag => message.skip(tag, numbers(1, 4))?,
        }
    }
    let members = [
        ("schema_url", Value::Str(schema_url)),
        ("type", Value::Str(kind)),
        ("id_keys", Value::List(id_keys)),
        ("description_keys", Value::List(description_keys)),
    ];
    Ok(members.into_iter().map(|(key, value)| reader.named(key, value)).collect())
}

/// Reads and governs an instrumentation scope.
pub fn scope<'p, 'a>(
    reader: &mut Reader<'p, '_>,
    redactor: &mut Redactor<'p>,
    bytes: &'a [u8],
    mut schema_url: Text<'a>,
) -> Read<Scope<'a>> {
    let (mut name, mut version) = (Cow::Borrowed(""), Cow::Borrowed(""));
    let mut attributes = Attributes::new();
    let mut dropped_attributes = 0_i64;
    let mut seen = reader.begin();
    let mut message = Message::new(bytes);
    while let Some(tag) = message.tag()? {
        match tag {
            tag::BYTES_1 => name = text(message.bytes()?),
            tag::BYTES_2 => version = text(message.bytes()?),
            tag::BYTES_3 => reader.attribute(message.bytes()?, &mut seen, &mut attributes)?,
            tag::VARINT_4 => dropped_attributes = i64::from(message.uint32()?),
            tag => message.skip(tag, numbers(1, 4))?,
        }
    }
    let plan: &Plan = reader.plan;
    let mut found = Findings::default();
    if plan.privacy.enabled {
        redactor.begin(&plan.privacy.shared_actions);
        dropped_attributes += redactor.attributes(reader.keys, &mut attributes)?;
        redactor.text(&mut schema_url);
        redactor.text(&mut name);
        redactor.value_of("version", &mut version)?;
        found = findings(redactor);
    }
    Ok(Scope { name, version, attributes, dropped_attributes, schema_url, found })
}

fn findings(redactor: &mut Redactor<'_>) -> Findings {
    Findings { types: redactor.types, subjects: std::mem::take(&mut redactor.subjects) }
}
