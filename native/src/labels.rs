//! Which class and which term a span gets: rules, claims, defaults. The twins are `policy.claims` and `policy.labelling`.

use std::sync::LazyLock;

use regex::Regex;

use crate::keys::{Keys, Role};
use crate::plan::{CLASSES, ENTITIES, LabelRule, Plan, Term};
use crate::privacy::canonical::python_strip;
use crate::privacy::entities::{DECLARED, Entity, UNCHECKED};
use crate::privacy::tokens::is_subject;
use crate::span::{Attribute, Attributes, Roles, Span};
use crate::value::Value;
use crate::wire::{Irregular, Read};

/// Bits of `pii` beyond those of the entities.
pub const DECLARED_BIT: u16 = 1 << ENTITIES;
pub const UNCHECKED_BIT: u16 = 1 << (ENTITIES + 1);

const MAX_ITEMS: usize = 256;
const MAX_DAYS: u32 = 36_500;

/// What a span says of itself, as far as it can be read.
#[derive(Default)]
pub struct Claims {
    pub classification: Option<u8>,
    pub retention: Option<Term>,
    pub broken: bool,
    pub denies: bool,
    pub pii: u16,
    pub subjects: Vec<String>,
    pub violations: Vec<String>,
}

/// What a span is labelled with.
#[derive(Clone, Copy)]
pub struct Label {
    pub class: u8,
    pub retention: Term,
    pub drop: bool,
}

impl Claims {
    /// Reads the claims of a span and its resource.
    pub fn read(
        span: &Attributes<'_>,
        span_roles: &Roles,
        resource: &Attributes<'_>,
        resource_roles: &Roles,
    ) -> Read<Self> {
        let of_span = |role| span_roles.value(span, role);
        let of_resource = |role| resource_roles.value(resource, role);
        let of_either = |role| match of_span(role) {
            None | Some(Value::Null) => of_resource(role),
            value => value,
        };
        let mut claims = Claims::default();
        for role in [Role::Classification, Role::Retention] {
            for value in [of_span(role), of_resource(role)] {
                claims.label(role, value)?;
                let has = if role == Role::Classification {
                    claims.classification.is_some()
                } else {
                    claims.retention.is_some()
                };
                if has {
                    break;
                }
            }
        }
        claims.subjects = texts(of_span(Role::Subjects))?.into_iter().filter(|text| is_subject(text)).collect();
        claims.violations = texts(of_span(Role::Violations))?.into_iter().filter(|text| is_rule_name(text)).collect();
        claims.pii =
            texts(of_span(Role::Pii))?.iter().filter_map(|text| known_type(text)).fold(0, |all, bit| all | bit);
        claims.declared(of_either(Role::ContainsPii), of_either(Role::PrivacyTags))?;
        Ok(claims)
    }

    fn label(&mut self, role: Role, value: Option<&Value<'_>>) -> Read<()> {
        let text = match value {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Str(text)) => text.to_string(),
            Some(Value::Int(number)) if role == Role::Retention => number.to_string(),
            Some(_) => {
                self.broken = true;
                return Ok(());
            }
        };
        if !text.is_ascii() {
            return Err(Irregular); // other scripts have digits too
        }
        let word = python_strip(&text).to_ascii_lowercase();
        if role == Role::Classification {
            self.classification = CLASSES.iter().position(|class| *class == word).map(|rank| rank as u8);
            self.broken |= self.classification.is_none();
        } else {
            self.retention = term(&word);
            self.broken |= self.retention.is_none();
        }
        Ok(())
    }

    /// A tag that names an entity type is that type; other tags, and a bare yes, say that there is something.
    fn declared(&mut self, contains: Option<&Value<'_>>, tags: Option<&Value<'_>>) -> Read<()> {
        let tags = texts(tags)?;
        let known = tags.iter().filter_map(|tag| known_type(tag)).fold(0_u16, |all, bit| all | bit);
        self.pii |= known;
        if (known.count_ones() as usize) < tags.len() {
            self.pii |= DECLARED_BIT;
        }
        match contains {
            None | Some(Value::Null | Value::Bool(false)) => {}
            Some(Value::Bool(true)) => self.pii |= DECLARED_BIT,
            Some(_) => self.broken = true,
        }
        self.denies = contains == Some(&Value::Bool(false));
        Ok(())
    }
}

