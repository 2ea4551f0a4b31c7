//! The table of what is looked for: per pattern a regex and a check. See the twin for what each is about.

use std::sync::LazyLock;

use regex::Regex;

use super::addresses;
use super::entities::Entity;
use super::numbers::{self, Answer};
use super::secrets;

/// Where in a match the value begins.
#[derive(Clone, Copy)]
enum Begin {
    /// At its beginning.
    Match,
    /// Behind a boundary: one character that is neither letter nor digit, or the beginning of the text.
    Boundary,
    /// Behind so many bytes.
    Behind(usize),
    /// Where group 1 says.
    Group,
}

/// One way in which an entity is written.
pub struct Pattern {
    pub entity: Entity,
    regex: Option<Regex>,
    begin: Begin,
    check: fn(&str, usize, usize) -> Answer,
}

impl Pattern {
    fn new(entity: Entity, begin: Begin, check: fn(&str, usize, usize) -> Answer, regex: &str) -> Self {
        Pattern { entity, regex: Regex::new(regex).ok(), begin, check }
    }

    /// Calls `hit` with the bounds of each.
    pub fn each(&self, text: &str, mut hit: impl FnMut(usize, usize)) {
        let Some(regex) = &self.regex else { return };
        let mut position = 0;
        while let Some((start, end)) = self.next(regex, text, position) {
            position = match (self.check)(text, start, end) {
                Answer::Hit(start, end) => {
                    hit(start, end);
                    end
                }
                Answer::On(position) => position,
            };
            while !text.is_char_boundary(position) {
                position += 1;
            }
        }
    }

    /// The value in the next match from `position` on.
    fn next(&self, regex: &Regex, text: &str, position: usize) -> Option<(usize, usize)> {
        if let Begin::Group = self.begin {
            let group = regex.captures_at(text, position)?.get(1)?;
            return Some((group.start(), group.end()));
        }
        let found = regex.find_at(text, position)?;
        let boundary = || {
            let first = text[found.start()..].chars().next();
            first.filter(|character| !character.is_ascii_alphanumeric()).map_or(0, char::len_utf8)
        };
        let behind = match self.begin {
            Begin::Match | Begin::Group => 0,
            Begin::Boundary => boundary(),
            Begin::Behind(bytes) => bytes,
        };
        Some((found.start() + behind, found.end()))
    }
}

/// A regex for an ASCII word in any letter case.
fn any_case(word: &str) -> String {
    let spelled = |letter: char| match letter {
        'a'..='z' => format!("[{}{letter}]", letter.to_ascii_uppercase()),
        _ => letter.to_string(),
    };
    word.chars().map(spelled).collect()
}

fn any_of(words: &[&str]) -> String {
    words.iter().map(|word| any_case(word)).collect::<Vec<_>>().join("|")
}

/// Names of which the two parts may be joined by `_` or `-`.
const SECRET_NAMES: [(&str, &str); 14] = [
    ("password", ""),
    ("passwd", ""),
    ("passphrase", ""),
    ("secret", ""),
    ("secret", "key"),
    ("api", "key"),
    ("access", "key"),
    ("private", "key"),
    ("access", "token"),
    ("refresh", "token"),
    ("id", "token"),
    ("auth", "token"),
    ("session", "token"),
    ("authorization", ""),
];

fn secret_names() -> String {
    let name = |(first, second): &(&str, &str)| {
        if second.is_empty() { any_case(first) } else { format!("{}[_-]?{}", any_case(first), any_case(second)) }
    };
    SECRET_NAMES.iter().map(name).collect::<Vec<_>>().join("|")
}

