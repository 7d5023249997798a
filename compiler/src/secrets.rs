//! Secrets written out anywhere in a flow, found by their look before anything reaches the store or
//! Git.
//!
//! Forms of tokens that services document and secret scanners know. A form must be precise: a text
//! that only speaks of tokens, or shows where one goes, is no secret.

use serde_json::Value;

use crate::langflow;
use crate::problem::{Findings, Place, Pointer, Problems};

/// At most so many are named; a flow with more has another problem.
const MOST: usize = 64;

/// Refuses a flow in which any text, or any member's name, looks like a secret. No message repeats
/// it. Sources that a release of lfx holds are not secret, whatever is in them.
pub(crate) fn check(flow: &Value) -> Result<(), Problems> {
    let mut places = Vec::new();
    find(flow, &Place::Root, &mut places);
    let mut findings = Findings::default();
    for (place, what) in places {
        let detail = format!(
            "{what} looks like a secret, and a secret is never written out; use a credential \
             (Builder), a global variable (LangFlow) or a connection (ActivePieces)"
        );
        findings.add("E_PLAINTEXT_SECRET", &place, detail);
    }
    findings.finish().map(|_| ())
}

fn find(value: &Value, place: &Place<'_>, found: &mut Vec<(Pointer, &'static str)>) {
    match value {
        _ if found.len() >= MOST => {}
        Value::String(text) if looks_like_secret(text) && !langflow::is_known_source(text) => {
            found.push((place.pointer(), "this text"));
        }
        Value::Array(items) if !is_known_list(value, items) => {
            for (index, item) in items.iter().enumerate() {
                find(item, &Place::Index(place, index), found);
            }
        }
        Value::Object(members) => {
            // What is below such a name has no place that can be said.
            let (named, others): (Vec<_>, Vec<_>) =
                members.iter().partition(|(name, _)| looks_like_secret(name));
            if !named.is_empty() {
                found.push((place.pointer(), "the name of a member"));
            }
            for (name, member) in others {
                find(member, &Place::Key(place, name), found);
            }
        }
        _ => {}
    }
}

/// A source may be a list of lines, of which one looks like a secret.
fn is_known_list(value: &Value, items: &[Value]) -> bool {
    items.iter().filter_map(Value::as_str).any(looks_like_secret)
        && langflow::source_text(value).is_some_and(|source| langflow::is_known_source(&source))
}

/// A documented beginning of tokens, and how many characters follow at least.
struct Form(&'static [u8], usize);

/// By beginning. `GitHub`, `GitLab`, Slack, AWS, Google, Stripe, Hugging Face, npm and the makers of
/// language models, of which most begin with `sk-`.
const FORMS: [Form; 22] = [
    Form(b"sk-", 20),
    Form(b"gsk_", 30),
    Form(b"ghp_", 30),
    Form(b"gho_", 30),
    Form(b"ghu_", 30),
    Form(b"ghs_", 30),
    Form(b"ghr_", 30),
    Form(b"github_pat_", 20),
    Form(b"glpat-", 20),
    Form(b"xoxa-", 20),
    Form(b"xoxb-", 20),
    Form(b"xoxe-", 20),
    Form(b"xoxp-", 20),
    Form(b"xoxr-", 20),
    Form(b"xoxs-", 20),
    Form(b"AKIA", 16),
    Form(b"ASIA", 16),
    Form(b"AIza", 30),
    Form(b"sk_live_", 20),
    Form(b"rk_live_", 20),
    Form(b"hf_", 30),
    Form(b"npm_", 30),
];

/// Whether a text holds something that looks like a secret. One pass: only where a word begins can
/// a form begin. Nearly every byte is told by the table alone.
fn looks_like_secret(text: &str) -> bool {
    let text = text.as_bytes();
    let mut inside = false;
    for (at, byte) in text.iter().enumerate() {
        let class = CLASSES[usize::from(*byte)];
        let begins = class == Class::First && (!inside || is_escape(&text[..at]));
        inside = class != Class::Between;
        if begins && may_begin(&text[at..]) && is_secret(&text[..at], &text[at..]) {
            return true;
        }
    }
    false
}

/// What a byte is to the search.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// No part of a word.
    Between,
    /// Part of a word.
    Word,
    /// The same, and what a form begins with.
    First,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Between; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'e' | b'B' | b'b' | b's' | b'g' | b'x' | b'A' | b'r' | b'h' | b'n' => Class::First,
            other if other.is_ascii_alphanumeric() => Class::Word,
            _ => Class::Between,
        };
        byte += 1;
    }
    classes
};

