//! Quality rules and the score that comes of them. The twins are `policy.quality`.

use lru::LruCache;
use std::num::NonZeroUsize;

use crate::keys::Role;
use crate::plan::{AnomalyPlan, QualityPlan, Range};
use crate::span::{Roles, Span};
use crate::value::Value;

/// Names of the rules in force, in their alphabetical order.
pub const RULES: [&str; 7] =
    ["anomaly", "claims", "event_type_format", "memory", "processing_time", "quality", "time_order"];

pub const ANOMALY: u8 = 1 << 0;
pub const CLAIMS: u8 = 1 << 1;
const EVENT_TYPE_FORMAT: u8 = 1 << 2;
const MEMORY: u8 = 1 << 3;
const PROCESSING_TIME: u8 = 1 << 4;
const QUALITY: u8 = 1 << 5;
const TIME_ORDER: u8 = 1 << 6;

const MEASURES: usize = 4;
/// Processing time, memory, CPU, quality score: what an operation's baseline is made of.
pub type Measures = [Option<f64>; MEASURES];

/// A finite number; `None` for everything else, true and false included.
fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Double(value) if value.is_finite() => Some(*value),
        _ => None,
    }
}

/// How long the span took; `None` when it has not ended or ends before it starts.
fn duration_ms(span: &Span<'_>) -> Option<f64> {
    (span.end != 0 && span.end >= span.start).then(|| (span.end - span.start) as f64 / 1e6)
}

fn lies_outside(range: Range, value: f64) -> bool {
    !(range.low <= value && value <= range.high)
}

/// A value that is there and no number of the range.
fn breaks(range: Option<Range>, value: Option<&Value<'_>>) -> bool {
    match (range, value) {
        (Some(range), Some(value)) if *value != Value::Null => {
            number(value).is_none_or(|value| lies_outside(range, value))
        }
        _ => false,
    }
}

/// Bits of the rules, but for that about anomalies, that a span breaks.
pub fn violations(plan: &QualityPlan, span: &Span<'_>, roles: &Roles) -> u8 {
    let value = |role| roles.value(&span.attributes, role);
    let mut broken = 0;
    let time_broken = match (plan.processing_time, value(Role::ProcessingTime)) {
        (Some(range), None) => duration_ms(span).is_some_and(|time| lies_outside(range, time)),
        (range, value) => breaks(range, value),
    };
    let mut note = |bit, is_broken| broken |= if is_broken { bit } else { 0 };
    note(PROCESSING_TIME, time_broken);
    note(MEMORY, breaks(plan.memory, value(Role::Memory)));
    note(QUALITY, breaks(plan.quality, value(Role::Quality)));
    if let (Some(format), Some(value)) = (&plan.event_type_format, value(Role::EventType)) {
        let is_broken = match value {
            Value::Null => false,
            Value::Str(text) => !format.is_match(text),
            _ => true,
        };
        note(EVENT_TYPE_FORMAT, is_broken);
    }
    note(TIME_ORDER, plan.time_order && span.end > 0 && span.end < span.start);
    broken
}

/// The measures of a span.
pub fn measures(span: &Span<'_>, roles: &Roles) -> Measures {
    let value = |role| roles.value(&span.attributes, role);
    let time = match value(Role::ProcessingTime) {
        Some(value) => number(value),
        None => duration_ms(span),
    };
    let measured = |role| value(role).and_then(number);
    [time, measured(Role::Memory), measured(Role::Cpu), measured(Role::Quality)]
}

/// Sliding mean and variance of one measure.
#[derive(Clone, Copy, Default)]
struct Baseline {
    count: u32,
    mean: f64,
    variance: f64,
}

/// A standard deviation is never taken as smaller than this share of the mean.
const FLOOR: f64 = 0.001;

impl Baseline {
    fn z_score(&self, value: f64) -> f64 {
        let deviation = self.variance.sqrt().max(self.mean.abs() * FLOOR);
        let distance = (value - self.mean).abs();
        if deviation != 0.0 {
            distance / deviation
        } else if distance != 0.0 {
            f64::INFINITY
        } else {
            0.0
        }
    }

    fn add(&mut self, value: f64, window: u32) {
        if self.count < window {
            self.count += 1;
        }
        let weight = 1.0 / f64::from(self.count);
        let distance = value - self.mean;
        self.mean += weight * distance;
        self.variance = (1.0 - weight) * (self.variance + weight * distance * distance);
    }
}

/// The baselines of all operations; beyond the bound the one not seen for longest is forgotten.
pub struct Baselines {
    plan: AnomalyPlan,
    operations: LruCache<Vec<u8>, [Baseline; MEASURES]>,
}

impl Baselines {
    pub fn new(plan: AnomalyPlan) -> Self {
        let bound = NonZeroUsize::new(plan.max_operations).unwrap_or(NonZeroUsize::MIN);
        Baselines { plan, operations: LruCache::new(bound) }
    }

    /// Whether one of the measures is too far away; every one joins its baseline.
    ///
    /// `operation` names service and operation, in a form of which no two are equal (see `operation_key`).
    pub fn judge(&mut self, operation: &[u8], measures: &Measures) -> bool {
        if measures.iter().all(Option::is_none) {
            return false;
        }
        let baselines = self.operations.get_or_insert_mut_ref(operation, Default::default);
        let mut far = false;
        for (baseline, measure) in baselines.iter_mut().zip(measures) {
            let Some(value) = measure else { continue };
            far |= baseline.count >= self.plan.warm_up && baseline.z_score(*value) > self.plan.threshold;
            baseline.add(*value, self.plan.window);
        }
        far
    }
}

/// Service and operation as one key.
pub fn operation_key(out: &mut Vec<u8>, service: &str, operation: &str) {
    out.extend_from_slice(&(service.len() as u32).to_le_bytes());
    out.extend_from_slice(service.as_bytes());
    out.extend_from_slice(operation.as_bytes());
}

/// The score over the rules in force: 1 - weight of the broken rules / weight of all rules, four decimals.
pub struct Scale {
    weights: Vec<(String, f64)>,
    total: f64,
    other: f64,
}

impl Scale {
    pub fn new(plan: &QualityPlan) -> Self {
        let total: f64 = plan.weights.iter().map(|(_, weight)| weight).sum();
        Scale {
            weights: plan.weights.clone(),
            total: if total == 0.0 { plan.other_weight } else { total },
            other: plan.other_weight,
        }
    }

    /// The score of a span that breaks these rules, each named once.
    pub fn score<'r>(&self, broken: impl Iterator<Item = &'r str>) -> f64 {
        let weight =
            |name| self.weights.iter().find(|(rule, _)| rule == name).map_or(self.other, |(_, weight)| *weight);
        let lost: f64 = broken.map(weight).sum();
        let score = (1.0 - lost / self.total).max(0.0);
        // correctly rounded to four decimals, ties to even, as Python's `round`
        format!("{score:.4}").parse().unwrap_or(score)
    }
}
