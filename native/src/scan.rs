//! What is in a text, but for the values that the policy lets through.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::plan::PrivacyPlan;
use crate::privacy::canonical::{canonical, python_strip};
use crate::privacy::detect::{Hit, find};
use crate::privacy::entities::Entity;

/// Characters behind the limit that are looked at, so that of a value that lies across it no piece remains.
const MARGIN: usize = 512;

pub struct Scanner<'p> {
    plan: &'p PrivacyPlan,
}

impl<'p> Scanner<'p> {
    pub fn new(plan: &'p PrivacyPlan) -> Self {
        Scanner { plan }
    }

    /// The hits of a whole text.
    pub fn find<'t>(&self, text: &'t str) -> Vec<Hit<'t>> {
        let mut hits = find(text);
        if !hits.is_empty() {
            hits.retain(|hit| !self.is_allowed(hit));
        }
        hits
    }

    /// The hits of a text as far as the limit lets it be looked at.
    #[inline]
    pub fn find_within<'t>(&self, text: &'t str) -> Vec<Hit<'t>> {
        match self.limit(text) {
            None => self.find(text),
            Some(_) => self.find(&text[..byte_of(text, self.plan.max_text_length + MARGIN)]),
        }
    }

    /// Where the text is cut off, in bytes; `None` for a text within the limit.
    #[inline]
    pub fn limit(&self, text: &str) -> Option<usize> {
        if text.len() <= self.plan.max_text_length {
            return None;
        }
        let cut = byte_of(text, self.plan.max_text_length);
        (cut < text.len()).then_some(cut)
    }

    fn is_allowed(&self, hit: &Hit<'_>) -> bool {
        if hit.token {
            return false;
        }
        if matches!(hit.entity, Entity::Ipv4 | Entity::Ipv6) && self.is_local(&canonical(hit.entity, &hit.value)) {
            return true;
        }
        let allowed = &self.plan.allowed_values;
        !allowed.is_empty() && allowed.contains(&python_strip(&hit.value).to_lowercase())
    }

    fn is_local(&self, address: &str) -> bool {
        if let Ok(address) = address.parse::<Ipv4Addr>() {
            let bits = address.to_bits();
            let differs = |base: u32, prefix: u32| (bits ^ base).leading_zeros() < prefix;
            return self.plan.networks_v4.iter().any(|(base, prefix)| !differs(*base, *prefix));
        }
        let Ok(address) = address.parse::<Ipv6Addr>() else {
            return false;
        };
        let bits = address.to_bits();
        self.plan.networks_v6.iter().any(|(base, prefix)| (bits ^ base).leading_zeros() >= *prefix)
    }
}

/// The byte at which the character with this number begins; the end of the text when there are fewer.
fn byte_of(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(index, _)| index)
}
