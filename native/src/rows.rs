//! Governed spans to columns of the table `spans`. The twin is `spanward.store.rows`.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::arrow::{Array, Buffer};
use crate::columns::{BoolColumn, Ends, MapColumn, MapValues, NumberColumn, TextColumn, TextLists};
use crate::found::{Found, retention_name, type_names};
use crate::govern::Sink;
use crate::kernel::Request;
use crate::keys::Keys;
use crate::plan::{CLASSES, ColumnsPlan};
use crate::shared::{Resource, Scope};
use crate::span::{Attribute, Attributes, Event, Link, Span};
use crate::value::{Value, write_json, write_object};
use crate::wire::{Irregular, Read};

const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUSES: [&str; 3] = ["unset", "ok", "error"];
const NS_PER_DAY: i64 = 86_400_000_000_000;
/// A column beyond this is the twin's to refuse: offsets have 31 bits.
const MAX_COLUMN_BYTES: usize = 1 << 30;

/// What all spans of a resource share, ready for their rows.
#[derive(Default)]
struct ResourceRow {
    json: String,
    service: String,
    dropped_attributes: i64,
    schema_url: String,
    /// "" when there are none.
    entity_refs: String,
    /// Its code in the dictionary of this batch; set when the first row needs it.
    code: Option<i32>,
}

impl ResourceRow {
    fn of(keys: &Keys, resource: &Resource<'_>) -> Self {
        let mut json = String::new();
        write_attributes(&mut json, keys, &resource.attributes);
        ResourceRow {
            json,
            service: resource.service.clone(),
            dropped_attributes: resource.dropped_attributes,
            schema_url: resource.schema_url.to_string(),
            entity_refs: entity_refs_json(keys, &resource.entity_refs),
            code: None,
        }
    }
}

/// What all spans of a scope share.
#[derive(Default)]
struct ScopeRow {
    name: String,
    version: String,
    /// "" when it has none.
    attributes: String,
    dropped_attributes: i64,
    schema_url: String,
}

impl ScopeRow {
    fn of(keys: &Keys, scope: &Scope<'_>) -> Self {
        let mut attributes = String::new();
        if !scope.attributes.is_empty() {
            write_attributes(&mut attributes, keys, &scope.attributes);
        }
        ScopeRow {
            name: scope.name.to_string(),
            version: scope.version.to_string(),
            attributes,
            dropped_attributes: scope.dropped_attributes,
            schema_url: scope.schema_url.to_string(),
        }
    }
}

fn write_attributes(json: &mut String, keys: &Keys, attributes: &Attributes<'_>) {
    write_object(json, attributes.iter().map(|attribute| (attribute.name(keys), &attribute.value)));
}

fn entity_refs_json(keys: &Keys, entity_refs: &[Attributes<'_>]) -> String {
    if entity_refs.is_empty() {
        return String::new();
    }
    let as_map = |attributes: &Attributes<'_>| {
        let pair = |attribute: &Attribute<'_>| (Cow::Owned(attribute.name(keys).to_owned()), owned(&attribute.value));
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

/// The rows of some requests while they grow.
pub struct Rows<'r> {
    count: usize,
    requests: &'r [Request<'r>],
    /// How many rows there were before each request that has begun.
    firsts: Vec<usize>,
    /// Of the request that began last.
    received_at_ns: i64,
    identity: Identity,
    governance: Governance,
    strings: Vec<TextColumn>,
    ints: Vec<NumberColumn<i64>>,
    doubles: Vec<NumberColumn<f64>>,
    maps: Maps,
    events: EventLists,
    links: LinkLists,
    resources: Resources,
    scopes: Scopes,
    /// Of the spans that come next.
    resource: ResourceRow,
    scope: ScopeRow,
    scratch: String,
}

#[derive(Default)]
struct Identity {
    trace_id: TextColumn,
    span_id: TextColumn,
    parent_span_id: TextColumn,
    trace_state: TextColumn,
    flags: NumberColumn<i64>,
    name: TextColumn,
    kind: TextColumn,
    start_time: NumberColumn<i64>,
    start_unix_nano: NumberColumn<i64>,
    duration_ns: NumberColumn<i64>,
    status_code: TextColumn,
    status_message: TextColumn,
    dropped_attributes: NumberColumn<i64>,
    dropped_events: NumberColumn<i64>,
    dropped_links: NumberColumn<i64>,
}

