//! Taking out of texts, attributes and nested values what was found in them.
//!
//! The twin is `spanward.processor.policy.privacy.redact`; names here are as there.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use crate::keys::{KeyPlan, Keys, key_plan};
use crate::plan::{Actions, KeyRule, Plan};
use crate::privacy::canonical::{canonical, python_strip};
use crate::privacy::detect::Hit;
use crate::privacy::entities::{Action, Entity, WITHHELD};
use crate::privacy::tokens::{hashed, is_token, masked};
use crate::scan::Scanner;
use crate::span::Attribute;
use crate::value::{Pairs, Text, Value, put};
use crate::wire::{Irregular, Read};

/// What has become of a value.
enum Outcome<'a> {
    Same,
    New(Value<'a>),
    Dropped,
}

/// What has become of a text.
struct Replaced {
    /// `None`: as it was.
    text: Option<String>,
    drop: bool,
}

const SAME: Replaced = Replaced { text: None, drop: false };

/// Works through one span, or what spans share.
pub struct Redactor<'p> {
    plan: &'p Plan,
    scanner: Scanner<'p>,
    actions: &'p Actions,
    /// Bits of the entity types found since `begin`.
    pub types: u16,
    /// `keyid:digest` of the identifying values found since `begin`, unordered; empty without a key.
    pub subjects: Vec<String>,
    /// Plans of keys inside values.
    plans: HashMap<String, Rc<KeyPlan>>,
}

const MAX_PLANS: usize = 8192;

impl<'p> Redactor<'p> {
    pub fn new(plan: &'p Plan) -> Self {
        Redactor {
            plan,
            scanner: Scanner::new(&plan.privacy),
            actions: &plan.privacy.shared_actions,
            types: 0,
            subjects: Vec::new(),
            plans: HashMap::new(),
        }
    }

    /// Forget what was found, and use these actions from now on.
    pub fn begin(&mut self, actions: &'p Actions) {
        self.actions = actions;
        self.types = 0;
        self.subjects.clear();
    }

    /// A text that is no attribute's value; `drop` leaves a token in it, as `mask` does.
    pub fn text(&mut self, text: &mut Text<'_>) {
        if let Some(new) = self.replaced_text(text, 0) {
            *text = Cow::Owned(new);
        }
    }

    /// The text that a text turns into, but for types that are expected in it; `None` when it stays.
    fn replaced_text(&mut self, text: &str, expected: u16) -> Option<String> {
        let hits = self.scanner.find_within(text);
        self.replace(text, &hits, expected).text
    }

    /// A text as the value of a key; what would be dropped leaves its token.
    pub fn value_of(&mut self, key: &str, text: &mut Text<'_>) -> Read<()> {
        let plan = self.plan_of(key);
        let value = Value::Str(Cow::Borrowed(&**text));
        let new = match self.value(&value, &plan, 0)? {
            Outcome::Same => return Ok(()),
            Outcome::New(Value::Str(new)) => new.into_owned(),
            Outcome::New(_) | Outcome::Dropped => match plan.rule {
                Some(rule) => masked(self.plan.privacy.key_rules[rule].entity).to_owned(),
                None => match self.replaced_text(text, plan.expected) {
                    Some(new) => new,
                    None => return Ok(()),
                },
            },
        };
        *text = Cow::Owned(new);
        Ok(())
    }

    /// What a text holds as the value of a key, tokens aside: entity, start and end in bytes.
    pub fn scan(&mut self, key: &str, text: &str) -> Vec<(Entity, usize, usize)> {
        let plan = self.plan_of(key);
        if let Some(rule) = plan.rule {
            return vec![(self.plan.privacy.key_rules[rule].entity, 0, text.len())];
        }
        let hits = self.scanner.find(text);
        let reported = hits.iter().filter(|hit| plan.expected & (1 << hit.entity as u16) == 0);
        let stretches = merge(text, reported, self.actions).into_iter().filter(|stretch| !stretch.hit.token);
        stretches.map(|stretch| (stretch.hit.entity, stretch.start, stretch.end)).collect()
    }