/// Whether the first two bytes are those of a form, which they are of few words.
const fn may_begin(rest: &[u8]) -> bool {
    matches!(
        rest,
        [b'e', b'y', ..]
            | [b'B' | b'b', b'E' | b'e', ..]
            | [b's' | b'r', b'k', ..]
            | [b'g', b's' | b'h' | b'i' | b'l', ..]
            | [b'x', b'o', ..]
            | [b'A', b'K' | b'S' | b'I', ..]
            | [b'h', b'f', ..]
            | [b'n', b'p', ..]
    )
}

/// Whether the letter before belongs to an escape such as `\n`, as in code.
fn is_escape(before: &[u8]) -> bool {
    matches!(before, [.., b'\\', b'n' | b'r' | b't'])
}

fn is_secret(before: &[u8], rest: &[u8]) -> bool {
    match rest[0] {
        b'e' if rest.starts_with(b"eyJ") => is_jwt(rest),
        b'B' if rest.starts_with(b"BEGIN ") => before.ends_with(b"-----") && is_key(rest),
        b'B' | b'b' => is_bearer(rest),
        b's' | b'g' | b'x' | b'A' | b'r' | b'h' | b'n' => {
            FORMS.iter().any(|Form(beginning, length)| {
                rest.strip_prefix(*beginning).is_some_and(|body| is_token(body, *length))
            })
        }
        _ => false,
    }
}

/// A body of at least `length` characters with twelve in a row that no word has: of two kinds among
/// capitals, small letters and digits. `sk-your-key-goes-here` and `ghp_xxxx` have none.
fn is_token(body: &[u8], length: usize) -> bool {
    let body = run(body, b"-_", 256);
    let part = |part: &[u8]| part.len() >= 12 && kinds(part) >= 2;
    body.len() >= length && body.split(|b| b"-_".contains(b)).any(part)
}

fn kinds(text: &[u8]) -> usize {
    let has = |kind: fn(&u8) -> bool| usize::from(text.iter().any(kind));
    has(u8::is_ascii_uppercase) + has(u8::is_ascii_lowercase) + has(u8::is_ascii_digit)
}

/// RFC 6750, section 2.1: `Bearer` and an opaque token, which has letters and digits.
fn is_bearer(rest: &[u8]) -> bool {
    let Some((scheme, after)) = rest.split_at_checked(7) else { return false };
    let token = run(after.trim_ascii_start(), b"-._~+/=", 256);
    scheme.eq_ignore_ascii_case(b"bearer ")
        && token.len() >= 20
        && token.iter().any(u8::is_ascii_digit)
        && token.iter().any(u8::is_ascii_alphabetic)
}

/// RFC 7515, section 7.1: three parts in base64url, of which two are JSON objects (`{"` is `eyJ`).
fn is_jwt(rest: &[u8]) -> bool {
    let header = run(rest, b"-_", 512).len();
    let Some(rest) = rest[header..].strip_prefix(b".") else { return false };
    let payload = if rest.starts_with(b"eyJ") { run(rest, b"-_", 4096).len() } else { 0 };
    let Some(rest) = rest[payload..].strip_prefix(b".") else { return false };
    header >= 12 && payload >= 8 && run(rest, b"-_", 16).len() == 16
}

/// RFC 7468: `-----BEGIN`, a label that ends in `PRIVATE KEY`, `-----`; also as in `OpenPGP`.
fn is_key(rest: &[u8]) -> bool {
    let label = rest.iter().take(60).take_while(|b| b.is_ascii_uppercase() || **b == b' ').count();
    let (label, after) = rest.split_at(label);
    let label = label.strip_suffix(b" BLOCK").unwrap_or(label);
    label.ends_with(b"PRIVATE KEY") && after.starts_with(b"-----")
}

