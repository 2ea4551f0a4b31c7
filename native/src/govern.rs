//! One pass from the bytes of requests to governed spans.
//!
//! Two things are kept between requests: the keys that were met (each worker has its own), and the baselines of
//! operations (one for all). Nothing of the latter changes before all requests have been found regular.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::found::{Found, type_names};
use crate::keys::Keys;
use crate::labels::{Claims, Label, Labelled, label};
use crate::plan::Plan;
use crate::quality::{self, Baselines, Measures, RULES, Scale, operation_key};
use crate::redact::Redactor;
use crate::scan::Scanner;
use crate::shared::{self, Resource, Scope};
use crate::span::{Reader, Roles, Span};
use crate::wire::{Irregular, Message, Read, numbers, tag};

/// What becomes of governed spans.
pub trait Sink {
    /// Another request begins, the next of those that are governed together.
    fn request(&mut self) {}
    /// A resource begins; the scopes that follow are its own.
    fn resource(&mut self, keys: &Keys, resource: &Resource<'_>);
    /// A scope begins; the spans that follow are its own.
    fn scope(&mut self, keys: &Keys, scope: &Scope<'_>);
    /// Takes a span that is to be kept; its verdict on quality follows by `judge`, in the same order.
    fn span(&mut self, keys: &Keys, span: &Span<'_>, found: &Found<'_>) -> Read<()>;
    /// Gives the next span without one its score and the names of the rules it breaks, sorted.
    fn judge(&mut self, score: f64, violations: &[&str]);
}

pub struct Governor {
    plan: Plan,
    scale: Scale,
    baselines: Option<Mutex<Baselines>>,
    idle: Mutex<Vec<Keys>>,
}

/// A request in protobuf.
pub struct Request<'r> {
    pub body: &'r [u8],
    /// How many bytes each row gets that are not in the request.
    pub repeated: usize,
}

type Types = HashMap<&'static str, u64>;
type Violations = HashMap<String, u64>;

/// What was found in requests.
pub struct Tally {
    /// Of each request: the spans that are kept, and those that a rule said not to store.
    pub requests: Vec<(usize, usize)>,
    /// Spans that held personal data, by its type.
    pub pii: Types,
    /// Spans that broke a rule, by its name.
    pub violations: Violations,
}

/// Requests that are together beyond this are the twin's: the offsets of a column have 31 bits, and what is redacted may
/// grow.
const MAX_BODY: usize = 128 << 20;
/// What rows may repeat of their tenant, resources and scopes; the twin refuses requests with more.
const MAX_SHARED: usize = 256 << 20;

/// What is known of a span while its verdict on quality waits for the baselines.
struct Pending {
    violations: u8,
    claimed: Vec<String>,
    measures: Measures,
    /// Where its operation's key ends among all of them.
    operation_end: usize,
    /// Whether it has a row.
    kept: bool,
    pii: u16,
}

/// The work on requests that are governed together.
struct Work<'p, 'k, S> {
    plan: &'p Plan,
    reader: Reader<'p, 'k>,
    redactor: Redactor<'p>,
    sink: &'k mut S,
    pending: Vec<Pending>,
    /// How many spans were pending after each request.
    ends: Vec<usize>,
    operations: Vec<u8>,
    subjects: Vec<String>,
    /// Bytes of what else is in every row of the request.
    repeated: usize,
    shared: usize,
}

impl Tally {
    /// Spans that a rule said not to store.
    pub fn dropped(&self) -> usize {
        self.requests.iter().map(|(_, dropped)| dropped).sum()
    }
}

impl Governor {
    pub fn new(plan: Plan) -> Self {
        Governor {
            scale: Scale::new(&plan.quality),
            baselines: plan.quality.anomaly.map(|anomaly| Mutex::new(Baselines::new(anomaly))),
            idle: Mutex::new(Vec::new()),
            plan,
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Governs requests, in their order.
    ///
    /// # Errors
    /// One of them is not as every SDK writes them: the twin's.
    pub fn govern(&self, requests: &[Request<'_>], sink: &mut impl Sink) -> Read<Tally> {
        if requests.iter().map(|request| request.body.len()).sum::<usize>() > MAX_BODY {
            return Err(Irregular);
        }
        let mut keys = self.lock_idle().pop().unwrap_or_else(Keys::new);
        let tally = self.govern_with(&mut keys, requests, sink);
        keys.tidy();
        self.lock_idle().push(keys);
        tally
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Keys>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn govern_with(&self, keys: &mut Keys, requests: &[Request<'_>], sink: &mut impl Sink) -> Read<Tally> {
        let mut work = Work {
            plan: &self.plan,
            reader: Reader { plan: &self.plan, keys },
            redactor: Redactor::new(&self.plan),
            sink,
            pending: Vec::new(),
            ends: Vec::with_capacity(requests.len()),
            operations: Vec::new(),
            subjects: Vec::new(),
            repeated: 0,
            shared: 0,
        };
        for request in requests {
            work.repeated = request.repeated;
            work.sink.request();
            work.request(request.body)?;
            work.ends.push(work.pending.len());
        }
        let Work { pending, ends, operations, sink, .. } = work;
        let (pii, violations) = self.judge(&pending, &operations, sink);
        Ok(Tally { requests: kept_and_dropped(&pending, &ends), pii, violations })
    }

    /// The verdicts on quality, which need the baselines that all requests share.
    fn judge(&self, pending: &[Pending], operations: &[u8], sink: &mut impl Sink) -> (Types, Violations) {
        let mut pii = [0_u64; 16];
        let mut violations = Violations::new();
        let mut baselines = self.baselines.as_ref().map(|shared| shared.lock().unwrap_or_else(PoisonError::into_inner));
        let mut start = 0;
        for span in pending {
            let operation = &operations[start..span.operation_end];
            start = span.operation_end;
            let far = baselines.as_mut().is_some_and(|all| all.judge(operation, &span.measures));
            let broken = span.violations | if far { quality::ANOMALY } else { 0 };
            let names = rule_names(broken, &span.claimed);
            for name in &names {
                *violations.entry((*name).to_owned()).or_default() += 1;
            }
            for (bit, count) in pii.iter_mut().enumerate() {
                *count += u64::from(span.pii >> bit & 1);
            }
            if span.kept {
                let score = if names.is_empty() { 1.0 } else { self.scale.score(names.iter().copied()) };
                sink.judge(score, &names);
            }
        }
        drop(baselines);
        let counted = |bit: usize| type_names(1 << bit).map(move |name| (name, bit));
        let pii = (0..16).flat_map(counted).filter(|(_, bit)| pii[*bit] > 0).map(|(name, bit)| (name, pii[bit]));
        (pii.collect(), violations)
    }
}

/// Of each request, how many of its spans are kept and how many are not.
fn kept_and_dropped(pending: &[Pending], ends: &[usize]) -> Vec<(usize, usize)> {
    let mut start = 0;
    let of_request = |&end: &usize| {
        let spans = &pending[start..end];
        start = end;
        let kept = spans.iter().filter(|span| span.kept).count();
        (kept, spans.len() - kept)
    };
    ends.iter().map(of_request).collect()
}

/// Names of broken rules, sorted, each once.
fn rule_names(broken: u8, claimed: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> =
        RULES.iter().enumerate().filter(|(bit, _)| broken >> bit & 1 == 1).map(|(_, name)| *name).collect();
    if !claimed.is_empty() {
        names.extend(claimed.iter().map(String::as_str));
        names.sort_unstable();
        names.dedup();
    }
    names
}

impl<S: Sink> Work<'_, '_, S> {
    fn request(&mut self, body: &[u8]) -> Read<()> {
        let mut span = Span::default();
        let mut message = Message::new(body);
        let mut total = 0;
        while let Some(tag) = message.tag()? {
            if tag != tag::BYTES_1 {
                message.skip(tag, numbers(1, 1))?;
                continue;
            }
            let of_resource = shared::parts(message.bytes()?)?;
            let shared_bytes = of_resource.header.len() + of_resource.schema_url.len();
            let resource =
                shared::resource(&mut self.reader, &mut self.redactor, of_resource.header, of_resource.schema_url)?;
            self.sink.resource(self.reader.keys, &resource);
            for member in &of_resource.members {
                let of_scope = shared::parts(member)?;
                total += of_scope.members.len();
                if total > self.plan.limits.spans {
                    return Err(Irregular);
                }
                self.share(shared_bytes + of_scope.header.len() + of_scope.schema_url.len(), of_scope.members.len())?;
                let scope = shared::scope(&mut self.reader, &mut self.redactor, of_scope.header, of_scope.schema_url)?;
                self.sink.scope(self.reader.keys, &scope);
                for bytes in of_scope.members {
                    self.reader.span(bytes, &mut span)?;
                    self.span(&mut span, &resource, &scope)?;
                }
            }
        }
        Ok(())
    }

    /// Counts what so many more rows will repeat.
    fn share(&mut self, bytes: usize, rows: usize) -> Read<()> {
        self.shared = self.shared.saturating_add((bytes + self.repeated).saturating_mul(rows));
        if self.shared > MAX_SHARED { Err(Irregular) } else { Ok(()) }
    }

    fn span(&mut self, span: &mut Span<'_>, resource: &Resource<'_>, scope: &Scope<'_>) -> Read<()> {
        let roles = Roles::of(self.reader.keys, &span.attributes);
        let claims = (roles.claims() || resource.roles.claims())
            .then(|| Claims::read(&span.attributes, &roles, &resource.attributes, &resource.roles))
            .transpose()?;
        let label = self.label(span, &roles, claims.as_ref(), resource)?;
        let mut violations = quality::violations(&self.plan.quality, span, &roles);
        let measures = quality::measures(span, &roles);
        if self.plan.quality.anomaly.is_some() {
            operation_key(&mut self.operations, &resource.service, &span.name);
        }
        let mut pii = resource.found.types | scope.found.types;
        self.subjects.clear();
        self.subjects.extend(resource.found.subjects.iter().chain(&scope.found.subjects).cloned());
        if self.plan.privacy.enabled {
            self.redact(label.class, span)?;
            pii |= self.redactor.types;
            self.subjects.append(&mut self.redactor.subjects);
        }
        let mut claimed = Vec::new();
        if let Some(claims) = claims {
            pii |= claims.pii;
            self.subjects.extend(claims.subjects);
            if (claims.broken || (claims.denies && pii != 0)) && self.plan.quality.claims {
                violations |= quality::CLAIMS;
            }
            let privacy = &self.plan.privacy;
            let is_clean = |name: &String| !privacy.enabled || Scanner::new(privacy).find(name).is_empty();
            claimed = claims.violations.into_iter().filter(is_clean).collect();
        }
        self.subjects.sort_unstable();
        self.subjects.dedup();
        let operation_end = self.operations.len();
        self.pending.push(Pending { violations, claimed, measures, operation_end, kept: !label.drop, pii });
        if label.drop {
            return Ok(());
        }
        let found = Found { label, pii, subjects: &self.subjects };
        self.sink.span(self.reader.keys, span, &found)
    }

    fn label(&self, span: &Span<'_>, roles: &Roles, claims: Option<&Claims>, resource: &Resource<'_>) -> Read<Label> {
        let labelled = Labelled {
            keys: self.reader.keys,
            service: &resource.service,
            span,
            roles,
            resource: &resource.attributes,
        };
        label(self.plan, claims, &labelled)
    }

    /// Everything in a span that can hold text.
    fn redact(&mut self, class: u8, span: &mut Span<'_>) -> Read<()> {
        let redactor = &mut self.redactor;
        let keys = &*self.reader.keys;
        redactor.begin(&self.plan.privacy.actions[usize::from(class)]);
        redactor.text(&mut span.name);
        redactor.text(&mut span.status_message);
        redactor.text(&mut span.trace_state);
        span.dropped_attributes += redactor.attributes(keys, &mut span.attributes)?;
        for event in &mut span.events {
            redactor.text(&mut event.name);
            event.dropped_attributes += redactor.attributes(keys, &mut event.attributes)?;
        }
        for link in &mut span.links {
            redactor.text(&mut link.trace_state);
            link.dropped_attributes += redactor.attributes(keys, &mut link.attributes)?;
        }
        Ok(())
    }
}