    /// Takes out of attributes what must not be in them; answers with how many were dropped.
    pub fn attributes(&mut self, keys: &Keys, attributes: &mut Vec<Attribute<'_>>) -> Read<i64> {
        let mut dropped = 0;
        let mut renamed = false;
        let mut index = 0;
        while index < attributes.len() {
            let attribute = &mut attributes[index];
            let key = keys.get(attribute.key);
            if key.plain && !matches!(attribute.value, Value::Str(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))
            {
                index += 1;
                continue;
            }
            match self.value(&attribute.value, &key.plan, 0)? {
                Outcome::Same => {
                    if key.plan.hits {
                        renamed |= self.rename(attribute, &key.text);
                    }
                }
                Outcome::New(value) => {
                    attribute.value = value;
                    renamed |= self.rename(attribute, &key.text);
                }
                Outcome::Dropped => {
                    attributes.remove(index);
                    dropped += 1;
                    continue;
                }
            }
            index += 1;
        }
        if renamed {
            join_renamed(keys, attributes);
        }
        Ok(dropped)
    }

    fn rename(&mut self, attribute: &mut Attribute<'_>, key: &str) -> bool {
        attribute.renamed = self.replaced_text(key, 0).map(String::into_boxed_str);
        attribute.renamed.is_some()
    }

