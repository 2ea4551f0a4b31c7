//! What the spans of one message share: the resource and the instrumentation scope, read and governed once.

use std::borrow::Cow;

use crate::keys::Role;
use crate::plan::Plan;
use crate::redact::Redactor;
use crate::rows::{ResourceRow, ScopeRow};
use crate::span::{Attributes, Reader, Roles, by_role, text};
use crate::value::{Text, Value, write_json, write_object};
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
    pub row: ResourceRow,
    pub found: Findings,
}

pub struct Scope {
    pub row: ScopeRow,
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
    let mut json = String::new();
    write_object(&mut json, attributes.iter().map(|attribute| (attribute.name(reader.keys), &attribute.value)));
    let service = match by_role(reader.keys, &attributes, Role::ServiceName) {
        Some(Value::Str(name)) => name.to_string(),
        _ => String::new(),
    };
    let row = ResourceRow {
        json,
        service,
        dropped_attributes,
        schema_url: schema_url.into_owned(),
        entity_refs: entity_refs_json(reader, &entity_refs),
        code: None,
    };
    let roles = Roles::of(reader.keys, &attributes);
    Ok(Resource { attributes, roles, row, found })
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

fn entity_refs_json(reader: &Reader<'_, '_>, entity_refs: &[Attributes<'_>]) -> String {
    if entity_refs.is_empty() {
        return String::new();
    }
    let as_map = |attributes: &Attributes<'_>| {
        let pair = |attribute: &crate::span::Attribute<'_>| {
            (Cow::Owned(attribute.name(reader.keys).to_owned()), owned(&attribute.value))
        };
        Value::Map(attributes.iter().map(pair).collect())
    };
    let mut json = String::new();
    write_json(&mut json, &Value::List(entity_refs.iter().map(as_map).collect()));
    json
}

/// Texts and lists of texts, which is what an EntityRef is made of.
fn owned(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Str(text) => Value::Str(Cow::Owned(text.to_string())),
        Value::List(items) => Value::List(items.iter().map(owned).collect()),
        _ => Value::Null,
    }
}

/// Reads and governs an instrumentation scope.
pub fn scope<'p, 'a>(
    reader: &mut Reader<'p, '_>,
    redactor: &mut Redactor<'p>,
    bytes: &'a [u8],
    mut schema_url: Text<'a>,
) -> Read<Scope> {
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
    let mut json = String::new();
    if !attributes.is_empty() {
        write_object(&mut json, attributes.iter().map(|attribute| (attribute.name(reader.keys), &attribute.value)));
    }
    let row = ScopeRow {
        name: name.into_owned(),
        version: version.into_owned(),
        attributes: json,
        dropped_attributes,
        schema_url: schema_url.into_owned(),
    };
    Ok(Scope { row, found })
}

fn findings(redactor: &mut Redactor<'_>) -> Findings {
    Findings { types: redactor.types, subjects: std::mem::take(&mut redactor.subjects) }
}
