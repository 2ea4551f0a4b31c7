//! OpenTelemetry's ReadableSpans as an OTLP request, read from Python. No policy has seen these bytes: they stay inside.
//!
//! Only what is as the SDK makes it is read: values of the built-in types themselves, texts that are UTF-8, numbers that
//! fit. The trace state of links is written, for the policy looks at it.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};

use crate::wire::{Irregular, Tag, tag};
use crate::write::{bytes, fixed32, fixed64, message, number, put_bytes, put_fixed64, put_varint};

/// Why spans are not encoded.
pub enum Trouble {
    /// They are for the twin.
    Irregular,
    /// Something of them raised.
    Raised(PyErr),
}

impl From<PyErr> for Trouble {
    fn from(error: PyErr) -> Self {
        Trouble::Raised(error)
    }
}

impl From<Irregular> for Trouble {
    fn from(_: Irregular) -> Self {
        Trouble::Irregular
    }
}

type Encode<T> = Result<T, Trouble>;

const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
/// Lists in lists; the reader has a limit of its own.
const MAX_DEPTH: usize = 32;

/// An ended span while it waits for its batch: bytes instead of a dozen objects, which Python's garbage collector would
/// go through again and again until they are exported.
#[pyclass(frozen, module = "spanward.native._native")]
pub struct HeldSpan {
    /// The SpanContext; batch processors ask it whether the span is sampled.
    #[pyo3(get)]
    context: Py<PyAny>,
    #[pyo3(get)]
    resource: Py<PyAny>,
    #[pyo3(get)]
    instrumentation_scope: Py<PyAny>,
    bytes: Vec<u8>,
}

#[pymethods]
impl HeldSpan {
    /// The span in protobuf. No policy has seen it.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.bytes)
    }
}

impl HeldSpan {
    /// # Errors
    /// The span is not as the SDK makes them.
    pub fn new(span: &Bound<'_, PyAny>) -> Encode<Self> {
        let py = span.py();
        let mut bytes = Vec::with_capacity(512);
        put_span(&mut bytes, span)?;
        bytes.shrink_to_fit();
        Ok(HeldSpan {
            context: span.getattr(intern!(py, "context"))?.unbind(),
            resource: span.getattr(intern!(py, "resource"))?.unbind(),
            instrumentation_scope: span.getattr(intern!(py, "instrumentation_scope"))?.unbind(),
            bytes,
        })
    }
}

/// Encodes spans, held ones or others, by resource and scope in the order of their coming.
///
/// # Errors
/// One of them is not as the SDK makes them.
pub fn encode(spans: &Bound<'_, PyAny>) -> Encode<Vec<u8>> {
    let py = spans.py();
    let mut resources: Groups<'_, Groups<'_, Vec<u8>>> = Groups::default();
    for span in spans.try_iter()? {
        let span = span?;
        if let Ok(held) = span.cast_exact::<HeldSpan>() {
            let held = held.get();
            let scopes = resources.find(held.resource.bind(py).clone(), resource_head)?;
            let out = scopes.find(held.instrumentation_scope.bind(py).clone(), scope_head)?;
            put_bytes(out, tag::BYTES_2, &held.bytes);
        } else {
            let scopes = resources.find(span.getattr(intern!(py, "resource"))?, resource_head)?;
            let out = scopes.find(span.getattr(intern!(py, "instrumentation_scope"))?, scope_head)?;
            message(out, tag::BYTES_2, |out| put_span(out, &span))?;
        }
    }
    let mut request = Vec::new();
    for (head, scopes) in resources.members {
        message(&mut request, tag::BYTES_1, |out| {
            out.extend_from_slice(&head);
            for (head, spans) in scopes.members {
                message(out, tag::BYTES_2, |out| {
                    out.extend_from_slice(&head);
                    out.extend_from_slice(&spans);
                });
            }
        });
    }
    Ok(request)
}