/// The longest beginning of letters, digits and `others`. Never over `most` bytes, so that a text of
/// nothing but beginnings costs no more than its length.
fn run<'a>(text: &'a [u8], others: &[u8], most: usize) -> &'a [u8] {
    let part_of = |byte: &&u8| byte.is_ascii_alphanumeric() || others.contains(byte);
    &text[..text.iter().take(most).take_while(part_of).count()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Made up here, so that no scanner takes this file for a leak.
    fn tokens() -> Vec<String> {
        let body = "a1B2c3D4".repeat(8);
        let mut tokens: Vec<_> = FORMS
            .iter()
            .map(|Form(beginning, _)| format!("{}{body}", str::from_utf8(beginning).unwrap()))
            .collect();
        tokens.push(format!("Bearer {body}"));
        tokens.push(format!("bearer  {}", "0f".repeat(10)));
        tokens.push(format!("eyJ{body}.eyJ{body}.{body}"));
        tokens.push(format!("AKIA{}", "Q7".repeat(8)));
        tokens.extend(
            ["RSA ", "EC ", "OPENSSH ", ""]
                .map(|kind| format!("-----{} {kind}{} KEY-----", "BEGIN", "PRIVATE")),
        );
        tokens.push(format!("-----{} PGP {} KEY BLOCK-----", "BEGIN", "PRIVATE"));
        tokens
    }

    #[test]
    fn tokens_are_recognised_wherever_they_stand() {
        for token in tokens() {
            for text in [
                token.clone(),
                format!("use {token}, please"),
                format!("KEY={token}"),
                format!("key = \"{token}\""),
                format!("first\\n{token}"),
                format!("é{token}"),
            ] {
                assert!(looks_like_secret(&text), "{text}");
            }
        }
    }

    /// The tables are a short cut to [`is_secret`], and must leave out no form.
    #[test]
    fn every_form_may_begin() {
        for token in tokens() {
            let begins = token.trim_start_matches('-').as_bytes();
            assert!(
                CLASSES[usize::from(begins[0])] == Class::First && may_begin(begins),
                "{token}"
            );
        }
        for scheme in ["Bearer", "BEARER", "bearer", "bEARER"] {
            assert!(looks_like_secret(&format!("{scheme} {}", "0f".repeat(10))), "{scheme}");
        }
    }

    #[test]
    fn talk_of_tokens_is_none() {
        for text in [
            "task-management-and-other-long-words-2024",
            "sk-short",
            "sk-your-api-key-goes-right-here",
            "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "GHP_YOUR_TOKEN",
            "AKIA",
            "AIza",
            "a risk-free plan for 2026",
            "Bearer {token}",
            "Bearer <your token here>",
            "Authorization: Bearer YOUR_API_KEY",
            "Bearer authentication-is-required-for-this",
            "eyJhbGciOi",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----",
            "a PRIVATE KEY-----",
            "re.compile(r\"sk-[A-Za-z0-9]{20,}\")",
        ] {
            assert!(!looks_like_secret(text), "{text}");
        }
    }

    /// Values and names, in any depth, each place once and without the secret.
    #[test]
    fn a_secret_is_reported_by_its_place_alone() {
        for token in tokens() {
            let flow = json!({
                "a": [{"b/c": token.as_str()}, 1],
                "m": {"k": {token.as_str(): {token.as_str(): token.as_str()}, "fine": [token]}},
            });
            let problems = check(&flow).unwrap_err();
            let places: Vec<_> = problems.as_slice().iter().map(|p| p.pointer.as_str()).collect();
            assert_eq!(places, ["/a/0/b~1c", "/m/k", "/m/k/fine/0"]);
            assert!(problems.as_slice().iter().all(|p| p.code == "E_PLAINTEXT_SECRET"));
            assert!(!problems.to_string().contains(&token[..20]), "{problems}");
        }
    }

    #[test]
    fn a_flow_full_of_secrets_gives_a_short_answer() {
        let key = tokens().swap_remove(0);
        let problems = check(&json!({"x": vec![key; 1000]})).unwrap_err();
        assert_eq!(problems.as_slice().len(), MOST);
    }
}
