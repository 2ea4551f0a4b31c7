//! Governed spans as an OTLP request. The twin is OpenTelemetry's own encoder behind `spanward.processor.otel`.
//!
//! What that encoder does not send (the trace state of a link, what was dropped of a resource or scope) is not sent here.

use std::borrow::Cow;

use crate::found::{Found, retention_name, type_names};
use crate::govern::Sink;
use crate::keys::{Keys, ROLES, Role};
use crate::plan::CLASSES;
use crate::shared::{Resource, Scope};
use crate::span::{Attribute, Attributes, Event, Link, Span};
use crate::value::Value;
use crate::wire::{Irregular, Read, Tag, tag};
use crate::write::{bytes, fixed32, fixed64, message, number, put_bytes, put_fixed64, put_varint};

/// A request while it grows.
#[derive(Default)]
pub struct Request {
    resources: Vec<ResourceSpans>,
    /// Spans, one after the other, without their verdicts on quality.
    bodies: Vec<u8>,
    /// The attributes that those verdicts become.
    verdicts: Vec<u8>,
    spans: Vec<SpanPart>,
    judged: usize,
}

/// Fields of a ResourceSpans but for its spans, and its scopes.
struct ResourceSpans {
    head: Vec<u8>,
    scopes: Vec<ScopeSpans>,
}

/// Fields of a ScopeSpans but for its spans, and which is the first of them.
struct ScopeSpans {
    head: Vec<u8>,
    first: usize,
}

struct SpanPart {
    body_end: usize,
    verdict_end: usize,
    /// The attribute in which the application names broken rules; ours takes its place, if there is anything to say.
    claimed: Vec<u8>,
    /// The application has measured a score of its own.
    scored: bool,
}

impl Request {
    /// How many spans there are in it.
    pub fn count(&self) -> usize {
        self.spans.len()
    }

    /// The request's bytes. Resources and scopes of which no span was kept are not in it.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bodies.len() + self.verdicts.len() + 16 * self.spans.len() + 1024);
        let mut ends = self.resources.iter().flat_map(|resource| &resource.scopes).map(|scope| scope.first).skip(1);
        for resource in &self.resources {
            let scopes: Vec<_> = resource
                .scopes
                .iter()
                .map(|scope| (scope, scope.first..ends.next().unwrap_or(self.spans.len())))
                .filter(|(_, spans)| !spans.is_empty())
                .collect();
            if scopes.is_empty() {
                continue;
            }
            message(&mut out, tag::BYTES_1, |out| {
                out.extend_from_slice(&resource.head);
                for (scope, spans) in scopes {
                    message(out, tag::BYTES_2, |out| {
                        out.extend_from_slice(&scope.head);
                        spans.for_each(|index| self.span(out, index));
                    });
                }
            });
        }
        out
    }

    fn span(&self, out: &mut Vec<u8>, index: usize) {
        let (body_start, verdict_start) = match index.checked_sub(1).map(|before| &self.spans[before]) {
            Some(before) => (before.body_end, before.verdict_end),
            None => (0, 0),
        };
        let body = &self.bodies[body_start..self.spans[index].body_end];
        let verdict = &self.verdicts[verdict_start..self.spans[index].verdict_end];
        put_varint(out, tag::BYTES_2, (body.len() + verdict.len()) as u64);
        out.extend_from_slice(body);
        out.extend_from_slice(verdict);
    }
}

impl Sink for Request {
    fn resource(&mut self, keys: &Keys, resource: &Resource<'_>) {
        let mut head = Vec::new();
        message(&mut head, tag::BYTES_1, |out| attributes(out, tag::BYTES_1, keys, &resource.attributes));
        bytes(&mut head, tag::BYTES_3, resource.schema_url.as_bytes());
        self.resources.push(ResourceSpans { head, scopes: Vec::new() });
    }

    fn scope(&mut self, keys: &Keys, scope: &Scope<'_>) {
        let mut head = Vec::new();
        message(&mut head, tag::BYTES_1, |out| {
            bytes(out, tag::BYTES_1, scope.name.as_bytes());
            bytes(out, tag::BYTES_2, scope.version.as_bytes());
            attributes(out, tag::BYTES_3, keys, &scope.attributes);
        });
        bytes(&mut head, tag::BYTES_3, scope.schema_url.as_bytes());
        if let Some(resource) = self.resources.last_mut() {
            resource.scopes.push(ScopeSpans { head, first: self.spans.len() });
        }
    }

    fn span(&mut self, keys: &Keys, span: &Span<'_>, found: &Found<'_>) -> Read<()> {
        if matches!(&span.trace_state, Cow::Owned(state) if !state.is_empty()) {
            return Err(Irregular); // it was changed; what of it is still a trace state, OpenTelemetry says
        }
        let out = &mut self.bodies;
        bytes(out, tag::BYTES_1, span.trace_id);
        bytes(out, tag::BYTES_2, span.span_id);
        bytes(out, tag::BYTES_3, span.trace_state.as_bytes());
        bytes(out, tag::BYTES_4, span.parent_id);
        bytes(out, tag::BYTES_5, span.name.as_bytes());
        number(out, tag::VARINT_6, span.kind as u64);
        fixed64(out, tag::FIXED64_7, span.start as u64);
        fixed64(out, tag::FIXED64_8, span.end as u64);
        let (claimed, scored) = span_attributes(out, keys, span, found);
        labels(out, found);
        number(out, tag::VARINT_10, span.dropped_attributes as u64);
        span.events.iter().for_each(|event| put_event(out, keys, event));
        number(out, tag::VARINT_12, span.dropped_events as u64);
        span.links.iter().for_each(|link| put_link(out, keys, link));
        number(out, tag::VARINT_14, span.dropped_links as u64);
        message(out, tag::BYTES_15, |out| {
            bytes(out, tag::BYTES_2, span.status_message.as_bytes());
            number(out, tag::VARINT_3, span.status as u64);
        });
        fixed32(out, tag::FIXED32_16, span.flags);
        self.spans.push(SpanPart { body_end: out.len(), verdict_end: 0, claimed, scored });
        Ok(())
    }