#[derive(Default)]
struct Governance {
    retention: TextColumn,
    classification: TextColumn,
    expires_on: NumberColumn<i32>,
    pii: TextLists,
    subjects: TextLists,
    quality_score: NumberColumn<f64>,
    quality_violations: TextLists,
    judged: usize,
}

struct Maps {
    strings: MapColumn,
    ints: MapColumn,
    doubles: MapColumn,
    bools: MapColumn,
    json: MapColumn,
}

#[derive(Default)]
struct EventLists {
    ends: Ends,
    count: usize,
    time: NumberColumn<i64>,
    name: TextColumn,
    attributes: TextColumn,
    dropped_attributes: NumberColumn<i64>,
}

#[derive(Default)]
struct LinkLists {
    ends: Ends,
    count: usize,
    trace_id: TextColumn,
    span_id: TextColumn,
    trace_state: TextColumn,
    attributes: TextColumn,
    dropped_attributes: NumberColumn<i64>,
    flags: NumberColumn<i64>,
}

#[derive(Default)]
struct Resources {
    codes: NumberColumn<i32>,
    by_text: HashMap<String, i32>,
    texts: TextColumn,
    service_name: TextColumn,
    dropped_attributes: NumberColumn<i64>,
    schema_url: TextColumn,
    entity_refs: TextColumn,
}

#[derive(Default)]
struct Scopes {
    name: TextColumn,
    version: TextColumn,
    attributes: TextColumn,
    dropped_attributes: NumberColumn<i64>,
    schema_url: TextColumn,
}

