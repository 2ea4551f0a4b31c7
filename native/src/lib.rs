//! The compiled kernel of spanward: OTLP to governed Arrow arrays, spans to governed OTLP, and the gRPC server that OTLP
//! comes in through.
//!
//! The pure-Python twin (`spanward.processor`) is the oracle: both make the same rows of the same requests.

use std::borrow::Cow;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyCapsule, PyDict};

mod arrow;
mod columns;
mod encode;
mod found;
mod govern;
mod grpc;
mod json;
mod kernel;
mod keys;
mod labels;
mod otlp;
mod plan;
mod privacy;
mod quality;
mod redact;
mod rows;
mod scan;
mod shared;
mod span;
mod value;
mod wire;
mod write;

use arrow::CArray;
use privacy::tokens::HashKey;

/// The policy, compiled; decodes and governs requests. Safe to call from several threads.
///
/// Args:
///     plan: JSON, made by `spanward.processor.policy.kernel_plan`.
///     key_id: id of the hash key; without a key, values that would be hashed are masked.
///     key_secret: the key itself.
///
/// Raises:
///     ValueError: the plan is malformed, or asks for what only the twin can do.
#[pyclass(frozen, module = "spanward.native._native")]
struct Kernel {
    inner: kernel::Kernel,
}

/// Decoded requests: the governed rows and what was found.
#[pyclass(frozen, module = "spanward.native._native")]
struct Decoded {
    array: Py<PyCapsule>,
    /// Of each request: its rows, and the spans that a rule said not to store.
    #[pyo3(get)]
    requests: Vec<(usize, usize)>,
    /// Spans that held personal data, by its type.
    #[pyo3(get)]
    pii: Py<PyDict>,
    /// Spans that broke a quality rule, by its name.
    #[pyo3(get)]
    violations: Py<PyDict>,
}

#[pymethods]
impl Decoded {
    /// Where the `ArrowArray` of the C data interface is: a struct array of the table's columns. Whoever imports it moves
    /// its content out; what nobody imports goes with this object.
    #[getter]
    fn address(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.array.bind(py).pointer_checked(Some(ARROW_ARRAY))?.as_ptr() as usize)
    }
}

#[pymethods]
impl Kernel {
    #[new]
    #[pyo3(signature = (plan, key_id = None, key_secret = None))]
    fn new(plan: &str, key_id: Option<String>, key_secret: Option<Vec<u8>>) -> PyResult<Self> {
        let inner = compile(plan, key_id, key_secret).and_then(kernel::Kernel::new).map_err(PyValueError::new_err)?;
        Ok(Kernel { inner })
    }

    /// Decodes requests, each (body, whether it is OTLP/JSON and not protobuf, tenant, Unix time of its receipt in ns),
    /// into one batch; `None` when one of them is such that only the twin can read it.
    ///
    /// Raises:
    ///     RuntimeError: the kernel failed, which is a bug; the process and later requests are not hurt.
    fn decode_all(
        &self,
        py: Python<'_>,
        requests: Vec<(Bound<'_, PyBytes>, bool, PyBackedStr, i64)>,
    ) -> PyResult<Option<Decoded>> {
        let requests: Vec<kernel::Request<'_>> = requests
            .iter()
            .map(|(body, is_json, tenant, received_at_ns)| kernel::Request {
                body: body.as_bytes(),
                is_json: *is_json,
                tenant,
                received_at_ns: *received_at_ns,
            })
            .collect();
        let decoded = detached(py, || self.inner.decode(&requests))?;
        decoded.map(|decoded| Decoded::new(py, decoded)).transpose()
    }
}

/// The policy, compiled; makes governed OTLP requests of an application's spans. Safe to call from several threads.
///
/// Args:
///     plan: JSON, made by `spanward.processor.policy.kernel_plan`.
///     key_id: id of the hash key; without a key, values that would be hashed are masked.
///     key_secret: the key itself.
///
/// Raises:
///     ValueError: the plan is malformed, or asks for what only the twin can do.
#[pyclass(frozen, module = "spanward.native._native")]
struct SpanEncoder {
    governor: govern::Governor,
}

#[pymethods]
impl SpanEncoder {
    #[new]
    #[pyo3(signature = (plan, key_id = None, key_secret = None))]
    fn new(plan: &str, key_id: Option<String>, key_secret: Option<Vec<u8>>) -> PyResult<Self> {
        let plan = compile(plan, key_id, key_secret).map_err(PyValueError::new_err)?;
        Ok(SpanEncoder { governor: govern::Governor::new(plan) })
    }