    fn judge(&mut self, score: f64, violations: &[&str]) {
        let span = &mut self.spans[self.judged];
        let out = &mut self.verdicts;
        if violations.is_empty() {
            out.extend_from_slice(&span.claimed);
        } else {
            put_texts(out, Role::Violations, violations.iter().copied());
            if !span.scored {
                pair(out, tag::BYTES_9, name_of(Role::Quality), |out| {
                    put_fixed64(out, tag::FIXED64_4, score.to_bits())
                });
            }
        }
        span.verdict_end = out.len();
        self.judged += 1;
    }
}

fn name_of(role: Role) -> &'static str {
    ROLES[role as usize].1
}

/// A KeyValue.
fn pair(out: &mut Vec<u8>, tag: Tag, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    message(out, tag, |out| {
        put_bytes(out, tag::BYTES_1, key.as_bytes());
        message(out, tag::BYTES_2, value);
    });
}

fn put_texts<'t>(out: &mut Vec<u8>, role: Role, texts: impl Iterator<Item = &'t str>) {
    pair(out, tag::BYTES_9, name_of(role), |out| {
        message(out, tag::BYTES_5, |out| {
            for text in texts {
                message(out, tag::BYTES_1, |out| put_bytes(out, tag::BYTES_1, text.as_bytes()));
            }
        });
    });
}

/// What the policy decided at once.
fn labels(out: &mut Vec<u8>, found: &Found<'_>) {
    let mut label = |role, word: &str| {
        pair(out, tag::BYTES_9, name_of(role), |out| put_bytes(out, tag::BYTES_1, word.as_bytes()));
    };
    label(Role::Classification, CLASSES[usize::from(found.label.class)]);
    label(Role::Retention, &retention_name(found.label.retention));
    if found.pii != 0 {
        put_texts(out, Role::Pii, type_names(found.pii));
    }
    if !found.subjects.is_empty() {
        put_texts(out, Role::Subjects, found.subjects.iter().map(String::as_str));
    }
}

/// The application's own attributes, without those that `labels` writes. Gives back the one about violations, and
/// whether there is one about the score.
fn span_attributes(out: &mut Vec<u8>, keys: &Keys, span: &Span<'_>, found: &Found<'_>) -> (Vec<u8>, bool) {
    let mut claimed = Vec::new();
    let mut scored = false;
    for attribute in &span.attributes {
        let role = if attribute.renamed.is_some() { None } else { keys.get(attribute.key).role };
        match role {
            Some(Role::Classification | Role::Retention) => {}
            Some(Role::Pii) if found.pii != 0 => {}
            Some(Role::Subjects) if !found.subjects.is_empty() => {}
            Some(Role::Violations) => put_attribute(&mut claimed, tag::BYTES_9, keys, attribute),
            role => {
                scored |= role == Some(Role::Quality);
                put_attribute(out, tag::BYTES_9, keys, attribute);
            }
        }
    }
    (claimed, scored)
}

fn put_attribute(out: &mut Vec<u8>, tag: Tag, keys: &Keys, attribute: &Attribute<'_>) {
    pair(out, tag, attribute.name(keys), |out| put_value(out, &attribute.value));
}

fn attributes(out: &mut Vec<u8>, tag: Tag, keys: &Keys, attributes: &Attributes<'_>) {
    attributes.iter().for_each(|attribute| put_attribute(out, tag, keys, attribute));
}

/// The fields of an AnyValue.
fn put_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => {}
        Value::Str(text) => put_bytes(out, tag::BYTES_1, text.as_bytes()),
        Value::Bool(value) => put_varint(out, tag::VARINT_2, u64::from(*value)),
        Value::Int(value) => put_varint(out, tag::VARINT_3, *value as u64),
        Value::Double(value) => put_fixed64(out, tag::FIXED64_4, value.to_bits()),
        Value::List(items) => message(out, tag::BYTES_5, |out| {
            items.iter().for_each(|item| message(out, tag::BYTES_1, |out| put_value(out, item)));
        }),
        Value::Map(pairs) => message(out, tag::BYTES_6, |out| {
            pairs.iter().for_each(|(key, value)| pair(out, tag::BYTES_1, key, |out| put_value(out, value)));
        }),
        Value::Bytes(value) => put_bytes(out, tag::BYTES_7, value),
    }
}

fn put_event(out: &mut Vec<u8>, keys: &Keys, event: &Event<'_>) {
    message(out, tag::BYTES_11, |out| {
        fixed64(out, tag::FIXED64_1, event.time as u64);
        bytes(out, tag::BYTES_2, event.name.as_bytes());
        attributes(out, tag::BYTES_3, keys, &event.attributes);
        number(out, tag::VARINT_4, event.dropped_attributes as u64);
    });
}

fn put_link(out: &mut Vec<u8>, keys: &Keys, link: &Link<'_>) {
    message(out, tag::BYTES_13, |out| {
        bytes(out, tag::BYTES_1, link.trace_id);
        bytes(out, tag::BYTES_2, link.span_id);
        attributes(out, tag::BYTES_4, keys, &link.attributes);
        number(out, tag::VARINT_5, link.dropped_attributes as u64);
        fixed32(out, tag::FIXED32_6, link.flags);
    });
}