    fn value<'a>(&mut self, value: &Value<'a>, plan: &KeyPlan, depth: usize) -> Read<Outcome<'a>> {
        if let Some(rule) = plan.rule {
            let all = self.plan;
            match self.by_rule(value, &all.privacy.key_rules[rule])? {
                Outcome::Same => {}
                done => return Ok(done),
            }
        }
        if plan.person {
            self.person(value);
        }
        match value {
            Value::Str(text) => {
                let hits = self.scanner.find_within(text);
                if hits.is_empty() && text.len() <= self.plan.privacy.max_text_length {
                    return Ok(Outcome::Same);
                }
                Ok(match self.replace(text, &hits, plan.expected) {
                    Replaced { drop: true, .. } => Outcome::Dropped,
                    Replaced { text: Some(new), .. } => Outcome::New(Value::Str(Cow::Owned(new))),
                    Replaced { .. } => Outcome::Same,
                })
            }
            Value::Bytes(bytes) => self.bytes(bytes, plan),
            Value::List(_) | Value::Map(_) if depth >= self.plan.privacy.max_depth => {
                Ok(Outcome::New(Value::Str(Cow::Borrowed(WITHHELD))))
            }
            Value::List(items) => self.list(items, plan, depth + 1),
            Value::Map(pairs) => self.map(pairs, depth + 1),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) => Ok(Outcome::Same),
        }
    }

    fn plan_of(&mut self, key: &str) -> Rc<KeyPlan> {
        if let Some(plan) = self.plans.get(key) {
            return plan.clone();
        }
        let plan = Rc::new(key_plan(self.plan, key));
        if self.plans.len() < MAX_PLANS {
            self.plans.insert(key.to_owned(), plan.clone());
        }
        plan
    }

    fn map<'a>(&mut self, pairs: &Pairs<'a>, depth: usize) -> Read<Outcome<'a>> {
        let mut kept = Pairs::with_capacity(pairs.len());
        let mut same = true;
        for (key, item) in pairs {
            let new_key = self.replaced_text(key, 0);
            let plan = self.plan_of(key);
            let outcome = self.value(item, &plan, depth)?;
            same &= new_key.is_none() && matches!(outcome, Outcome::Same);
            let value = match outcome {
                Outcome::Same => Some(item.clone()),
                Outcome::New(value) => Some(value),
                Outcome::Dropped => None,
            };
            put_or_take(&mut kept, new_key.map_or_else(|| key.clone(), Cow::Owned), value);
        }
        Ok(if same { Outcome::Same } else { Outcome::New(Value::Map(kept)) })
    }

    fn list<'a>(&mut self, items: &[Value<'a>], plan: &KeyPlan, depth: usize) -> Read<Outcome<'a>> {
        let inner = KeyPlan { expected: plan.expected, ..KeyPlan::default() };
        let mut new_items = Vec::with_capacity(items.len());
        let mut same = true;
        for item in items {
            let new = match item {
                // dropping a member would move the others, so its text is replaced
                Value::Str(text) => self.replaced_text(text, plan.expected).map(|new| Value::Str(Cow::Owned(new))),
                _ => match self.value(item, &inner, depth)? {
                    Outcome::Same => None,
                    Outcome::New(value) => Some(value),
                    Outcome::Dropped => Some(Value::Str(Cow::Borrowed(WITHHELD))),
                },
            };
            same &= new.is_none();
            new_items.push(new.unwrap_or_else(|| item.clone()));
        }
        Ok(if same { Outcome::Same } else { Outcome::New(Value::List(new_items)) })
    }

    /// Bytes as the text they hold; what is not UTF-8 in them stays byte for byte, and hides nothing beside it.
    fn bytes<'a>(&mut self, bytes: &[u8], plan: &KeyPlan) -> Read<Outcome<'a>> {
        let text = as_text(bytes)?;
        let hits = self.scanner.find_within(&text);
        Ok(match self.replace(&text, &hits, plan.expected) {
            Replaced { drop: true, .. } => Outcome::Dropped,
            Replaced { text: Some(new), .. } => {
                let is_mixed = matches!(text, Cow::Owned(_));
                Outcome::New(Value::Bytes(Cow::Owned(if is_mixed { as_bytes(&new) } else { new.into_bytes() })))
            }
            Replaced { .. } => Outcome::Same,
        })
    }

    fn by_rule<'a>(&mut self, value: &Value<'a>, rule: &KeyRule) -> Read<Outcome<'a>> {
        let action = rule.action.unwrap_or(self.actions[rule.entity as usize]);
        if let Value::Str(text) = value
            && action != Action::Drop
            && is_token(text)
        {
            return Ok(Outcome::Same);
        }
        let text: Cow<'_, str> = match value {
            Value::Str(text) => Cow::Borrowed(text),
            Value::Bool(_) | Value::Null => Cow::Borrowed(""),
            Value::Int(number) => Cow::Owned(number.to_string()),
            Value::Double(number) => Cow::Owned(crate::value::python_repr(*number)),
            // only the subject is made of it, and of Python's own form of it: the twin's
            Value::Bytes(_) | Value::List(_) | Value::Map(_) => {
                if rule.entity.is_identifying() || action == Action::Hash {
                    return Err(Irregular);
                }
                Cow::Borrowed("")
            }
        };
        let identifies = rule.entity.is_identifying() && !text.is_empty();
        let subject = self.found(rule.entity, &text, action, identifies);
        Ok(match action {
            Action::Tag => Outcome::Same,
            Action::Drop => Outcome::Dropped,
            Action::Hash | Action::Mask => Outcome::New(Value::Str(token(rule.entity, &subject, action))),
        })
    }

    /// A person's id is a subject; one that is a detected value as a whole is that value's subject already.
    fn person(&mut self, value: &Value<'_>) {
        let plan = self.plan;
        let Some(key) = &plan.key else { return };
        let text: Cow<'_, str> = match value {
            Value::Str(text) => Cow::Borrowed(python_strip(text)),
            Value::Int(number) => Cow::Owned(number.to_string()),
            _ => return,
        };
        let hits = self.scanner.find_within(&text);
        if !text.is_empty() && !hits.iter().any(|hit| hit.end - hit.start == text.len()) {
            self.subjects.push(key.digest(&text));
        }
    }

    /// The text without its hits, and whether one of them asks for the attribute to be dropped.
    fn replace(&mut self, text: &str, hits: &[Hit<'_>], expected: u16) -> Replaced {
        let limit = self.scanner.limit(text);
        if hits.is_empty() && limit.is_none() {
            return SAME;
        }
        let mut out = String::new();
        let mut position = 0;
        let mut changed = false;
        let mut drop = false;
        let reported = hits.iter().filter(|hit| hit.token || expected & (1 << hit.entity as u16) == 0);
        for stretch in merge(text, reported, self.actions) {
            if limit.is_some_and(|limit| stretch.start >= limit) {
                break;
            }
            let hit = stretch.hit;
            if hit.token {
                self.types |= 1 << hit.entity as u16;
                if !hit.value.is_empty() {
                    self.subjects.push(hit.value.clone().into_owned());
                }
                continue;
            }
            let action = self.actions[hit.entity as usize];
            let subject = self.found(hit.entity, &hit.value, action, hit.entity.is_identifying());
            drop |= action == Action::Drop;
            if action != Action::Tag {
                out.push_str(&text[position..stretch.start]);
                out.push_str(&token(hit.entity, &subject, action));
                position = stretch.end;
                changed = true;
            }
        }
        if let Some(limit) = limit {
            out.push_str(text.get(position..limit).unwrap_or(""));
            out.push_str(WITHHELD);
            return Replaced { text: Some(out), drop };
        }
        if !changed {
            return Replaced { text: None, drop };
        }
        out.push_str(&text[position..]);
        Replaced { text: Some(out), drop }
    }

    /// Notes a find; answers with its subject, "" where there is none.
    fn found(&mut self, entity: Entity, value: &str, action: Action, identifies: bool) -> String {
        self.types |= 1 << entity as u16;
        let plan = self.plan;
        match &plan.key {
            Some(key) if identifies || action == Action::Hash => {
                let subject = key.digest(&canonical(entity, value));
                if identifies {
                    self.subjects.push(subject.clone());
                }
                subject
            }
            _ => String::new(),
        }
    }
}