    /// Governs spans and encodes them as one ExportTraceServiceRequest.
    ///
    /// Args:
    ///     spans: ReadableSpans, and what `hold` made of some.
    ///
    /// Returns:
    ///     Its bytes, how many spans are in it, how many a rule said not to store; `None` for spans that only the twin
    ///     can govern or encode.
    ///
    /// Raises:
    ///     RuntimeError: the kernel failed, which is a bug; the process and later spans are not hurt.
    fn encode(&self, py: Python<'_>, spans: &Bound<'_, PyAny>) -> PyResult<Option<(Py<PyBytes>, usize, usize)>> {
        let Some(raw) = readable(py, || encode::encode(spans))? else {
            return Ok(None);
        };
        let governed = detached(py, || {
            let mut request = otlp::Request::default();
            let tally = self.governor.govern(&[govern::Request { body: &raw, repeated: 0 }], &mut request)?;
            let count = request.count();
            Ok((request.finish(), count, tally.dropped()))
        })?;
        Ok(governed.map(|(bytes, count, dropped)| (PyBytes::new(py, &bytes).unbind(), count, dropped)))
    }
}

/// The policy, compiled; for single texts, as `spanward.processor.policy.governor.Governor` has it for them. Safe to call
/// from several threads.
///
/// Args:
///     plan: JSON, made by `spanward.processor.policy.kernel_plan`.
///     key_id: id of the hash key; without a key, values that would be hashed are masked.
///     key_secret: the key itself.
///
/// Raises:
///     ValueError: the plan is malformed, or asks for what only the twin can do.
#[pyclass(frozen, module = "spanward.native._native")]
struct TextPolicy {
    plan: plan::Plan,
}

#[pymethods]
impl TextPolicy {
    #[new]
    #[pyo3(signature = (plan, key_id = None, key_secret = None))]
    fn new(plan: &str, key_id: Option<String>, key_secret: Option<Vec<u8>>) -> PyResult<Self> {
        let plan = compile(plan, key_id, key_secret).map_err(PyValueError::new_err)?;
        Ok(TextPolicy { plan })
    }

    /// What a text holds that the policy would act on, as type, start and end in characters; tokens are not reported.
    ///
    /// Args:
    ///     text: without half surrogate pairs.
    ///     key: the attribute it is the value of; "" for a text that is none.
    #[pyo3(signature = (text, key = ""))]
    fn scan(&self, text: &str, key: &str) -> Vec<(&'static str, usize, usize)> {
        let found = self.redactor().scan(key, text);
        let characters = |end: usize| text[..end].chars().count();
        found.into_iter().map(|(entity, start, end)| (entity.name(), characters(start), characters(end))).collect()
    }

    /// The text as it would be stored in a span of the default class; what would be dropped leaves its token.
    ///
    /// Args:
    ///     text: without half surrogate pairs.
    ///     key: the attribute it is the value of; "" for a text that is none.
    #[pyo3(signature = (text, key = ""))]
    fn redact(&self, text: &str, key: &str) -> PyResult<String> {
        let mut text = Cow::Borrowed(text);
        self.redactor().value_of(key, &mut text).map_err(|_| failure())?; // a text alone is never irregular
        Ok(text.into_owned())
    }
}

impl TextPolicy {
    fn redactor(&self) -> redact::Redactor<'_> {
        let mut redactor = redact::Redactor::new(&self.plan);
        redactor.begin(&self.plan.privacy.actions[usize::from(self.plan.classification)]);
        redactor
    }
}

