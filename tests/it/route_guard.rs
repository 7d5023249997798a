//! No route tells one tenant of another. The list of routes comes from the router itself, and a route without a
//! case fails. Each is asked with every kind of token that a thief may hold, and with none: once about what
//! the victim has, once about what nobody has. Status, headers and body must be the same to the byte, but for
//! the names that the thief sent. That the questions are good ones is shown by the victim, who gets an
//! answer to them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::console::Visitor as Visited;
use crate::support::raw::{Raw, exchange};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

/// Who may ask at a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Anybody, and the answer is about no tenant.
    Anyone,
    /// The operator alone.
    Operator,
    /// A tenant, about its own.
    Tenant,
    /// Whoever is logged in at the console: the operator, and an auditor about its own tenant.
    Visitor,
    /// The operator at the console alone.
    Desk,
    /// Anybody who comes to the console's door, or goes.
    Door,
}

/// A route, who may ask, and what is sent.
struct Case {
    method: &'static str,
    route: &'static str,
    who: Who,
    body: &'static str,
}

const fn case(method: &'static str, route: &'static str, who: Who, body: &'static str) -> Case {
    Case { method, route, who, body }
}

use Who::{Anyone, Desk, Door, Operator, Tenant, Visitor};

const CASES: &[Case] = &[
    case("get", "/healthz", Anyone, ""),
    case("get", "/readyz", Anyone, ""),
    case("get", "/v1/openapi.json", Anyone, ""),
    case("get", "/v1/docs", Anyone, ""),
    case("get", "/v1/schema/flow.json", Anyone, ""),
    case("get", "/v1/operator/proof/{nonce}", Anyone, ""),
    case("get", "/v1/keys/operator", Anyone, ""),
    case("get", "/v1/keys/git", Anyone, ""),
    case("get", "/v1/keys/attestation", Anyone, ""),
    case("get", "/v1/keys/attestation/{name}", Anyone, ""),
    case("get", "/v1/keys/audit", Anyone, ""),
    case("get", "/v1/audit", Operator, ""),
    case("get", "/v1/audit/lines", Operator, ""),
    case("get", "/v1/audit/checkpoint", Operator, ""),
    case("post", "/v1/maintenance/audit/verify", Operator, ""),
    case("post", "/v1/maintenance/audit/checkpoint", Operator, ""),
    case("post", "/v1/maintenance/gc", Operator, ""),
    case("post", "/v1/maintenance/fsck", Operator, ""),
    case("post", "/v1/maintenance/purge", Operator, r#"{"tenant": "{slug}"}"#),
    case("post", "/v1/maintenance/backup", Operator, ""),
    case(
        "post",
        "/v1/maintenance/export",
        Operator,
        r#"{"to": "memory://guard", "tenants": ["{slug}"]}"#,
    ),
    case(
        "post",
        "/v1/maintenance/export/drill",
        Operator,
        r#"{"from": "memory://guard", "tenants": ["{slug}"]}"#,
    ),
    case(
        "post",
        "/v1/maintenance/import",
        Operator,
        r#"{"from": "memory://guard", "tenants": ["{slug}"]}"#,
    ),
    case("post", "/v1/maintenance/export/identity", Operator, r#"{"tenant": "{slug}"}"#),
    case("post", "/v1/maintenance/export/rotate-key", Operator, r#"{"tenant": "{slug}"}"#),
    case("post", "/v1/maintenance/rebuild", Operator, r#"{"tenant": "{slug}"}"#),
    case("post", "/v1/maintenance/edge/resign", Operator, r#"{"tenants": ["{slug}"]}"#),
    case("post", "/v1/maintenance/edge/rotate", Operator, r#"{"tenant": "{slug}"}"#),
    case("post", "/v1/maintenance/edge/rollback", Operator, r#"{"tenant": "{slug}"}"#),
    case("post", "/v1/maintenance/edge/archive", Operator, r#"{"tenant": "{slug}"}"#),
    case("post", "/v1/maintenance/keys/request", Operator, ""),
    case("post", "/v1/maintenance/keys/import", Operator, ""),
    case("post", "/v1/maintenance/git/rebuild", Operator, r#"{"tenant": "{slug}"}"#),
    case("post", "/v1/maintenance/git/export", Operator, r#"{"tenant": "{slug}"}"#),
    case("post", "/v1/maintenance/git/bundle", Operator, r#"{"tenant": "{slug}"}"#),
    case("get", "/v1/maintenance/blobs/{digest}", Operator, ""),
    case("get", "/v1/tenants", Operator, ""),
    case("post", "/v1/tenants", Operator, r#"{"slug": "{slug}"}"#),
    case("get", "/v1/tenants/{slug}", Operator, ""),
    case("delete", "/v1/tenants/{slug}", Operator, ""),
    case("post", "/v1/tenants/{slug}/suspend", Operator, ""),
    case("post", "/v1/tenants/{slug}/resume", Operator, ""),
    case("post", "/v1/tenants/{slug}/archive", Operator, ""),
    case("post", "/v1/tenants/{slug}/restore", Operator, ""),
    case("post", "/v1/tenants/{slug}/hold", Operator, ""),
    case("post", "/v1/tenants/{slug}/release", Operator, ""),
    case("get", "/v1/tenants/{slug}/tokens", Operator, ""),
    case("post", "/v1/tenants/{slug}/tokens", Operator, r#"{"kind": "api"}"#),
    case("delete", "/v1/tenants/{slug}/tokens", Operator, ""),
    case("get", "/v1/tenants/{slug}/tokens/{id}", Operator, ""),
    case("delete", "/v1/tenants/{slug}/tokens/{id}", Operator, ""),
    case("post", "/v1/tenants/{slug}/tokens/{id}/rotate", Operator, ""),
    case("get", "/v1/tenants/{slug}/mirror", Operator, ""),
    case("put", "/v1/tenants/{slug}/mirror", Operator, r#"{"url": "https://forge.invalid/a.git"}"#),
    case("delete", "/v1/tenants/{slug}/mirror", Operator, ""),
    case("post", "/v1/tenants/{slug}/mirror/retry", Operator, ""),
    case("get", "/v1/tenants/{slug}/hooks", Operator, ""),
    case("post", "/v1/tenants/{slug}/hooks", Operator, r#"{"scheme": "url"}"#),
    case("delete", "/v1/tenants/{slug}/hooks/{id}", Operator, ""),
    case("get", "/v1/tenants/{slug}/webhook", Operator, ""),
    case("put", "/v1/tenants/{slug}/webhook", Operator, r#"{"repeats": true}"#),
    case("post", "/v1/tenants/{slug}/webhook/secrets", Operator, ""),
    case("delete", "/v1/tenants/{slug}/webhook/secrets/{generation}", Operator, ""),
    case("get", "/v1/edge", Operator, ""),
    case("get", "/v1/mirrors", Operator, ""),
    case("get", "/v1/exports", Operator, ""),
    case("get", "/v1/tenants/{slug}/exports", Operator, ""),
    case("post", "/build", Tenant, "{}"),
    case("post", "/v1/builds", Tenant, "{}"),
    case("post", "/v1/hooks/{id}", Tenant, "{}"),
    case("get", "/v1/builds/{id}", Tenant, ""),
    case("get", "/v1/builds/{id}/events", Tenant, ""),
    case("get", "/v1/t/{slug}/audit", Tenant, ""),
    case("get", "/v1/t/{slug}/audit/lines", Tenant, ""),
    case("get", "/v1/t/{slug}/audit/checkpoint", Tenant, ""),
    case("get", "/v1/t/{slug}/quota", Tenant, ""),
    case("get", "/v1/t/{slug}/builds", Tenant, ""),
    case("get", "/v1/t/{slug}/builds/events", Tenant, ""),
    case("get", "/v1/t/{slug}/builds/{id}", Tenant, ""),
    case("get", "/v1/t/{slug}/builds/{id}/events", Tenant, ""),
    case("get", "/v1/t/{slug}/builds/{id}/log", Tenant, ""),
    case("get", "/v1/t/{slug}/builds/{id}/files", Tenant, ""),
    case("get", "/v1/t/{slug}/builds/{id}/files/{*path}", Tenant, ""),
    case("get", "/v1/t/{slug}/builds/{id}/diff/{to}", Tenant, ""),
    case("get", "/v1/t/{slug}/flows", Tenant, ""),
    case("get", "/v1/t/{slug}/flows/{flow}", Tenant, ""),
    case("get", "/v1/t/{slug}/flows/{flow}/history", Tenant, ""),
    case("get", "/v1/t/{slug}/deliveries", Tenant, ""),
    case("get", "/v1/t/{slug}/deliveries/{id}", Tenant, ""),
    case("get", "/v1/t/{slug}/endpoints", Tenant, ""),
    case("post", "/v1/t/{slug}/endpoints", Tenant, r#"{"url": "ftp://x"}"#),
    case("get", "/v1/t/{slug}/endpoints/{endpoint}", Tenant, ""),
    case("put", "/v1/t/{slug}/endpoints/{endpoint}", Tenant, r#"{"url": "ftp://x"}"#),
    case("post", "/v1/t/{slug}/endpoints/{endpoint}/secrets", Tenant, ""),
    case("delete", "/v1/t/{slug}/endpoints/{endpoint}/secrets/{generation}", Tenant, ""),
    case("post", "/v1/t/{slug}/endpoints/{endpoint}/test", Tenant, ""),
    case("post", "/v1/t/{slug}/endpoints/{endpoint}/replay", Tenant, r#"{"event": "{event}"}"#),
    case("get", "/v1/t/{slug}/endpoints/{endpoint}/attempts", Tenant, ""),
    case("get", "/v1/t/{slug}/events", Tenant, ""),
    case("get", "/v1/t/{slug}/events/{event}", Tenant, ""),
    case("delete", "/v1/t/{slug}/endpoints/{endpoint}", Tenant, ""),
    case("get", "/v1/t/{slug}/blob/{digest}", Tenant, ""),
    case("get", "/v1/t/{slug}/tree/{tree}", Tenant, ""),
    case("get", "/v1/t/{slug}/pack/{tree}", Tenant, ""),
    case("get", "/v1/t/{slug}/delta/{pair}", Tenant, ""),
    case("get", "/v1/t/{slug}/manifest.json", Tenant, ""),
    case("get", "/v1/t/{slug}/edge/{flow}/manifest.json", Tenant, ""),
    case("get", "/v1/t/{slug}/edge/sync", Tenant, ""),
    case("get", "/v1/t/{slug}/edge/agents", Tenant, ""),
    case("get", "/v1/t/{slug}/edge/{flow}/env", Tenant, ""),
    case("get", "/v1/t/{slug}/edge/{flow}/{document}", Tenant, ""),
    case("get", "/v1/t/{slug}/bundles/{sha256}/{document}", Tenant, ""),
    case("get", "/v1/t/{slug}/tuf/{file}", Tenant, ""),
    case("get", "/v1/t/{slug}/targets/{name}", Tenant, ""),
    case("get", "/branches/tenant/{slug}", Tenant, ""),
    case("get", "/git/{repo}/info/refs", Tenant, ""),
    case("post", "/git/{repo}/git-upload-pack", Tenant, "0000"),
    case("post", "/git/{repo}/git-receive-pack", Tenant, "0000"),
    case("post", "/v1/t/{slug}/edge/report", Tenant, "{}"),
    case("put", "/v1/t/{slug}/edge/{flow}/env", Tenant, "in clear"),
    case("delete", "/v1/t/{slug}/edge/{flow}/env", Tenant, ""),
    case("post", "/v1/t/{slug}/deliveries/{id}/replay", Tenant, ""),
    case("post", "/v1/t/{slug}/flows/{flow}/rollback", Tenant, r#"{"to": "{build}"}"#),
    case("delete", "/v1/t/{slug}/flows/{flow}", Tenant, ""),
    case("get", "/console/assets/{name}", Anyone, ""),
    case("get", "/console/login", Door, ""),
    case("post", "/console/login", Door, ""),
    case("post", "/console/logout", Door, ""),
    case("get", "/console", Door, ""),
    case("get", "/console/tenants", Desk, ""),
    case("get", "/console/health", Desk, ""),
    case("get", "/console/audit", Desk, ""),
    case("post", "/console/audit/verify", Desk, ""),
    case("get", "/console/t/{slug}", Visitor, ""),
    case("get", "/console/t/{slug}/timeline", Visitor, ""),
    case("get", "/console/t/{slug}/events", Visitor, ""),
    case("get", "/console/t/{slug}/flows", Visitor, ""),
    case("get", "/console/t/{slug}/agents", Visitor, ""),
    case("get", "/console/t/{slug}/deliveries", Visitor, ""),
    case("post", "/console/t/{slug}/deliveries/{id}/replay", Visitor, ""),
    case("get", "/console/t/{slug}/webhooks", Visitor, ""),
    case("post", "/console/t/{slug}/webhooks/{endpoint}/replay/{event}", Visitor, ""),
    case("get", "/console/t/{slug}/audit", Visitor, ""),
    case("post", "/console/t/{slug}/audit/verify", Visitor, ""),
    case("get", "/console/t/{slug}/builds/{id}", Visitor, ""),
    case("get", "/console/t/{slug}/builds/{id}/diff", Visitor, ""),
    case("get", "/console/t/{slug}/builds/{id}/graph", Visitor, ""),
    case("get", "/console/t/{slug}/builds/{id}/files/{target}/{*path}", Visitor, ""),
    case("get", "/console/t/{slug}/builds/{id}/{document}", Visitor, ""),
];

/// Reads to which the victim's own answer is none, for want of such a thing in this world.
const NOTHING_THERE: &[&str] =
    &["/v1/t/{slug}/delta/{pair}", "/v1/t/{slug}/edge/{flow}/env", "/v1/t/{slug}/audit/checkpoint"];

/// What stands in the place of each name in a route.
struct Things {
    slug: String,
    build: String,
    delivery: String,
    hook: String,
    endpoint: String,
    event: String,
    token: String,
    flow: String,
    digest: String,
    tree: String,
    bundle: String,
    target: String,
    path: String,
}

impl Things {
    /// What the victim has.
    fn of(server: &TestServer, tenant: &TestTenant) -> Self {
        let slug = tenant.slug.clone();
        let endpoints = format!("/v1/t/{slug}/endpoints");
        let endpoint =
            server.operator("POST", &endpoints, r#"{"url": "https://x.invalid"}"#).json();
        let answer = server.build(tenant, ORDER_INTAKE);
        let events = server.operator("GET", &format!("/v1/t/{slug}/events"), "").json();
        let (build, delivery) = (answer.json(), answer.header("colophon-delivery").to_owned());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let told = server.get_with(&format!("/v1/t/{slug}/deliveries/{delivery}"), &tenant.api);
        let manifest =
            server.get_with(&format!("/v1/t/{slug}/edge/order_intake/manifest.json"), &tenant.edge);
        let hooks = format!("/v1/tenants/{slug}/hooks");
        let hook = server.operator("POST", &hooks, r#"{"scheme": "static"}"#).json();
        let tokens = server.operator("GET", &format!("/v1/tenants/{slug}/tokens"), "").json();
        let edge = &build["outputs"][1]["edge"];
        Self {
            build: text(&build["id"]),
            delivery,
            hook: text(&hook["id"]),
            endpoint: text(&endpoint["id"]),
            event: text(&events["events"][0]["id"]),
            token: text(&tokens["tokens"][0]["id"]),
            flow: text(&build["flow"]),
            digest: text(&told.json()["body"]),
            tree: text(&manifest.json()["tree"]).replace("blake3:", ""),
            bundle: text(&edge["edge_sha256"]),
            target: text(&edge["target"]),
            path: text(&build["outputs"][0]["files"][0]["path"]),
            slug,
        }
    }

    /// What nobody has, of the same form.
    fn of_nobody(&self) -> Self {
        let other = |text: &str| text.chars().map(turned).collect::<String>();
        Self {
            slug: "nobody".to_owned(),
            build: other(&self.build),
            delivery: other(&self.delivery),
            hook: other(&self.hook),
            endpoint: other(&self.endpoint),
            event: other(&self.event),
            token: other(&self.token),
            flow: "no_such_flow".to_owned(),
            digest: other(&self.digest),
            tree: other(&self.tree),
            bundle: other(&self.bundle),
            target: self.target.replace("order", "other"),
            path: "no/such.py".to_owned(),
        }
    }

    /// `text` with these things in the places of their names, those of `slug`.
    fn fill(&self, text: &str, slug: &str) -> String {
        let id = if text.contains("/builds/") {
            &self.build
        } else if text.contains("deliveries") {
            &self.delivery
        } else if text.contains("hooks") {
            &self.hook
        } else {
            &self.token
        };
        let zeros = "0".repeat(64);
        [
            ("{slug}", slug.to_owned()),
            ("{repo}", format!("{slug}.git")),
            ("{id}", id.clone()),
            ("{to}", self.build.clone()),
            ("{endpoint}", self.endpoint.clone()),
            ("{event}", self.event.clone()),
            ("{build}", self.build.clone()),
            ("{flow}", self.flow.clone()),
            ("{digest}", self.digest.clone()),
            ("{tree}", self.tree.clone()),
            ("{pair}", format!("{zeros}..{}", self.tree)),
            ("{sha256}", self.bundle.clone()),
            ("{*path}", self.path.clone()),
            ("/files/{target}/", "/files/cloud/".to_owned()),
            ("/console/assets/{name}", "/console/assets/console.css".to_owned()),
            ("{document}", document(text)),
            ("{file}", "timestamp.json".to_owned()),
            ("{nonce}", zeros.clone()),
            ("{generation}", "1".to_owned()),
            ("/targets/{name}", format!("/targets/{}.{}", self.bundle, self.target)),
            ("{name}", "ed25519.pem".to_owned()),
        ]
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// An answer without the names that the client sent.
    fn without(&self, mut answer: Raw) -> Raw {
        let mut text = answer.text();
        for name in [&self.slug, &self.build, &self.delivery, &self.flow, &self.digest, &self.tree]
        {
            text = text.replace(name.as_str(), "*");
        }
        answer.body = text.into_bytes();
        answer.headers.retain(|(name, _)| name != "content-length");
        answer
    }
}

/// A document that is kept with a bundle, or that the console gives.
fn document(route: &str) -> String {
    if route.starts_with("/console") { "manifest.json" } else { "provenance.json" }.to_owned()
}

/// Another character of the same kind.
pub(crate) fn turned(c: char) -> char {
    match c {
        '0'..='8' | 'a'..='e' => char::from_u32(c as u32 + 1).unwrap_or(c),
        '9' => '0',
        'f' => 'a',
        other => other,
    }
}

/// A server with two tenants, and what each of their people holds.
struct World {
    server: TestServer,
    victim: Things,
    nobody: Things,
    victims: Vec<String>,
    thieves: Vec<String>,
}

impl World {
    fn make() -> Self {
        let server = TestServer::start();
        let (victim, thief) = (server.tenant("victim"), server.tenant("thief"));
        let things = Things::of(&server, &victim);
        assert_eq!(server.build(&thief, &small_flow("loot", None, "mine")).status, 201);
        let all = |tenant: &TestTenant| {
            let path = format!("/v1/tenants/{}/tokens", tenant.slug);
            let made = server.operator("POST", &path, r#"{"kind": "auditor"}"#).json();
            let auditor = made["token"].as_str().unwrap().to_owned();
            vec![tenant.api.clone(), tenant.git.clone(), tenant.edge.clone(), auditor]
        };
        let (victims, thieves) = (all(&victim), all(&thief));
        Self { nobody: things.of_nobody(), victim: things, victims, thieves, server }
    }

    /// Asks at a route about `things` of `slug`.
    fn ask(
        &self,
        case: &Case,
        method: &str,
        things: &Things,
        slug: &str,
        token: Option<&str>,
    ) -> Raw {
        let mut path = things.fill(case.route, slug);
        if case.route.ends_with("/info/refs") {
            path += "?service=git-upload-pack";
        }
        if case.route.ends_with("/builds/events") {
            path += "?follow=false"; // or it never ends
        }
        let token = token.map_or_else(String::new, |t| format!("\nAuthorization: Bearer {t}"));
        let head = format!("{method} {path} HTTP/1.1\nX-Tenant-Slug: {slug}{token}");
        exchange(&self.server.url, &head, things.fill(case.body, slug).as_bytes())
    }

    /// Asks at the console as `visitor`; without one, as somebody who is not logged in.
    fn visit(
        &self,
        case: &Case,
        method: &str,
        (things, slug): (&Things, &str),
        visitor: Option<&Visited<'_>>,
    ) -> Raw {
        let mut path = things.fill(case.route, slug);
        if case.route.ends_with("/events") {
            path += "?follow=false"; // or it never ends
        }
        let cookie = visitor.map_or_else(String::new, |v| format!("\nCookie: {}", v.cookie()));
        let mut head = format!("{method} {path} HTTP/1.1{cookie}");
        let mut body = String::new();
        if method == "POST" {
            head +=
                "\nContent-Type: application/x-www-form-urlencoded\nSec-Fetch-Site: same-origin";
            body = format!("form_key={}", visitor.map_or("", |visitor| &visitor.key));
        }
        exchange(&self.server.url, &head, body.as_bytes())
    }

    /// Nothing of the victim's is told from what nobody has, at the console.
    fn same_page(
        &self,
        case: &Case,
        method: &str,
        slugs: (&str, &str),
        visitor: Option<&Visited<'_>>,
    ) {
        let foreign = self.visit(case, method, (&self.victim, slugs.0), visitor);
        let absent = self.visit(case, method, (&self.nobody, slugs.1), visitor);
        let (foreign, absent) = (self.victim.without(foreign), self.nobody.without(absent));
        let what = format!("{method} {} below {slugs:?}", case.route);
        assert!(foreign == absent, "{what}: {}\n{}", show(&foreign), show(&absent));
        let expected = match visitor {
            // A script asks for it, which would not follow to the login.
            None if case.route.ends_with("/timeline") || case.route.ends_with("/events") => 401,
            None => 303,
            // Below its own name an auditor is told that it changes nothing.
            Some(_) if slugs.0 == "thief" && method == "POST" => 403,
            Some(_) => 404,
        };
        assert_eq!(foreign.status, expected, "{what}: {}", show(&foreign));
    }

    /// Nothing of the victim's is told from what nobody has, below `slugs`, its and nobody's.
    fn same(&self, case: &Case, method: &str, slugs: (&str, &str), token: Option<&str>) {
        let foreign = self.ask(case, method, &self.victim, slugs.0, token);
        let absent = self.ask(case, method, &self.nobody, slugs.1, token);
        let (foreign, absent) = (self.victim.without(foreign), self.nobody.without(absent));
        let what = format!("{method} {} below {slugs:?}", case.route);
        assert!(foreign == absent, "{what}: {}\n{}", show(&foreign), show(&absent));
        assert!(foreign.status >= 400, "{what}: {}", show(&foreign));
    }

    /// What the victim's own tokens get, and that of no token.
    fn own(&self, case: &Case) -> (Vec<u16>, u16) {
        let method = case.method.to_uppercase();
        let ask = |token: Option<&str>| {
            self.ask(case, &method, &self.victim, &self.victim.slug, token).status
        };
        (self.victims.iter().map(|token| ask(Some(token))).collect(), ask(None))
    }
}

fn show(answer: &Raw) -> String {
    let text: String = answer.text().chars().take(600).collect();
    format!("{} {:?} {text:?}", answer.status, answer.headers)
}

fn cases(who: Who) -> impl Iterator<Item = &'static Case> {
    CASES.iter().filter(move |case| case.who == who)
}

/// A new route must be thought about here before it is merged.
#[test]
fn every_route_has_a_case() {
    let (api, console) = (colophon::http::ROUTES, colophon::http::CONSOLE_ROUTES);
    let routes: BTreeSet<(&str, &str)> = api.iter().chain(console).copied().collect();
    let cases: BTreeSet<(&str, &str)> = CASES.iter().map(|c| (c.method, c.route)).collect();
    let missing: Vec<_> = routes.difference(&cases).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
    let gone: Vec<_> = cases.difference(&routes).collect();
    assert!(gone.is_empty(), "no route for {gone:?}");
}

/// By the victim's name and by its ids, with every kind of token and without one.
#[test]
fn what_another_tenant_has_is_what_nobody_has() {
    let world = World::make();
    for case in cases(Tenant) {
        let methods = if case.method == "get" { vec!["GET", "HEAD"] } else { vec![case.method] };
        for method in methods.iter().map(|method| method.to_uppercase()) {
            let tokens = world.thieves.iter().map(|token| Some(token.as_str()));
            for token in tokens.chain([None]) {
                let names = (world.victim.slug.as_str(), world.nobody.slug.as_str());
                world.same(case, &method, names, token);
                let own = case.route.replace("{slug}", "").replace("{repo}", "");
                let own = own.replace("{document}", "").replace("{file}", "");
                if own.contains('{') {
                    world.same(case, &method, ("thief", "thief"), token);
                }
            }
        }
    }
    let builds = world.server.get_with("/v1/t/victim/builds", &world.victims[0]).json();
    assert_eq!(builds["builds"].as_array().unwrap().len(), 1, "nothing has happened to the victim");
}

/// The victim's own tokens get an answer to every read, so the questions above are good ones.
#[test]
fn the_questions_have_answers() {
    let world = World::make();
    for case in cases(Tenant).filter(|case| case.method == "get") {
        let (with, without) = world.own(case);
        let answered = with.iter().any(|status| (200..300).contains(status));
        assert_eq!(answered, !NOTHING_THERE.contains(&case.route), "{}: {with:?}", case.route);
        assert!(without >= 400, "{}: {without} without a token", case.route);
    }
    for case in cases(Tenant).filter(|case| case.method != "get") {
        let (with, without) = world.own(case);
        // A hook has a key of its own, and nobody pushes.
        let takes_tokens =
            !["/v1/hooks/{id}", "/git/{repo}/git-receive-pack"].contains(&case.route);
        let passed = with.iter().any(|status| *status != 401);
        assert_eq!(
            passed,
            takes_tokens || case.route.contains("receive"),
            "{}: {with:?}",
            case.route
        );
        assert!(without >= 400, "{}: {without} without a token", case.route);
    }
}

/// No token of a tenant is good at an operator's route, not even its own tenant's, and a refusal tells
/// nothing of what is there.
#[test]
fn operators_routes_refuse_tenants() {
    let world = World::make();
    for case in cases(Operator) {
        let method = case.method.to_uppercase();
        let tokens = world.thieves.iter().chain(&world.victims).map(|token| Some(token.as_str()));
        for token in tokens.chain([None]) {
            world.same(case, &method, (&world.victim.slug, &world.nobody.slug), token);
            let refused = world.ask(case, &method, &world.victim, &world.victim.slug, token);
            assert_eq!(refused.status, 401, "{method} {}", case.route);
        }
        if case.method == "get" {
            let operator = world.server.app.press.keys.operator_token();
            let token = Some(operator.reveal());
            let told = world.ask(case, "GET", &world.victim, &world.victim.slug, token);
            assert_ne!(told.status, 401, "GET {}", case.route);
        }
    }
}

/// What is open to anyone is the same for all.
#[test]
fn what_is_open_is_the_same_for_all() {
    let world = World::make();
    for case in cases(Anyone) {
        let ask = |token: Option<&str>| world.ask(case, "GET", &world.victim, "victim", token);
        let open = ask(None);
        assert_eq!(open.status, 200, "{}", case.route);
        for token in world.thieves.iter().chain(&world.victims) {
            assert_eq!(ask(Some(token)), open, "{}", case.route);
        }
    }
}

/// Whoever is not let in is told how to ask: RFC 9110 §15.5.2 wants a challenge with every 401, and clients of theirs fail
/// without one.
#[test]
fn every_401_has_a_challenge() {
    let world = World::make();
    let mut seen = 0;
    for case in cases(Operator).chain(cases(Tenant)) {
        for method in methods(case) {
            let told = world.ask(case, &method, &world.victim, "victim", None);
            if told.status == 401 {
                seen += 1;
                let challenge = told.header("www-authenticate");
                let of_git = case.route.starts_with("/git/");
                let expected = if of_git { "Basic realm=" } else { "Bearer realm=" };
                assert!(challenge.starts_with(expected), "{method} {}: {challenge}", case.route);
            }
        }
    }
    assert!(seen > 50, "{seen}");
    let news = exchange(&world.server.url, "GET /console/t/victim/timeline HTTP/1.1", b"");
    assert_eq!((news.status, news.header("www-authenticate").is_empty()), (401, false));
}

/// How the router is asked for a route: a page is there for HEAD too.
fn methods(case: &Case) -> Vec<String> {
    let methods = if case.method == "get" { vec!["GET", "HEAD"] } else { vec![case.method] };
    methods.iter().map(|method| method.to_uppercase()).collect()
}

/// An auditor of another tenant, and somebody who is not logged in, at every page about a tenant: by the
/// victim's name, and by its ids below a name of their own.
#[test]
fn a_page_of_another_tenant_is_one_that_is_not_there() {
    let world = World::make();
    let thief = Visited::enter(&world.server, &world.thieves[3]);
    for case in cases(Visitor) {
        for method in methods(case) {
            for visitor in [Some(&thief), None] {
                world.same_page(case, &method, ("victim", "nobody"), visitor);
            }
            if case.route.contains("{id}") {
                world.same_page(case, &method, ("thief", "thief"), Some(&thief));
            }
        }
    }
    let deliveries = world.server.get_with("/v1/t/victim/deliveries", &world.victims[0]).json();
    assert_eq!(deliveries["deliveries"].as_array().unwrap().len(), 1, "nothing was replayed");
}

/// The operator gets an answer to every question above, and the victim's own auditor to all that is about
/// records.
#[test]
fn the_pages_are_there() {
    let world = World::make();
    let operator = Visited::operator(&world.server);
    let auditor = Visited::enter(&world.server, &world.victims[3]);
    for case in cases(Visitor) {
        let method = case.method.to_uppercase();
        let ask =
            |visitor| world.visit(case, &method, (&world.victim, "victim"), Some(visitor)).status;
        let (all, records) = (ask(&operator), ask(&auditor));
        // There is one build, and nothing before it to compare it with.
        let is_there = !case.route.ends_with("/diff");
        assert_eq!((200..400).contains(&all), is_there, "{}: {all}", case.route);
        let of_blobs = ["/diff", "/graph", "/{*path}", "/replay", "/replay/{event}", "/{document}"];
        let reads = !of_blobs.iter().any(|end| case.route.ends_with(end));
        assert!(!reads || (200..400).contains(&records), "{}: {records}", case.route);
    }
}

/// What is about the whole server is not there for an auditor, whoever's, and asks everybody else to log in.
#[test]
fn pages_about_the_server_are_the_operators() {
    let world = World::make();
    let operator = Visited::operator(&world.server);
    let (thief, victim) = (&world.thieves[3], &world.victims[3]);
    let auditors = [thief, victim].map(|token| Visited::enter(&world.server, token));
    for case in cases(Desk) {
        for method in methods(case) {
            let ask = |visitor| world.visit(case, &method, (&world.victim, "victim"), visitor);
            for auditor in &auditors {
                assert_eq!(ask(Some(auditor)).status, 404, "{method} {}", case.route);
            }
            assert_eq!(ask(None).status, 303, "{method} {}", case.route);
            let told = ask(Some(&operator)).status;
            assert!((200..400).contains(&told), "{method} {}: {told}", case.route);
        }
    }
}

/// Whoever is at the door is told the same, whatever tenants there are: nothing but the form, or the way to it.
#[test]
fn the_door_tells_nothing() {
    let world = World::make();
    for case in cases(Door) {
        let method = case.method.to_uppercase();
        let told = world.visit(case, &method, (&world.victim, "victim"), None);
        let expected: &[u16] = match case.route {
            "/console/login" if case.method == "get" => &[200],
            "/console/login" => &[403],
            _ => &[303],
        };
        assert!(expected.contains(&told.status), "{method} {}: {}", case.route, show(&told));
        assert!(!told.text().contains("victim"), "{method} {}", case.route);
    }
}
