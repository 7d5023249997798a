//! Finding secrets written out in a flow, before anything reaches the store or Git.
//!
//! A guess that errs on the safe side: a flow is refused when a place that holds secrets holds
//! text of its own, or when a text looks like a key of a well-known service.

use crate::plan::builder::{Part, Template};

/// Headers whose value is a secret.
pub(super) fn is_secret_header(name: &str) -> bool {
    let name = plain(name);
    is_secret_name(&name) || name.ends_with("token") || name.ends_with("authorization")
}

/// Fields whose value is a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    const PARTS: [&str; 9] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "apikey",
        "accesskey",
        "privatekey",
        "accesstoken",
        "refreshtoken",
    ];
    let name = plain(name);
    PARTS.iter().any(|part| name.contains(part))
        || matches!(name.as_str(), "token" | "authorization" | "cookie" | "authtoken")
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a template in a place for secrets has text of its own, beside a scheme such as `Bearer`.
pub(super) fn spells_out(template: &Template) -> bool {
    let own_text = |text: &str| {
        let text = text.trim();
        !(text.is_empty() || ["Bearer", "Basic", "Token", "ApiKey"].contains(&text))
    };
    match template {
        Template::Literal(value) => value.as_str().is_some_and(own_text) || value.is_number(),
        Template::Text(parts) => parts.iter().any(|part| match part {
            Part::Text(text) => own_text(text),
            Part::Reference(_) => false,
        }),
        Template::Reference(_) | Template::List(_) | Template::Object(_) => false,
    }
}

/// Whether a text holds something that looks like a key of a well-known service.
pub(crate) fn looks_like_secret(text: &str) -> bool {
    const KEYS: [(&str, usize); 8] = [
        ("sk-", 20),
        ("ghp_", 30),
        ("gho_", 30),
        ("github_pat_", 20),
        ("glpat-", 20),
        ("xoxb-", 20),
        ("AKIA", 16),
        ("AIza", 30),
    ];
    let is_key = |(prefix, length): &(&str, usize)| {
        text.match_indices(prefix).any(|(at, _)| {
            let starts = text[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
            let rest = &text[at + prefix.len()..];
            let body = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-_".contains(b));
            starts && body.count() >= *length
        })
    };
    text.contains("PRIVATE KEY-----") || KEYS.iter().any(is_key)
}

/// Whether the authority of a URL's literal beginning holds a user name or password.
pub(super) fn has_userinfo(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    authority.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_for_secrets_are_known_by_name() {
        for name in ["Authorization", "X-Api-Key", "Cookie", "PRIVATE-TOKEN", "X-Auth-Token"] {
            assert!(is_secret_header(name), "{name}");
        }
        for name in ["Accept", "Content-Type", "X-Request-Id"] {
            assert!(!is_secret_header(name), "{name}");
        }
        for name in ["password", "dbPassword", "client_secret", "api-key", "token"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["max_tokens", "next_page_token", "name"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn a_scheme_before_a_reference_is_no_secret_but_text_is() {
        assert!(!spells_out(&Template::Literal(json!(""))));
        assert!(spells_out(&Template::Literal(json!("Bearer abc"))));
        assert!(!spells_out(&Template::Text(vec![Part::Text("Bearer ".into())])));
        assert!(spells_out(&Template::Text(vec![Part::Text("Bearer abc".into())])));
    }

    #[test]
    fn keys_of_services_are_recognised_inside_text() {
        let body = "a1B2".repeat(10);
        for text in [
            format!("use sk-{body}."),
            format!("ghp_{body}"),
            "-----BEGIN RSA PRIVATE KEY-----".to_owned(),
        ] {
            assert!(looks_like_secret(&text), "{text}");
        }
        for text in ["task-management-and-other-long-words", "sk-short", "AKIA", "a risk-free plan"]
        {
            assert!(!looks_like_secret(text), "{text}");
        }
        assert!(has_userinfo("https://user:pass@example.org/"));
        assert!(!has_userinfo("https://example.org/@user"));
    }
}