static TERM: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^p?([0-9]{1,6})(?:d| ?days?)?$").ok());
static RULE_NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^[a-z][a-z0-9_.-]{0,63}$").ok());

fn term(word: &str) -> Option<Term> {
    if word == "permanent" {
        return Some(Term(0));
    }
    let days: u32 = TERM.as_ref()?.captures(word)?.get(1)?.as_str().parse().ok()?;
    (1..=MAX_DAYS).contains(&days).then_some(Term(days))
}

fn is_rule_name(text: &str) -> bool {
    RULE_NAME.as_ref().is_some_and(|name| name.is_match(text))
}

fn known_type(text: &str) -> Option<u16> {
    match text {
        DECLARED => Some(DECLARED_BIT),
        UNCHECKED => Some(UNCHECKED_BIT),
        _ => Entity::parse(text).map(|entity| 1 << entity as u16),
    }
}

/// The texts of a list, or of one text with commas.
fn texts(value: Option<&Value<'_>>) -> Read<Vec<String>> {
    Ok(match value {
        Some(Value::Str(text)) => text
            .split(',')
            .take(MAX_ITEMS)
            .map(|part| python_strip(part).to_owned())
            .filter(|part| !part.is_empty())
            .collect(),
        Some(Value::List(items)) => items
            .iter()
            .take(MAX_ITEMS)
            .filter_map(|item| match item {
                Value::Str(text) if !text.is_empty() => Some(text.to_string()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    })
}

/// What the label rules are held against.
pub struct Labelled<'s, 'a> {
    pub keys: &'s Keys,
    pub service: &'s str,
    pub span: &'s Span<'a>,
    pub roles: &'s Roles,
    pub resource: &'s Attributes<'a>,
}

/// The label of a span.
pub fn label(plan: &Plan, claims: Option<&Claims>, labelled: &Labelled<'_, '_>) -> Read<Label> {
    let mut class = claims.and_then(|claims| claims.classification);
    let mut retention = claims.and_then(|claims| claims.retention);
    let mut drop = false;
    for rule in &plan.label_rules {
        if !matches(rule, labelled)? {
            continue;
        }
        class = class.max(rule.classification);
        if let Some(term) = rule.retention {
            retention = Some(retention.filter(|now| now.order() <= term.order()).unwrap_or(term));
        }
        drop |= rule.drop;
    }
    Ok(Label { class: class.unwrap_or(plan.classification), retention: retention.unwrap_or(plan.retention), drop })
}

fn matches(rule: &LabelRule, labelled: &Labelled<'_, '_>) -> Read<bool> {
    if rule.service.as_ref().is_some_and(|glob| !glob.is_match(labelled.service)) {
        return Ok(false);
    }
    if rule.operation.as_ref().is_some_and(|glob| !glob.is_match(&labelled.span.name)) {
        return Ok(false);
    }
    if let Some(glob) = &rule.event_type {
        match labelled.roles.value(&labelled.span.attributes, Role::EventType) {
            Some(value) if glob.is_match(&python_str(value)?) => {}
            _ => return Ok(false),
        }
    }
    let Some((key, value)) = &rule.attribute else {
        return Ok(true);
    };
    for attribute in labelled.span.attributes.iter().chain(labelled.resource) {
        if has(labelled.keys, attribute, key, value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has(keys: &Keys, attribute: &Attribute<'_>, key: &Regex, value: &Regex) -> Read<bool> {
    Ok(key.is_match(attribute.name(keys)) && value.is_match(&python_str(&attribute.value)?))
}

/// What Python's `str` says of a value; of nested ones only the twin knows.
fn python_str(value: &Value<'_>) -> Read<String> {
    Ok(match value {
        Value::Str(text) => text.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => crate::value::python_repr(*value),
        Value::Null => "None".to_owned(),
        Value::Bytes(_) | Value::List(_) | Value::Map(_) => return Err(Irregular),
    })
}