impl<'r> Rows<'r> {
    /// Rows of requests that are governed together.
    pub fn new(columns: &ColumnsPlan, requests: &'r [Request<'r>]) -> Self {
        Rows {
            count: 0,
            requests,
            firsts: Vec::with_capacity(requests.len()),
            received_at_ns: 0,
            identity: Identity::default(),
            governance: Governance::default(),
            strings: columns.strings.iter().map(|_| TextColumn::default()).collect(),
            ints: columns.ints.iter().map(|_| NumberColumn::default()).collect(),
            doubles: columns.doubles.iter().map(|_| NumberColumn::default()).collect(),
            maps: Maps {
                strings: MapColumn::new(MapValues::Text(TextColumn::default())),
                ints: MapColumn::new(MapValues::Int(NumberColumn::default())),
                doubles: MapColumn::new(MapValues::Double(NumberColumn::default())),
                bools: MapColumn::new(MapValues::Bool(BoolColumn::default())),
                json: MapColumn::new(MapValues::Text(TextColumn::default())),
            },
            events: EventLists::default(),
            links: LinkLists::default(),
            resources: Resources::default(),
            scopes: Scopes::default(),
            resource: ResourceRow::default(),
            scope: ScopeRow::default(),
            scratch: String::new(),
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    fn attributes(&mut self, keys: &Keys, row: usize, attributes: &Attributes<'_>) {
        for attribute in attributes {
            let key = keys.get(attribute.key);
            let promoted = |column: Option<u16>| {
                if attribute.renamed.is_none() { column } else { None }
            };
            match &attribute.value {
                Value::Str(text) => match promoted(key.string) {
                    Some(column) => self.strings[usize::from(column)].put(row, text),
                    None => self.maps.text(attribute.name(keys), text),
                },
                Value::Int(value) => match promoted(key.int) {
                    Some(column) => self.ints[usize::from(column)].put(row, *value),
                    None => self.maps.int(attribute.name(keys), *value),
                },
                Value::Double(value) => match promoted(key.double) {
                    Some(column) => self.doubles[usize::from(column)].put(row, *value),
                    None => self.maps.double(attribute.name(keys), *value),
                },
                Value::Bool(value) => self.maps.bool(attribute.name(keys), *value),
                value => {
                    self.scratch.clear();
                    write_json(&mut self.scratch, value);
                    self.maps.json(attribute.name(keys), &self.scratch);
                }
            }
        }
        self.maps.end_row();
    }

    /// The largest of the columns that can outgrow the request: what spans share is repeated in each row.
    fn largest(&self) -> usize {
        let shared = [
            &self.resources.service_name,
            &self.resources.schema_url,
            &self.resources.entity_refs,
            &self.scopes.name,
            &self.scopes.version,
            &self.scopes.attributes,
            &self.scopes.schema_url,
        ];
        let largest = shared.iter().map(|column| column.bytes()).max().unwrap_or(0);
        largest.max(self.maps.strings.bytes()).max(self.maps.json.bytes())
    }

    /// The columns under their names, and how many rows they have.
    pub fn finish(self, columns: &ColumnsPlan) -> HashMap<String, Array> {
        let rows = self.count;
        let mut named: HashMap<String, Array> = HashMap::new();
        let mut add = |name: &str, array: Array| {
            named.insert(name.to_owned(), array);
        };
        finish_common(self.requests, &self.firsts, rows, &mut add);
        self.identity.finish(rows, &mut add);
        self.governance.finish(rows, &mut add);
        self.maps.finish(&mut add);
        self.resources.finish(rows, &mut add);
        self.scopes.finish(rows, &mut add);
        add("events", self.events.finish());
        add("links", self.links.finish());
        for ((_, name), column) in columns.strings.iter().zip(self.strings) {
            add(name, column.finish(rows));
        }
        for ((_, name), column) in columns.ints.iter().zip(self.ints) {
            add(name, column.finish(rows));
        }
        for ((_, name), column) in columns.doubles.iter().zip(self.doubles) {
            add(name, column.finish(rows));
        }
        named
    }
}

impl Sink for Rows<'_> {
    fn request(&mut self) {
        self.received_at_ns = self.requests[self.firsts.len()].received_at_ns;
        self.firsts.push(self.count);
    }

    fn resource(&mut self, keys: &Keys, resource: &Resource<'_>) {
        self.resource = ResourceRow::of(keys, resource);
    }

    fn scope(&mut self, keys: &Keys, scope: &Scope<'_>) {
        self.scope = ScopeRow::of(keys, scope);
    }

    fn span(&mut self, keys: &Keys, span: &Span<'_>, found: &Found<'_>) -> Read<()> {
        let row = self.count;
        self.identity.push(row, span);
        self.governance.push(row, found, self.received_at_ns);
        self.attributes(keys, row, &span.attributes);
        for event in &span.events {
            self.events.push(keys, event, &mut self.scratch);
        }
        self.events.ends.push(self.events.count);
        for link in &span.links {
            self.links.push(keys, link, &mut self.scratch);
        }
        self.links.ends.push(self.links.count);
        self.resources.push(row, &mut self.resource);
        self.scopes.push(row, &self.scope);
        self.count += 1;
        if self.largest() > MAX_COLUMN_BYTES { Err(Irregular) } else { Ok(()) }
    }

    fn judge(&mut self, score: f64, violations: &[&str]) {
        let governance = &mut self.governance;
        governance.quality_score.put(governance.judged, score);
        violations.iter().for_each(|rule| governance.quality_violations.push(rule));
        governance.quality_violations.end_row();
        governance.judged += 1;
    }
}

/// What the rows of a request have in common that is not in it.
fn finish_common(requests: &[Request<'_>], firsts: &[usize], rows: usize, add: &mut impl FnMut(&str, Array)) {
    let mut tenant = TextColumn::default();
    let (mut received_at, mut date) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let ends = firsts.iter().skip(1).copied().chain([rows]);
    for (request, end) in requests.iter().zip(ends) {
        for row in received_at.len()..end {
            tenant.put(row, request.tenant);
        }
        received_at.resize(end, request.received_at_ns.div_euclid(1000));
        date.resize(end, request.received_at_ns.div_euclid(NS_PER_DAY) as i32);
    }
    add("tenant", tenant.finish(rows));
    add("received_at", Array::of(rows, vec![None, Some(Buffer::Int64(received_at))]));
    add("date", Array::of(rows, vec![None, Some(Buffer::Int32(date))]));
}

fn hex<'b>(bytes: &[u8], buffer: &'b mut [u8; 32]) -> &'b [u8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in buffer.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    &buffer[..2 * bytes.len().min(16)]
}

/// The word of an enumeration's number; the digits of a number that has no word yet.
fn put_word(column: &mut TextColumn, row: usize, words: &[&str], number: i32) {
    match usize::try_from(number).ok().and_then(|index| words.get(index)) {
        Some(word) => column.put(row, word),
        None => column.put(row, &number.to_string()),
    }
}

