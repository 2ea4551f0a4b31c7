//! What the kernel is told: the policy, its limits and the table's promoted columns, resolved by the Python side.

use std::net::{Ipv4Addr, Ipv6Addr};

use regex::Regex;
use serde::Deserialize;

use crate::privacy::entities::{Action, Entity};
use crate::privacy::tokens::HashKey;

pub const ENTITIES: usize = Entity::ALL.len();
pub type Actions = [Action; ENTITIES];
pub const CLASSES: [&str; 4] = ["public", "internal", "confidential", "restricted"];

/// The plan as it comes: JSON, made by `spanward.processor.policy.kernel_plan`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    privacy: PrivacySource,
    labels: LabelsSource,
    quality: QualitySource,
    limits: Limits,
    /// None where no table is made.
    #[serde(default)]
    columns: ColumnsSource,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivacySource {
    enabled: bool,
    /// Per class, then per entity in the order of the enumeration.
    actions: Vec<Vec<String>>,
    shared_actions: Vec<String>,
    key_rules: Vec<KeyRuleSource>,
    expected: Vec<(String, Vec<String>)>,
    person_keys: Vec<String>,
    allowed_values: Vec<String>,
    networks_v4: Vec<(String, u32)>,
    networks_v6: Vec<(String, u32)>,
    max_text_length: usize,
    max_depth: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRuleSource {
    pattern: String,
    unless: String,
    entity: String,
    action: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelsSource {
    classification: u8,
    /// Days; 0 for ever.
    retention: u32,
    rules: Vec<LabelRuleSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelRuleSource {
    service: Option<String>,
    operation: Option<String>,
    event_type: Option<String>,
    attribute: Option<(String, String)>,
    classification: Option<u8>,
    retention: Option<u32>,
    drop: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QualitySource {
    processing_time: Option<Range>,
    memory: Option<Range>,
    quality: Option<Range>,
    event_type_format: Option<String>,
    time_order: bool,
    anomaly: Option<AnomalyPlan>,
    claims: bool,
    /// Rule name and weight.
    weights: Vec<(String, f64)>,
    /// What a violation of a rule that is not in force weighs.
    other_weight: f64,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub struct Range {
    pub low: f64,
    pub high: f64,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub struct AnomalyPlan {
    pub threshold: f64,
    pub warm_up: u32,
    pub window: u32,
    pub max_operations: usize,
}

/// Bounds on one request.
#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub nesting: usize,
    pub attributes: usize,
    pub events: usize,
    pub links: usize,
    pub spans: usize,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ColumnsSource {
    names: Vec<String>,
    strings: Vec<(String, String)>,
    ints: Vec<(String, String)>,
    doubles: Vec<(String, String)>,
}

/// An attribute key that says what its value is.
pub struct KeyRule {
    pub pattern: Regex,
    pub unless: Option<Regex>,
    pub entity: Entity,
    pub action: Option<Action>,
}

pub struct PrivacyPlan {
    pub enabled: bool,
    pub actions: [Actions; 4],
    pub shared_actions: Actions,
    pub key_rules: Vec<KeyRule>,
    pub expected: Vec<(Regex, u16)>,
    pub person_keys: Vec<String>,
    pub allowed_values: Vec<String>,
    pub networks_v4: Vec<(u32, u32)>,
    pub networks_v6: Vec<(u128, u32)>,
    pub max_text_length: usize,
    pub max_depth: usize,
}

pub struct LabelRule {
    pub service: Option<Regex>,
    pub operation: Option<Regex>,
    pub event_type: Option<Regex>,
    pub attribute: Option<(Regex, Regex)>,
    pub classification: Option<u8>,
    pub retention: Option<Term>,
    pub drop: bool,
}

/// Days; 0 keeps for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Term(pub u32);

impl Term {
    /// Shorter terms are smaller.
    pub fn order(self) -> u32 {
        if self.0 == 0 { u32::MAX } else { self.0 }
    }
}

pub struct QualityPlan {
    pub processing_time: Option<Range>,
    pub memory: Option<Range>,
    pub quality: Option<Range>,
    pub event_type_format: Option<Regex>,
    pub time_order: bool,
    pub anomaly: Option<AnomalyPlan>,
    pub claims: bool,
    pub weights: Vec<(String, f64)>,
    pub other_weight: f64,
}

pub struct ColumnsPlan {
    pub names: Vec<String>,
    pub strings: Vec<(String, String)>,
    pub ints: Vec<(String, String)>,
    pub doubles: Vec<(String, String)>,
}

pub struct Plan {
    pub privacy: PrivacyPlan,
    pub classification: u8,
    pub retention: Term,
    pub label_rules: Vec<LabelRule>,
    pub quality: QualityPlan,
    pub limits: Limits,
    pub columns: ColumnsPlan,
    pub key: Option<HashKey>,
}

impl Plan {
    /// Compiles the plan.
    ///
    /// # Errors
    /// What of it the kernel cannot do, in words: the twin then does all of it.
    pub fn compile(json: &str, key: Option<HashKey>) -> Result<Self, String> {
        let source: Source = serde_json::from_str(json).map_err(|error| format!("the plan is malformed: {error}"))?;
        if source.labels.classification >= 4 {
            return Err("the plan's default class does not exist".to_owned());
        }
        Ok(Plan {
            privacy: privacy(source.privacy)?,
            classification: source.labels.classification,
            retention: Term(source.labels.retention),
            label_rules: source.labels.rules.into_iter().map(label_rule).collect::<Result<_, _>>()?,
            quality: quality(source.quality)?,
            limits: source.limits,
            columns: ColumnsPlan {
                names: source.columns.names,
                strings: source.columns.strings,
                ints: source.columns.ints,
                doubles: source.columns.doubles,
            },
            key,
        })
    }
}

fn privacy(source: PrivacySource) -> Result<PrivacyPlan, String> {
    let of_classes = source.actions.iter().map(|names| actions(names)).collect::<Result<Vec<_>, _>>()?;
    Ok(PrivacyPlan {
        enabled: source.enabled,
        actions: of_classes.try_into().map_err(|_| "the plan has not the actions of four classes".to_owned())?,
        shared_actions: actions(&source.shared_actions)?,
        key_rules: source.key_rules.into_iter().map(key_rule).collect::<Result<_, _>>()?,
        expected: source
            .expected
            .iter()
            .map(|(glob, names)| Ok((regex(glob)?, entity_bits(names)?)))
            .collect::<Result<_, String>>()?,
        person_keys: source.person_keys,
        allowed_values: source.allowed_values,
        networks_v4: source
            .networks_v4
            .iter()
            .map(|(address, prefix)| Ok((parse::<Ipv4Addr>(address)?.to_bits(), *prefix)))
            .collect::<Result<_, String>>()?,
        networks_v6: source
            .networks_v6
            .iter()
            .map(|(address, prefix)| Ok((parse::<Ipv6Addr>(address)?.to_bits(), *prefix)))
            .collect::<Result<_, String>>()?,
        max_text_length: source.max_text_length,
        max_depth: source.max_depth,
    })
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no network address"))
}

fn actions(names: &[String]) -> Result<Actions, String> {
    let parsed = names.iter().map(|name| action(name)).collect::<Result<Vec<_>, _>>()?;
    parsed.try_into().map_err(|_| "the plan has not one action for each entity".to_owned())
}

fn action(name: &str) -> Result<Action, String> {
    Action::parse(name).ok_or_else(|| format!("the kernel knows no action {name:?}"))
}

fn entity(name: &str) -> Result<Entity, String> {
    Entity::parse(name).ok_or_else(|| format!("the kernel knows no entity {name:?}"))
}

fn entity_bits(names: &[String]) -> Result<u16, String> {
    names.iter().try_fold(0, |bits, name| Ok(bits | 1 << entity(name)? as u16))
}

fn key_rule(source: KeyRuleSource) -> Result<KeyRule, String> {
    Ok(KeyRule {
        pattern: regex(&source.pattern)?,
        unless: if source.unless.is_empty() { None } else { Some(regex(&source.unless)?) },
        entity: entity(&source.entity)?,
        action: source.action.as_deref().map(action).transpose()?,
    })
}

fn label_rule(source: LabelRuleSource) -> Result<LabelRule, String> {
    let optional = |text: Option<String>| text.as_deref().map(regex).transpose();
    Ok(LabelRule {
        service: optional(source.service)?,
        operation: optional(source.operation)?,
        event_type: optional(source.event_type)?,
        attribute: source.attribute.map(|(key, value)| Ok::<_, String>((regex(&key)?, regex(&value)?))).transpose()?,
        classification: source.classification,
        retention: source.retention.map(Term),
        drop: source.drop,
    })
}

fn quality(source: QualitySource) -> Result<QualityPlan, String> {
    Ok(QualityPlan {
        processing_time: source.processing_time,
        memory: source.memory,
        quality: source.quality,
        event_type_format: source.event_type_format.as_deref().map(regex).transpose()?,
        time_order: source.time_order,
        anomaly: source.anomaly,
        claims: source.claims,
        weights: source.weights,
        other_weight: source.other_weight,
    })
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("the kernel cannot use the regular expression {pattern:?}: {error}"))
}
