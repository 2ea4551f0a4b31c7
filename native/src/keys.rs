//! What is known of attribute keys: the policy's view of them, and the column a value goes to.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::plan::{ColumnsPlan, Plan};
use crate::privacy::detect::Hit;
use crate::scan::Scanner;
use crate::span::text as lossy;

/// Keys that the kernel itself reads, by their place in a span's `Roles`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    Classification,
    Retention,
    ContainsPii,
    PrivacyTags,
    Pii,
    Subjects,
    Violations,
    ProcessingTime,
    Memory,
    Cpu,
    Quality,
    EventType,
    ServiceName,
}

pub const ROLES: [(Role, &str); 13] = [
    (Role::Classification, "spanward.classification"),
    (Role::Retention, "spanward.retention"),
    (Role::ContainsPii, "spanward.contains_pii"),
    (Role::PrivacyTags, "spanward.privacy.tags"),
    (Role::Pii, "spanward.pii"),
    (Role::Subjects, "spanward.subjects"),
    (Role::Violations, "spanward.quality.violations"),
    (Role::ProcessingTime, "spanward.processing_time_ms"),
    (Role::Memory, "spanward.memory_mb"),
    (Role::Cpu, "spanward.cpu_percent"),
    (Role::Quality, "spanward.quality.score"),
    (Role::EventType, "spanward.event.type"),
    (Role::ServiceName, "service.name"),
];

/// How many of `ROLES` are claims; they come first.
pub const CLAIMS: usize = 7;

/// What holds for the values of a key.
#[derive(Clone, Default)]
pub struct KeyPlan {
    /// Index of the key rule that matches.
    pub rule: Option<usize>,
    /// Bits of the entity types that are not reported in the value.
    pub expected: u16,
    /// The value is a person's id.
    pub person: bool,
    /// The key itself holds something.
    pub hits: bool,
}

impl KeyPlan {
    /// Nothing special is asked for, as of nearly all keys.
    pub fn is_plain(&self) -> bool {
        self.rule.is_none() && self.expected == 0 && !self.person && !self.hits
    }
}

/// A key that has been met.
pub struct Key {
    pub text: String,
    pub plan: KeyPlan,
    pub plain: bool,
    pub role: Option<Role>,
    /// Index of its promoted column, by type of value.
    pub string: Option<u16>,
    pub int: Option<u16>,
    pub double: Option<u16>,
    /// The key that came after it the last time.
    next: u32,
    /// The list of attributes in which it was met last, and where in it.
    list: u64,
    place: u32,
}

const MAX_KEYS: usize = 8192;

/// The keys met so far; they are few, and come in the same order again and again.
pub struct Keys {
    keys: Vec<Key>,
    by_text: HashMap<Box<str>, u32>,
    personal: bool,
    lists: u64,
}

pub type KeyId = u32;

impl Keys {
    pub fn new() -> Self {
        Keys { keys: Vec::new(), by_text: HashMap::new(), personal: false, lists: 0 }
    }

    pub fn get(&self, id: KeyId) -> &Key {
        &self.keys[id as usize]
    }

    /// Forgets keys that hold personal data themselves, and all of them when they became too many. Ends a request.
    pub fn tidy(&mut self) {
        if self.personal || self.keys.len() > MAX_KEYS {
            *self = Keys::new();
        }
    }

    /// A new list of attributes, for `place_in`.
    pub fn list(&mut self) -> u64 {
        self.lists += 1;
        self.lists
    }

    /// Where in the list the key stands already; `None`, and from now on at `place`, when it does not.
    #[inline]
    pub fn place_in(&mut self, list: u64, id: KeyId, place: usize) -> Option<usize> {
        let key = &mut self.keys[id as usize];
        if key.list == list {
            return Some(key.place as usize);
        }
        key.list = list;
        key.place = place as u32;
        None
    }

    /// The key with this text, which may not be UTF-8 yet; `before` is the key that came before it, if any.
    #[inline]
    pub fn find(&mut self, plan: &Plan, before: Option<KeyId>, text: &[u8]) -> KeyId {
        if let Some(before) = before {
            let next = self.keys[before as usize].next;
            if self.keys[next as usize].text.as_bytes() == text {
                return next;
            }
        }
        let id = self.look_up(plan, &lossy(text));
        if let Some(before) = before {
            self.keys[before as usize].next = id;
        }
        id
    }

    fn look_up(&mut self, plan: &Plan, text: &str) -> KeyId {
        match self.by_text.get(text) {
            Some(id) => *id,
            None => self.add(plan, text),
        }
    }

    fn add(&mut self, plan: &Plan, text: &str) -> KeyId {
        let id = self.keys.len() as KeyId;
        let of_key = key_plan(plan, text);
        self.personal |= of_key.hits;
        let columns = &plan.columns;
        self.keys.push(Key {
            text: text.to_owned(),
            plain: of_key.is_plain(),
            plan: of_key,
            role: ROLES.iter().find(|(_, key)| *key == text).map(|(role, _)| *role),
            string: column(&columns.strings, text),
            int: column(&columns.ints, text),
            double: column(&columns.doubles, text),
            next: 0,
            list: 0,
            place: 0,
        });
        self.by_text.insert(text.into(), id);
        id
    }
}

fn column(promoted: &[(String, String)], key: &str) -> Option<u16> {
    promoted.iter().position(|(name, _)| name == key).map(|index| index as u16)
}

/// Every column that the plan promotes, in the plan's order.
pub fn promoted(columns: &ColumnsPlan) -> impl Iterator<Item = &str> {
    [&columns.strings, &columns.ints, &columns.doubles].into_iter().flatten().map(|(_, column)| column.as_str())
}

/// What the policy says of a key.
pub fn key_plan(plan: &Plan, key: &str) -> KeyPlan {
    let privacy = &plan.privacy;
    let hits = Scanner::new(privacy).find(key);
    let folded = fold(&without(key, &hits));
    let matches = |rule: &crate::plan::KeyRule| {
        rule.pattern.is_match(&folded) && !rule.unless.as_ref().is_some_and(|unless| unless.is_match(&folded))
    };
    let lowered = key.to_lowercase();
    KeyPlan {
        rule: privacy.key_rules.iter().position(matches),
        expected: privacy
            .expected
            .iter()
            .filter(|(glob, _)| glob.is_match(&lowered))
            .fold(0, |bits, (_, entities)| bits | entities),
        person: privacy.person_keys.iter().any(|person| person == key),
        hits: !hits.is_empty(),
    }
}

/// The key's own words: neither a value in it nor the token that will stand there decides which rule holds.
fn without(key: &str, hits: &[Hit<'_>]) -> String {
    let mut words = String::new();
    let mut position = 0;
    for hit in hits {
        if position <= hit.start {
            words.push_str(&key[position..hit.start]);
        }
        position = position.max(hit.end);
    }
    words.push_str(&key[position..]);
    words
}

static HUMP: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])").ok());
static SEPARATORS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("[^0-9a-z]+").ok());

/// The form of a key that rules are matched with: lower case, `_` for every separator and camel hump.
fn fold(key: &str) -> String {
    let (Some(hump), Some(separators)) = (HUMP.as_ref(), SEPARATORS.as_ref()) else {
        return String::new();
    };
    let humps = hump.replace_all(key, |found: &Captures<'_>| {
        let group = |index| found.get(index).map_or("", |part| part.as_str());
        format!("{}{}_{}{}", group(1), group(3), group(2), group(4))
    });
    separators.replace_all(&humps.to_lowercase(), "_").trim_matches('_').to_owned()
}