impl Identity {
    fn push(&mut self, row: usize, span: &Span<'_>) {
        let mut buffer = [0; 32];
        self.trace_id.put_bytes(row, hex(span.trace_id, &mut buffer));
        self.span_id.put_bytes(row, hex(span.span_id, &mut buffer));
        if !span.parent_id.is_empty() {
            self.parent_span_id.put_bytes(row, hex(span.parent_id, &mut buffer));
        }
        self.trace_state.put_some(row, &span.trace_state);
        self.flags.put(row, i64::from(span.flags));
        self.name.put(row, &span.name);
        put_word(&mut self.kind, row, &KINDS, span.kind);
        self.start_time.put(row, span.start / 1000);
        self.start_unix_nano.put(row, span.start);
        self.duration_ns.put(row, span.end - span.start);
        put_word(&mut self.status_code, row, &STATUSES, span.status);
        self.status_message.put_some(row, &span.status_message);
        self.dropped_attributes.put(row, span.dropped_attributes);
        self.dropped_events.put(row, span.dropped_events);
        self.dropped_links.put(row, span.dropped_links);
    }

    fn finish(self, rows: usize, add: &mut impl FnMut(&str, Array)) {
        add("trace_id", self.trace_id.finish(rows));
        add("span_id", self.span_id.finish(rows));
        add("parent_span_id", self.parent_span_id.finish(rows));
        add("trace_state", self.trace_state.finish(rows));
        add("flags", self.flags.finish(rows));
        add("name", self.name.finish(rows));
        add("kind", self.kind.finish(rows));
        add("start_time", self.start_time.finish(rows));
        add("start_unix_nano", self.start_unix_nano.finish(rows));
        add("duration_ns", self.duration_ns.finish(rows));
        add("status_code", self.status_code.finish(rows));
        add("status_message", self.status_message.finish(rows));
        add("dropped_attributes_count", self.dropped_attributes.finish(rows));
        add("dropped_events_count", self.dropped_events.finish(rows));
        add("dropped_links_count", self.dropped_links.finish(rows));
    }
}

impl Governance {
    fn push(&mut self, row: usize, found: &Found<'_>, received_at_ns: i64) {
        self.retention.put(row, &retention_name(found.label.retention));
        self.classification.put(row, CLASSES[usize::from(found.label.class)]);
        if found.label.retention.0 != 0 {
            let day = received_at_ns.div_euclid(NS_PER_DAY) as i32;
            self.expires_on.put(row, day + found.label.retention.0 as i32);
        }
        type_names(found.pii).for_each(|name| self.pii.push(name));
        self.pii.end_row();
        found.subjects.iter().for_each(|subject| self.subjects.push(subject));
        self.subjects.end_row();
    }

    fn finish(self, rows: usize, add: &mut impl FnMut(&str, Array)) {
        add("retention", self.retention.finish(rows));
        add("classification", self.classification.finish(rows));
        add("expires_on", self.expires_on.finish(rows));
        add("pii", self.pii.finish());
        add("subjects", self.subjects.finish());
        add("quality_score", self.quality_score.finish(rows));
        add("quality_violations", self.quality_violations.finish());
    }
}

impl Maps {
    fn text(&mut self, key: &str, value: &str) {
        let at = self.strings.key(key);
        if let MapValues::Text(values) = &mut self.strings.values {
            values.put(at, value);
        }
    }

    fn int(&mut self, key: &str, value: i64) {
        let at = self.ints.key(key);
        if let MapValues::Int(values) = &mut self.ints.values {
            values.put(at, value);
        }
    }

    fn double(&mut self, key: &str, value: f64) {
        let at = self.doubles.key(key);
        if let MapValues::Double(values) = &mut self.doubles.values {
            values.put(at, value);
        }
    }

    fn bool(&mut self, key: &str, value: bool) {
        self.bools.key(key);
        if let MapValues::Bool(values) = &mut self.bools.values {
            values.push(value);
        }
    }

    fn json(&mut self, key: &str, value: &str) {
        let at = self.json.key(key);
        if let MapValues::Text(values) = &mut self.json.values {
            values.put(at, value);
        }
    }