/// A ReadableSpan in the form in which it waits best for `SpanEncoder.encode`; itself where only the twin can read it.
///
/// Does not raise on what a span holds.
#[pyfunction]
fn hold<'py>(span: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = span.py();
    match readable(py, || encode::HeldSpan::new(&span)) {
        Ok(Some(held)) => Ok(Bound::new(py, held)?.into_any()),
        Ok(None) => Ok(span),
        Err(error) if error.is_instance_of::<PyRuntimeError>(py) => Ok(span), // told when it is encoded
        Err(error) => Err(error),
    }
}

/// What was read from spans; `None` where something of them is odd or raises, which the twin meets again, span by span.
fn readable<T>(py: Python<'_>, read: impl FnOnce() -> Result<T, encode::Trouble>) -> PyResult<Option<T>> {
    match catch_unwind(AssertUnwindSafe(read)).map_err(|_| failure())? {
        Ok(made) => Ok(Some(made)),
        Err(encode::Trouble::Irregular) => Ok(None),
        Err(encode::Trouble::Raised(error)) if error.is_instance_of::<PyException>(py) => Ok(None),
        Err(encode::Trouble::Raised(error)) => Err(error),
    }
}

fn failure() -> PyErr {
    PyRuntimeError::new_err("the kernel failed on a request; please report it")
}

fn compile(plan: &str, key_id: Option<String>, key_secret: Option<Vec<u8>>) -> Result<plan::Plan, String> {
    let key = key_id.zip(key_secret).map(|(id, secret)| HashKey::new(id, &secret));
    plan::Plan::compile(plan, key)
}

/// Works without Python's lock; `None` where the twin has to, an exception where the work panics.
fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> wire::Read<T> + Send) -> PyResult<Option<T>> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(Ok(made)) => Ok(Some(made)),
        Ok(Err(wire::Irregular)) => Ok(None),
        Err(_) => Err(failure()),
    }
}

const ARROW_ARRAY: &CStr = c"arrow_array";

impl Decoded {
    fn new(py: Python<'_>, decoded: kernel::Decoded) -> PyResult<Self> {
        let array = arrow::export(decoded.rows);
        let capsule = PyCapsule::new_with_value_and_destructor(py, array, ARROW_ARRAY, |mut array: CArray, _| {
            array.release_if_owned();
        })?;
        let pii = PyDict::new(py);
        for (name, count) in decoded.tally.pii {
            pii.set_item(name, count)?;
        }
        let violations = PyDict::new(py);
        for (name, count) in decoded.tally.violations {
            violations.set_item(name, count)?;
        }
        Ok(Decoded {
            array: capsule.unbind(),
            requests: decoded.tally.requests,
            pii: pii.unbind(),
            violations: violations.unbind(),
        })
    }
}

/// One find: entity, start and end in characters, value, whether it is a token.
type Found = (&'static str, usize, usize, String, bool);

/// Every hit and token in a text, in order of position, as `spanward.processor.policy.privacy.detect.find` has them.
#[pyfunction]
fn find(text: &str) -> Vec<Found> {
    let characters = |end: usize| text[..end].chars().count();
    privacy::detect::find(text)
        .into_iter()
        .map(|hit| (hit.entity.name(), characters(hit.start), characters(hit.end), hit.value.into_owned(), hit.token))
        .collect()
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Kernel>()?;
    module.add_class::<Decoded>()?;
    module.add_class::<SpanEncoder>()?;
    module.add_class::<grpc::GrpcServer>()?;
    module.add_class::<grpc::GrpcCall>()?;
    module.add_class::<encode::HeldSpan>()?;
    module.add_class::<TextPolicy>()?;
    module.add_function(wrap_pyfunction!(hold, module)?)?;
    module.add_function(wrap_pyfunction!(find, module)?)
}