pub static ASSIGNED: LazyLock<[Pattern; 7]> = LazyLock::new(|| {
    let names = format!("(?:{})", secret_names());
    let unsure = format!("(?:^|[^A-Za-z0-9_-])(?:{})", any_of(&["token", "pwd", "cookie", "set-cookie"]));
    let headers = format!("(?:{})", any_of(&["api-key", "auth-token", "password", "passwd"]));
    let pattern =
        |check, name: &str, rest: &str| Pattern::new(Entity::Credential, Begin::Group, check, &format!("{name}{rest}"));
    [
        pattern(secrets::assigned, &names, r#""[ ]?:[ ]?"((?:[^"\\]|\\[^\n])+)"#),
        pattern(secrets::assigned, &names, r"'[ ]?:[ ]?'((?:[^'\\]|\\[^\n])+)"),
        pattern(secrets::assigned_random, &unsure, r#"["']?[ ]?[=:][ ]?["']([^"'\\ \n]+)"#),
        pattern(secrets::assigned_random, &unsure, r#"=([^ \t\r\n"'&;,<>(){}\[\]\\]+)"#),
        pattern(secrets::assigned_random, &headers, r#"[ ]?:[ ]([^ \t\r\n"',<>(){}\[\]\\]+)"#),
        pattern(secrets::assigned_random, &any_case("cookie"), r#":[ ]?([^\r\n"'<>\\]+)"#),
        pattern(secrets::assigned, &names, r#"=["']?([^ \t\r\n"'&;,<>(){}\[\]\\]+)"#),
    ]
});

pub static API_KEYS: LazyLock<[Pattern; 10]> = LazyLock::new(|| {
    let pattern = |check, key: &str| {
        Pattern::new(Entity::ApiKey, Begin::Boundary, check, &format!("(?:^|[^A-Za-z0-9])(?:{key})"))
    };
    [
        pattern(secrets::whole_word, "(?:AKIA|ASIA)[A-Z0-9]{16}"),
        pattern(secrets::whole_word, "AIza[A-Za-z0-9_-]{35}"),
        pattern(secrets::mixed_word, "gh[pousr]_[A-Za-z0-9]{36,255}"),
        pattern(secrets::mixed_word, "github_pat_[A-Za-z0-9_]{22,255}"),
        pattern(secrets::mixed_word, "glpat-[A-Za-z0-9_-]{20,255}"),
        pattern(secrets::mixed_word, "xox[abeoprs]-[A-Za-z0-9-]{10,255}"),
        pattern(secrets::mixed_word, "[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}"),
        pattern(secrets::mixed_run, "sk-[A-Za-z0-9_-]{20,255}"),
        pattern(secrets::mixed_word, "hf_[A-Za-z0-9]{30,255}"),
        pattern(secrets::mixed_word, "npm_[A-Za-z0-9]{36}"),
    ]
});

/// What one of `API_KEYS` begins with.
pub static KEY_BEGINS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new("A[KS]IA|AIza|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|[rs]k_(?:live|test)_|sk-|hf_|npm_").ok()
});

pub static PRIVATE_KEY: LazyLock<Pattern> = LazyLock::new(|| {
    let block = "-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----";
    Pattern::new(Entity::ApiKey, Begin::Match, secrets::private_key, block)
});

pub static JWT: LazyLock<Pattern> = LazyLock::new(|| {
    let token = r"(?:^|[^A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){1,3}";
    Pattern::new(Entity::Jwt, Begin::Boundary, secrets::whole_word, token)
});

/// The words before which a token of `AUTHORIZATION` stands.
pub static SCHEMES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!("(?:{}) ", any_of(&["bearer", "basic"]))).ok());

pub static AUTHORIZATION: LazyLock<Pattern> = LazyLock::new(|| {
    let schemes = any_of(&["bearer", "basic"]);
    let header = format!("(?:^|[^A-Za-z0-9])(?:{schemes})[ ]{{1,4}}[A-Za-z0-9._~+/=-]{{4,}}");
    Pattern::new(Entity::BearerToken, Begin::Boundary, secrets::authorization, &header)
});

pub static AT_SIGN: LazyLock<[Pattern; 2]> = LazyLock::new(|| {
    let letters = r"A-Za-z0-9\u{c0}-\u{2af}\u{370}-\u{58f}";
    let top_level = r"A-Za-z\u{c0}-\u{2af}\u{370}-\u{58f}";
    let url = r#"://[^ \t\r\n/?#@:"'<>]{0,256}:[^ \t\r\n/?#@"'<>]{1,256}@[A-Za-z0-9._-]{1,255}"#;
    let email = format!(r"[{letters}._+-]{{1,64}}@(?:[{letters}][{letters}-]{{0,62}}\.){{1,8}}[{top_level}]{{2,24}}");
    [
        Pattern::new(Entity::CredentialUrl, Begin::Behind("://".len()), secrets::in_url, url),
        Pattern::new(Entity::Email, Begin::Match, addresses::email, &email),
    ]
});

pub static CARD: LazyLock<Pattern> = LazyLock::new(|| {
    let shapes = [
        "[0-9]{13,19}",
        "[0-9]{4}(?:[ -][0-9]{4}){2,3}[ -][0-9]{1,4}",
        "[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5}",
        "[0-9]{8}[ -][0-9]{8}",
    ];
    Pattern::new(Entity::Card, Begin::Match, numbers::card, &shapes.join("|"))
});

pub static US_SSN: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(Entity::UsSsn, Begin::Match, numbers::us_ssn, "[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} )[0-9]{4}")
});

pub static NATIONAL: LazyLock<Pattern> = LazyLock::new(|| {
    let number = r"(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ .-]?|[2-9][0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}";
    Pattern::new(Entity::Phone, Begin::Match, numbers::national, number)
});

pub static PAIRS: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(Entity::Phone, Begin::Match, numbers::pairs, "0[1-9](?:[ .-][0-9]{2}){4}"));

pub static INTERNATIONAL: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(Entity::Phone, Begin::Match, numbers::international, r"\+[1-9](?:[ .()-]{0,2}[0-9]){7,14}")
});

pub static IPV4: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(Entity::Ipv4, Begin::Match, addresses::ipv4, r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"));

pub static IPV6: LazyLock<Pattern> = LazyLock::new(|| {
    let address = r"(?:[0-9A-Fa-f]{1,4})?(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?:\.[0-9]{1,3}){3})?";
    Pattern::new(Entity::Ipv6, Begin::Match, addresses::ipv6, address)
});