/// What spans share, told apart by identity first: an application makes few of them, or equal ones again and again.
struct Groups<'py, T> {
    met: Vec<(Bound<'py, PyAny>, usize)>,
    /// Each with its encoded form.
    members: Vec<(Vec<u8>, T)>,
}

impl<T> Default for Groups<'_, T> {
    fn default() -> Self {
        Groups { met: Vec::new(), members: Vec::new() }
    }
}

impl<'py, T: Default> Groups<'py, T> {
    fn find(
        &mut self,
        shared: Bound<'py, PyAny>,
        head: impl FnOnce(&Bound<'py, PyAny>) -> Encode<Vec<u8>>,
    ) -> Encode<&mut T> {
        let index = match self.met.iter().find(|(met, _)| met.is(&shared)) {
            Some((_, index)) => *index,
            None => {
                let head = head(&shared)?;
                let index = self.members.iter().position(|(other, _)| *other == head).unwrap_or_else(|| {
                    self.members.push((head, T::default()));
                    self.members.len() - 1
                });
                self.met.push((shared, index));
                index
            }
        };
        Ok(&mut self.members[index].1)
    }
}

fn resource_head(resource: &Bound<'_, PyAny>) -> Encode<Vec<u8>> {
    let py = resource.py();
    let mut head = Vec::new();
    message(&mut head, tag::BYTES_1, |out| {
        put_attributes(out, tag::BYTES_1, resource.getattr(intern!(py, "attributes"))?)
    })?;
    put_text(&mut head, tag::BYTES_3, &resource.getattr(intern!(py, "schema_url"))?)?;
    Ok(head)
}

fn scope_head(scope: &Bound<'_, PyAny>) -> Encode<Vec<u8>> {
    let py = scope.py();
    let mut head = Vec::new();
    if scope.is_none() {
        return Ok(head);
    }
    message(&mut head, tag::BYTES_1, |out| {
        put_text(out, tag::BYTES_1, &scope.getattr(intern!(py, "name"))?)?;
        put_optional(out, tag::BYTES_2, &scope.getattr(intern!(py, "version"))?)?;
        match scope.getattr_opt(intern!(py, "attributes"))? {
            Some(attributes) => put_attributes(out, tag::BYTES_3, attributes),
            None => Ok(()),
        }
    })?;
    put_optional(&mut head, tag::BYTES_3, &scope.getattr(intern!(py, "schema_url"))?)?;
    Ok(head)
}

fn put_span(out: &mut Vec<u8>, span: &Bound<'_, PyAny>) -> Encode<()> {
    let py = span.py();
    put_context(out, &span.getattr(intern!(py, "context"))?)?;
    let parent = span.getattr(intern!(py, "parent"))?;
    if !parent.is_none() {
        put_bytes(out, tag::BYTES_4, &non_zero(parent.getattr(intern!(py, "span_id"))?.extract()?)?.to_be_bytes());
    }
    put_text(out, tag::BYTES_5, &span.getattr(intern!(py, "name"))?)?;
    number(out, tag::VARINT_6, member(&span.getattr(intern!(py, "kind"))?)? + 1);
    fixed64(out, tag::FIXED64_7, time(&span.getattr(intern!(py, "start_time"))?)?);
    fixed64(out, tag::FIXED64_8, time(&span.getattr(intern!(py, "end_time"))?)?);
    put_attributes(out, tag::BYTES_9, span.getattr(intern!(py, "attributes"))?)?;
    put_count(out, tag::VARINT_10, &span.getattr(intern!(py, "dropped_attributes"))?)?;
    if holds_any(span, intern!(py, "_events"))? {
        for event in span.getattr(intern!(py, "events"))?.try_iter()? {
            message(out, tag::BYTES_11, |out| put_event(out, &event?))?;
        }
    }
    put_count(out, tag::VARINT_12, &span.getattr(intern!(py, "dropped_events"))?)?;
    if holds_any(span, intern!(py, "_links"))? {
        for link in span.getattr(intern!(py, "links"))?.try_iter()? {
            message(out, tag::BYTES_13, |out| put_link(out, &link?))?;
        }
    }
    put_count(out, tag::VARINT_14, &span.getattr(intern!(py, "dropped_links"))?)?;
    let status = span.getattr(intern!(py, "status"))?;
    message(out, tag::BYTES_15, |out| {
        put_optional(out, tag::BYTES_2, &status.getattr(intern!(py, "description"))?)?;
        number(out, tag::VARINT_3, member(&status.getattr(intern!(py, "status_code"))?)?);
        Encode::Ok(())
    })?;
    fixed32(out, tag::FIXED32_16, flags(&parent)?);
    Ok(())
}

/// Whether a list of the span may have members. Its property copies even an empty one, under a lock, for as much as half
/// of all that is read here; where the SDK keeps the list under another name, the property is asked all the same.
fn holds_any(span: &Bound<'_, PyAny>, field: &Bound<'_, PyString>) -> Encode<bool> {
    Ok(match span.getattr_opt(field)? {
        Some(list) => list.len()? > 0,
        None => true,
    })
}

/// The number of an enumeration's member.
fn member(member: &Bound<'_, PyAny>) -> Encode<u64> {
    Ok(member.getattr(intern!(member.py(), "_value_"))?.extract::<u8>()?.into())
}

/// Ids and trace state of a span or a link, whose fields have the same numbers.
fn put_context(out: &mut Vec<u8>, context: &Bound<'_, PyAny>) -> Encode<()> {
    let py = context.py();
    let trace_id: u128 = context.getattr(intern!(py, "trace_id"))?.extract()?;
    let span_id: u64 = context.getattr(intern!(py, "span_id"))?.extract()?;
    put_bytes(out, tag::BYTES_1, &trace_id.to_be_bytes());
    put_bytes(out, tag::BYTES_2, &span_id.to_be_bytes());
    let state = context.getattr(intern!(py, "trace_state"))?;
    if state.len()? > 0 {
        put_text(out, tag::BYTES_3, &state.call_method0(intern!(py, "to_header"))?)?;
    }
    Ok(())
}

fn put_event(out: &mut Vec<u8>, event: &Bound<'_, PyAny>) -> Encode<()> {
    let py = event.py();
    fixed64(out, tag::FIXED64_1, time(&event.getattr(intern!(py, "timestamp"))?)?);
    put_text(out, tag::BYTES_2, &event.getattr(intern!(py, "name"))?)?;
    put_attributes(out, tag::BYTES_3, event.getattr(intern!(py, "attributes"))?)?;
    put_count(out, tag::VARINT_4, &event.getattr(intern!(py, "dropped_attributes"))?)
}

fn put_link(out: &mut Vec<u8>, link: &Bound<'_, PyAny>) -> Encode<()> {
    let py = link.py();
    let context = link.getattr(intern!(py, "context"))?;
    put_context(out, &context)?;
    put_attributes(out, tag::BYTES_4, link.getattr(intern!(py, "attributes"))?)?;
    put_count(out, tag::VARINT_5, &link.getattr(intern!(py, "dropped_attributes"))?)?;
    fixed32(out, tag::FIXED32_6, flags(&context)?);
    Ok(())
}

/// OTLP's SpanFlags of a span's parent or of a link's context.
fn flags(context: &Bound<'_, PyAny>) -> Encode<u32> {
    let remote = !context.is_none() && context.getattr(intern!(context.py(), "is_remote"))?.is_truthy()?;
    Ok(if remote { HAS_IS_REMOTE | IS_REMOTE } else { HAS_IS_REMOTE })
}

/// Nanoseconds; an absent time is 0.
fn time(value: &Bound<'_, PyAny>) -> Encode<u64> {
    if value.is_none() {
        return Ok(0);
    }
    u64::try_from(value.extract::<i64>()?).map_err(|_| Trouble::Irregular)
}

fn non_zero(id: u64) -> Encode<u64> {
    if id == 0 { Err(Trouble::Irregular) } else { Ok(id) }
}

fn put_count(out: &mut Vec<u8>, tag: Tag, count: &Bound<'_, PyAny>) -> Encode<()> {
    number(out, tag, count.extract::<u32>()?.into());
    Ok(())
}

/// A text of the built-in type itself. Half surrogate pairs are not UTF-8.
fn text<'t>(value: &'t Bound<'_, PyAny>) -> Encode<&'t str> {
    let text = value.cast_exact::<PyString>().map_err(|_| Trouble::Irregular)?;
    text.to_str().map_err(|_| Trouble::Irregular)
}

fn put_text(out: &mut Vec<u8>, tag: Tag, value: &Bound<'_, PyAny>) -> Encode<()> {
    bytes(out, tag, text(value)?.as_bytes());
    Ok(())
}

fn put_optional(out: &mut Vec<u8>, tag: Tag, value: &Bound<'_, PyAny>) -> Encode<()> {
    if value.is_none() { Ok(()) } else { put_text(out, tag, value) }
}

fn put_attributes(out: &mut Vec<u8>, tag: Tag, attributes: Bound<'_, PyAny>) -> Encode<()> {
    let Some(attributes) = as_dict(attributes)? else {
        return Ok(());
    };
    for (key, value) in &attributes {
        message(out, tag, |out| {
            put_bytes(out, tag::BYTES_1, text(&key)?.as_bytes());
            message(out, tag::BYTES_2, |out| put_value(out, &value, MAX_DEPTH))
        })?;
    }
    Ok(())
}

/// Any mapping as a dict; `None` for none. The SDK's own mappings give copies of the dicts inside them for little.
fn as_dict(attributes: Bound<'_, PyAny>) -> Encode<Option<Bound<'_, PyDict>>> {
    if attributes.is_none() {
        return Ok(None);
    }
    let attributes = match attributes.cast_into::<PyDict>() {
        Ok(dict) => return Ok(Some(dict)),
        Err(error) => error.into_inner(),
    };
    let py = attributes.py();
    if let Ok(copy) = attributes.call_method0(intern!(py, "copy"))
        && let Ok(dict) = copy.cast_into::<PyDict>()
    {
        return Ok(Some(dict));
    }
    let dict = PyDict::new(py);
    dict.update(attributes.cast::<PyMapping>().map_err(|_| Trouble::Irregular)?)?;
    Ok(Some(dict))
}

/// The fields of an AnyValue.
fn put_value(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, room: usize) -> Encode<()> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        put_bytes(out, tag::BYTES_1, text.to_str().map_err(|_| Trouble::Irregular)?.as_bytes());
    } else if value.is_exact_instance_of::<PyInt>() {
        put_varint(out, tag::VARINT_3, value.extract::<i64>()? as u64);
    } else if let Ok(value) = value.cast_exact::<PyFloat>() {
        put_fixed64(out, tag::FIXED64_4, value.value().to_bits());
    } else if let Ok(value) = value.cast_exact::<PyBool>() {
        put_varint(out, tag::VARINT_2, value.is_true().into());
    } else if let Ok(items) = value.cast_exact::<PyTuple>() {
        return put_list(out, items.iter(), room);
    } else if let Ok(items) = value.cast_exact::<PyList>() {
        return put_list(out, items.iter(), room);
    } else if let Ok(value) = value.cast_exact::<PyBytes>() {
        put_bytes(out, tag::BYTES_7, value.as_bytes());
    } else {
        return Err(Trouble::Irregular);
    }
    Ok(())
}

fn put_list<'py>(out: &mut Vec<u8>, items: impl Iterator<Item = Bound<'py, PyAny>>, room: usize) -> Encode<()> {
    let room = room.checked_sub(1).ok_or(Trouble::Irregular)?;
    message(out, tag::BYTES_5, |out| {
        for item in items {
            message(out, tag::BYTES_1, |out| put_value(out, &item, room))?;
        }
        Ok(())
    })
}
