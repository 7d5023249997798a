//! Places of a Builder flow that hold secrets, and must not hold text of their own. What looks like a
//! secret in any other place is found by [`crate::secrets`].

use crate::plan::builder::{Part, Template};

/// Headers whose value is a secret.
pub(crate) fn is_secret_header(name: &str) -> bool {
    let name = plain(name);
    is_secret_name(&name) || name.ends_with("token") || name.ends_with("authorization")
}

/// Fields whose value is a secret.
pub(crate) fn is_secret_name(name: &str) -> bool {
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

/// Whether the authority of a URL's literal beginning holds a user name or password.
pub(crate) fn has_userinfo(url: &str) -> bool {
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
    fn a_user_in_an_address_is_seen() {
        assert!(has_userinfo("https://user:pass@example.org/"));
        assert!(!has_userinfo("https://example.org/@user"));
    }
}