    fn end_row(&mut self) {
        for map in [&mut self.strings, &mut self.ints, &mut self.doubles, &mut self.bools, &mut self.json] {
            map.end_row();
        }
    }

    fn finish(self, add: &mut impl FnMut(&str, Array)) {
        add("attributes_str", self.strings.finish());
        add("attributes_int", self.ints.finish());
        add("attributes_double", self.doubles.finish());
        add("attributes_bool", self.bools.finish());
        add("attributes_json", self.json.finish());
    }
}

fn object<'s>(keys: &Keys, attributes: &Attributes<'_>, scratch: &'s mut String) -> &'s str {
    scratch.clear();
    write_object(scratch, attributes.iter().map(|attribute| (attribute.name(keys), &attribute.value)));
    scratch
}

impl EventLists {
    fn push(&mut self, keys: &Keys, event: &Event<'_>, scratch: &mut String) {
        let row = self.count;
        self.time.put(row, event.time);
        self.name.put(row, &event.name);
        self.attributes.put(row, object(keys, &event.attributes, scratch));
        self.dropped_attributes.put(row, event.dropped_attributes);
        self.count += 1;
    }

    fn finish(self) -> Array {
        let count = self.count;
        let children = vec![
            self.time.finish(count),
            self.name.finish(count),
            self.attributes.finish(count),
            self.dropped_attributes.finish(count),
        ];
        self.ends.list(Array::structs(count, children))
    }
}

impl LinkLists {
    fn push(&mut self, keys: &Keys, link: &Link<'_>, scratch: &mut String) {
        let row = self.count;
        let mut buffer = [0; 32];
        self.trace_id.put_bytes(row, hex(link.trace_id, &mut buffer));
        self.span_id.put_bytes(row, hex(link.span_id, &mut buffer));
        self.trace_state.put(row, &link.trace_state);
        self.attributes.put(row, object(keys, &link.attributes, scratch));
        self.dropped_attributes.put(row, link.dropped_attributes);
        self.flags.put(row, i64::from(link.flags));
        self.count += 1;
    }

    fn finish(self) -> Array {
        let count = self.count;
        let children = vec![
            self.trace_id.finish(count),
            self.span_id.finish(count),
            self.trace_state.finish(count),
            self.attributes.finish(count),
            self.dropped_attributes.finish(count),
            self.flags.finish(count),
        ];
        self.ends.list(Array::structs(count, children))
    }
}

impl Resources {
    fn push(&mut self, row: usize, resource: &mut ResourceRow) {
        let code = *resource.code.get_or_insert_with(|| {
            let next = self.by_text.len() as i32;
            *self.by_text.entry(resource.json.clone()).or_insert_with(|| {
                self.texts.put(next as usize, &resource.json);
                next
            })
        });
        self.codes.put(row, code);
        self.service_name.put_some(row, &resource.service);
        self.dropped_attributes.put(row, resource.dropped_attributes);
        self.schema_url.put_some(row, &resource.schema_url);
        self.entity_refs.put_some(row, &resource.entity_refs);
    }

    fn finish(self, rows: usize, add: &mut impl FnMut(&str, Array)) {
        let distinct = self.by_text.len();
        let mut codes = self.codes.finish(rows);
        codes.dictionary = Some(Box::new(self.texts.finish(distinct)));
        add("resource", codes);
        add("service_name", self.service_name.finish(rows));
        add("resource_dropped_attributes_count", self.dropped_attributes.finish(rows));
        add("resource_schema_url", self.schema_url.finish(rows));
        add("resource_entity_refs", self.entity_refs.finish(rows));
    }
}

impl Scopes {
    fn push(&mut self, row: usize, scope: &ScopeRow) {
        self.name.put_some(row, &scope.name);
        self.version.put_some(row, &scope.version);
        self.attributes.put_some(row, &scope.attributes);
        self.dropped_attributes.put(row, scope.dropped_attributes);
        self.schema_url.put_some(row, &scope.schema_url);
    }

    fn finish(self, rows: usize, add: &mut impl FnMut(&str, Array)) {
        add("scope_name", self.name.finish(rows));
        add("scope_version", self.version.finish(rows));
        add("scope_attributes", self.attributes.finish(rows));
        add("scope_dropped_attributes_count", self.dropped_attributes.finish(rows));
        add("scope_schema_url", self.schema_url.finish(rows));
    }
}
