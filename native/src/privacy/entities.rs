//! The kinds of thing the policy looks for, and what it can do about one.

/// Entity types. Their order settles which one a stretch of text is called when two claim it with equal right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Entity {
    Credential,
    ApiKey,
    Jwt,
    BearerToken,
    CredentialUrl,
    Card,
    UsSsn,
    Iban,
    Email,
    Phone,
    Ipv6,
    Ipv4,
}

impl Entity {
    pub const ALL: [Entity; 12] = [
        Entity::Credential,
        Entity::ApiKey,
        Entity::Jwt,
        Entity::BearerToken,
        Entity::CredentialUrl,
        Entity::Card,
        Entity::UsSsn,
        Entity::Iban,
        Entity::Email,
        Entity::Phone,
        Entity::Ipv6,
        Entity::Ipv4,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Entity::Credential => "credential",
            Entity::ApiKey => "api_key",
            Entity::Jwt => "jwt",
            Entity::BearerToken => "bearer_token",
            Entity::CredentialUrl => "credential_url",
            Entity::Card => "card",
            Entity::UsSsn => "us_ssn",
            Entity::Iban => "iban",
            Entity::Email => "email",
            Entity::Phone => "phone",
            Entity::Ipv6 => "ipv6",
            Entity::Ipv4 => "ipv4",
        }
    }

    pub fn parse(name: &str) -> Option<Entity> {
        Entity::ALL.into_iter().find(|entity| entity.name() == name)
    }

    /// Whether its value points at a person; secrets point at none.
    pub const fn is_identifying(self) -> bool {
        matches!(
            self,
            Entity::Card | Entity::UsSsn | Entity::Iban | Entity::Email | Entity::Phone | Entity::Ipv6 | Entity::Ipv4
        )
    }
}

/// What is done with a value that was found; ordered by strength.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Action {
    Tag,
    Hash,
    Mask,
    Drop,
}

impl Action {
    pub fn parse(name: &str) -> Option<Action> {
        match name {
            "tag" => Some(Action::Tag),
            "hash" => Some(Action::Hash),
            "mask" => Some(Action::Mask),
            "drop" => Some(Action::Drop),
            _ => None,
        }
    }
}

/// Stands in `pii` when a sender declares personal data of a type the policy does not know.
pub const DECLARED: &str = "declared";
/// Stands in `pii` when the policy could not look.
pub const UNCHECKED: &str = "unchecked";
/// Stands where text was that could not be checked.
pub const WITHHELD: &str = "<withheld>";
