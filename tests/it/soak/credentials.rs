//! What a tenant's people hold. The operator replaces some of it while they work.

use std::sync::RwLock;

use colophon::keys::MasterKey;
use serde_json::{Value, json};

use super::site::Site;
use crate::support::Answer;
use crate::support::sign::Headers;

/// Kinds of tokens, in the order in which they are made.
pub(super) const KINDS: [&str; 4] = ["api", "git", "edge", "auditor"];

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) text: String,
}

/// Secrets and tokens of one tenant.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub(super) secret: String,
    pub(super) static_key: String,
    pub(super) generation: u32,
    tokens: Vec<Token>,
}

impl Credentials {
    pub(super) fn new(keys: &MasterKey, made: &Value) -> Self {
        let uid = uid(made);
        let tokens = made["tokens"].as_array().unwrap().iter().map(Token::new).collect();
        Self {
            secret: keys.webhook_secret(uid, 1),
            static_key: keys.webhook_static_key(uid, 1),
            generation: 1,
            tokens,
        }
    }

    pub(super) fn token(&self, kind: &str) -> &Token {
        &self.tokens[KINDS.iter().position(|k| *k == kind).unwrap()]
    }

    pub(super) fn replace(&mut self, kind: &str, token: Token) {
        let at = KINDS.iter().position(|k| *k == kind).unwrap();
        self.tokens[at] = token;
    }
}

impl Token {
    pub(super) fn new(made: &Value) -> Self {
        let text = |member: &str| made[member].as_str().unwrap().to_owned();
        Self { id: text("id"), text: text("token") }
    }
}

fn uid(made: &Value) -> colophon_model::TenantUid {
    serde_json::from_value(made["uid"].clone()).unwrap()
}

/// The operator of the server, who makes tenants and lets nothing rest.
pub(super) struct Operator {
    bearer: String,
}

impl Operator {
    pub(super) fn new(keys: &MasterKey) -> Self {
        Self { bearer: format!("Bearer {}", keys.operator_token().reveal()) }
    }

    pub(super) fn ask(
        &self,
        site: &Site,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Option<Answer> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let headers: Headers = vec![("authorization", self.bearer.clone())];
        site.ask((method, path), &headers, text.as_bytes())
    }

    /// Makes a tenant, with a token of each kind and a hook for Standard Webhooks.
    pub(super) fn tenant(&self, site: &Site, slug: &str) -> (Value, String) {
        let wanted = json!({"slug": slug, "components": "allow-custom", "tokens": KINDS});
        let made = self.ask(site, "POST", "/v1/tenants", &wanted).unwrap();
        assert_eq!(made.status, 201, "{:#}", made.json());
        let path = format!("/v1/tenants/{slug}/hooks");
        let hook = self.ask(site, "POST", &path, &json!({"scheme": "standard", "label": "soak"}));
        let hook = hook.unwrap();
        assert_eq!(hook.status, 201, "{:#}", hook.json());
        (made.json(), hook.json()["id"].as_str().unwrap().to_owned())
    }

    /// Gives a tenant another token of `kind`; the old one stays good for an hour. An answer that is lost leaves
    /// a token that nobody knows, so another one is made.
    pub(super) fn rotate_token(
        &self,
        site: &Site,
        slug: &str,
        kind: &str,
        held: &RwLock<Credentials>,
    ) {
        let old = held.read().unwrap().token(kind).id.clone();
        let path = format!("/v1/tenants/{slug}/tokens/{old}/rotate");
        let Some(made) = self.ask(site, "POST", &path, &json!({"overlap": "1h"})) else { return };
        let made = match made.status {
            201 => made,
            409 if made.code() == "token-replaced" => {
                let path = format!("/v1/tenants/{slug}/tokens");
                let Some(made) = self.ask(site, "POST", &path, &json!({"kind": kind})) else {
                    return;
                };
                made
            }
            _ => {
                return site
                    .is_wrong(format!("a rotation of {slug}'s {kind} token: {:#}", made.json()));
            }
        };
        if made.status != 201 {
            return site.is_wrong(format!("a new {kind} token of {slug}: {:#}", made.json()));
        }
        site.count("tokens rotated");
        held.write().unwrap().replace(kind, Token::new(&made.json()));
    }

    /// Gives a tenant another webhook secret; the one before stays good, those before that end.
    pub(super) fn rotate_secret(&self, site: &Site, slug: &str, held: &RwLock<Credentials>) {
        let path = format!("/v1/tenants/{slug}/webhook/secrets");
        let Some(made) = self.ask(site, "POST", &path, &json!({"overlap": "1h"})) else { return };
        if made.status == 409 && made.code() == "too-many-secrets" {
            return self.end_old_secrets(site, slug, held.read().unwrap().generation);
        }
        if made.status != 201 {
            return site.is_wrong(format!("a new secret of {slug}: {:#}", made.json()));
        }
        site.count("secrets rotated");
        let made = made.json();
        let mut held = held.write().unwrap();
        held.generation = u32::try_from(made["generation"].as_u64().unwrap()).unwrap();
        made["secret"].as_str().unwrap().clone_into(&mut held.secret);
        made["static_key"].as_str().unwrap().clone_into(&mut held.static_key);
    }

    /// Ends every secret older than the one that is in use, two before it at least: answers on their way may
    /// still be to deliveries signed with the last one.
    fn end_old_secrets(&self, site: &Site, slug: &str, used: u32) {
        for generation in 1..used.saturating_sub(1) {
            let path = format!("/v1/tenants/{slug}/webhook/secrets/{generation}");
            let Some(ended) = self.ask(site, "DELETE", &path, &Value::Null) else { return };
            if ended.status != 200 && ended.status != 404 {
                return site.is_wrong(format!("{slug}'s secret {generation}: {:#}", ended.json()));
            }
        }
    }
}