/// What stands in the place of a value; without a key a hash becomes a mask.
fn token<'a>(entity: Entity, subject: &str, action: Action) -> Text<'a> {
    if action == Action::Hash && !subject.is_empty() {
        Cow::Owned(hashed(entity, subject))
    } else {
        Cow::Borrowed(masked(entity))
    }
}

/// As a Python dict is built: the last value of a key holds, at the place of the first; a dropped one leaves none.
fn put_or_take<'a>(pairs: &mut Pairs<'a>, key: Text<'a>, value: Option<Value<'a>>) {
    match value {
        Some(value) => put(pairs, key, value),
        None => pairs.retain(|pair| pair.0 != key),
    }
}

/// Keys that became equal when values were taken out of them are one: the last value holds.
fn join_renamed(keys: &Keys, attributes: &mut Vec<Attribute<'_>>) {
    let mut index = 0;
    while index < attributes.len() {
        let same = |other: &Attribute<'_>| other.name(keys) == attributes[index].name(keys);
        match attributes[..index].iter().position(same) {
            Some(first) => {
                let later = attributes.remove(index);
                attributes[first].value = later.value;
            }
            None => index += 1,
        }
    }
}

/// Characters for bytes that are not UTF-8, at the end of the last private plane; no pattern looks for them.
const STRAY: u32 = 0x0010_ff00;

/// Bytes as text, with a character for each byte that is not UTF-8; `as_bytes` is the inverse.
fn as_text(bytes: &[u8]) -> Read<Cow<'_, str>> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(Cow::Borrowed(text));
    }
    let mut text = String::with_capacity(2 * bytes.len());
    for chunk in bytes.utf8_chunks() {
        if chunk.valid().chars().any(|character| u32::from(character) >= STRAY) {
            return Err(Irregular); // such a character is there already
        }
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(STRAY + u32::from(*byte))));
    }
    Ok(Cow::Owned(text))
}

fn as_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u32::from(character).checked_sub(STRAY) {
            Some(byte) => bytes.push(byte as u8),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// A piece of text that hits cover without a gap; `hit` names it.
struct Stretch<'h, 't> {
    start: usize,
    end: usize,
    hit: &'h Hit<'t>,
}

/// Overlapping hits become one, so that a redaction never cuts into another. Hits are in order of position.
fn merge<'h, 't: 'h>(text: &str, hits: impl Iterator<Item = &'h Hit<'t>>, actions: &Actions) -> Vec<Stretch<'h, 't>> {
    let mut stretches: Vec<Stretch<'h, 't>> = Vec::new();
    for hit in hits {
        match stretches.last_mut() {
            Some(last) if hit.start < last.end => {
                last.end = last.end.max(hit.end);
                if rank(text, hit, actions) > rank(text, last.hit, actions) {
                    last.hit = hit;
                }
            }
            _ => stretches.push(Stretch { start: hit.start, end: hit.end, hit }),
        }
    }
    stretches
}

/// A value before a token, then the strongest action, the longest, the first in the order of entities.
fn rank(text: &str, hit: &Hit<'_>, actions: &Actions) -> (bool, Action, usize, i32) {
    let characters = text[hit.start..hit.end].chars().count();
    (!hit.token, actions[hit.entity as usize], characters, -(hit.entity as i32))
}
