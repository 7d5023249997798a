//! The console over HTTP: who gets in, what they see, and that nothing of a flow is ever a part of a page.

use colophon::tokens::{TokenKind, create_token};
use serde_json::json;

use crate::support::events::EventStream;
use crate::support::process::told;
use crate::support::raw::{Raw, exchange};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

/// Somebody at a browser: what the session's cookie holds, and the key of its forms.
pub(crate) struct Visitor<'a> {
    server: &'a TestServer,
    cookie: String,
    pub(crate) key: String,
}

/// What stands between two marks.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    text.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(found, _)| found)
}

fn key_of(page: &Raw) -> String {
    between(&page.text(), "name=\"form_key\" value=\"", "\"").to_owned()
}

fn set_cookies(answer: &Raw) -> Vec<String> {
    let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    cookies.map(|(_, value)| value.clone()).collect()
}

/// Posts the login's form with `token`, after opening it.
fn try_login(server: &TestServer, token: &str) -> Raw {
    let form = exchange(&server.url, "GET /console/login HTTP/1.1", b"");
    assert_eq!(form.status, 200);
    let cookie = set_cookies(&form)[0].split(';').next().unwrap().to_owned();
    let body = format!("token={token}&form_key={}", key_of(&form));
    post(server, "/console/login", &cookie, &body)
}

fn post(server: &TestServer, path: &str, cookie: &str, body: &str) -> Raw {
    let head = format!(
        "POST {path} HTTP/1.1\nCookie: {cookie}\nContent-Type: application/x-www-form-urlencoded\n\
         Sec-Fetch-Site: same-origin"
    );
    exchange(&server.url, &head, body.as_bytes())
}

impl<'a> Visitor<'a> {
    pub(crate) fn enter(server: &'a TestServer, token: &str) -> Self {
        let told = try_login(server, token);
        assert_eq!((told.status, told.header("location")), (303, "/console"), "{}", told.text());
        let cookie = set_cookies(&told)[0].split(';').next().unwrap().to_owned();
        let mut visitor = Self { server, cookie, key: String::new() };
        let home = visitor.get("/console").header("location").to_owned();
        visitor.key = key_of(&visitor.get(&home));
        assert_eq!(visitor.key.len(), 32, "every page has the form that logs out");
        visitor
    }

    pub(crate) fn operator(server: &'a TestServer) -> Self {
        Self::enter(server, server.app.press.keys.operator_token().reveal())
    }

    /// The session's cookie, as it is sent.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    fn get(&self, path: &str) -> Raw {
        exchange(&self.server.url, &format!("GET {path} HTTP/1.1\nCookie: {}", self.cookie), b"")
    }

    /// A page that is there.
    pub(crate) fn page(&self, path: &str) -> String {
        let page = self.get(path);
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        page.text()
    }

    pub(crate) fn post(&self, path: &str, key: &str) -> Raw {
        post(self.server, path, &self.cookie, &format!("form_key={key}"))
    }
}

fn auditor(server: &TestServer, tenant: &TestTenant) -> String {
    let (store, slug, now) =
        (&server.app.press.store, tenant.slug.parse().unwrap(), server.app.press.clock.now());
    let made = create_token(store, &slug, TokenKind::Auditor, "audit", 30, now).unwrap();
    made.token.reveal().to_owned()
}

/// The build's own address below `/console`.
fn built(server: &TestServer, tenant: &TestTenant, body: &[u8]) -> String {
    let answer = server.build(tenant, body);
    assert_eq!(answer.status, 201, "{}", answer.json());
    format!("/console/t/{}/builds/{}", tenant.slug, answer.json()["id"].as_str().unwrap())
}

#[test]
fn only_those_with_a_good_token_get_in() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for path in
        ["/console", "/console/tenants", "/console/t/acme-inc", "/console/health", "/console/audit"]
    {
        let told = exchange(&server.url, &format!("GET {path} HTTP/1.1"), b"");
        assert_eq!((told.status, told.header("location")), (303, "/console/login"), "{path}");
        let made_up = format!("GET {path} HTTP/1.1\nCookie: colophon-session={}", "0".repeat(64));
        assert_eq!(exchange(&server.url, &made_up, b"").status, 303, "{path}");
    }
    for wrong in [&tenant.api, &tenant.git, &tenant.edge, "", "clp_operator_x", "x"] {
        let told = try_login(&server, wrong);
        assert_eq!(told.status, 403, "{wrong}");
        assert!(
            wrong.is_empty() || wrong == "x" || !told.text().contains(wrong),
            "not shown again"
        );
    }
    let operator = server.app.press.keys.operator_token().reveal().to_owned();
    let told = try_login(&server, &operator);
    let cookie = set_cookies(&told)[0].clone();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=28800"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains("clp_"), "{cookie}");
    let visitor = Visitor::operator(&server);
    assert!(visitor.page("/console/tenants").contains("acme-inc"));
    let gone = visitor.post("/console/logout", &visitor.key);
    assert_eq!((gone.status, gone.header("location")), (303, "/console/login"));
    assert_eq!(visitor.get("/console/tenants").status, 303, "the cookie is worth nothing now");
}

/// The command line tells the token that gets in, whether or not the server runs.
#[test]
fn the_operators_token_is_told_on_the_machine() {
    let server = TestServer::start();
    let token = told(&server.data(), &["token", "operator"]);
    assert_eq!(try_login(&server, token.trim()).status, 303);
}

#[test]
fn over_tls_the_cookie_stays_there() {
    let server =
        TestServer::with(|config| config.public_url = Some("https://press.example.com".to_owned()));
    let told = try_login(&server, server.app.press.keys.operator_token().reveal());
    let cookie = set_cookies(&told)[0].clone();
    assert!(
        cookie.starts_with("__Host-colophon-session=") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
    // Nor may another host of the domain set the login's cookie, and log somebody in as somebody else.
    let form = exchange(&server.url, "GET /console/login HTTP/1.1", b"");
    assert!(set_cookies(&form)[0].starts_with("__Host-colophon-login="), "{:?}", form.headers);
}

#[test]
fn who_fails_too_often_waits() {
    let server = TestServer::start();
    for _ in 0..10 {
        assert_eq!(try_login(&server, "clp_auditor_wrong").status, 403);
    }
    let operator = server.app.press.keys.operator_token().reveal().to_owned();
    let told = try_login(&server, &operator);
    assert_eq!((told.status, told.header("retry-after")), (429, "300"));
    server.clock.advance(5 * 60 * 1000);
    assert_eq!(try_login(&server, &operator).status, 303);
}

#[test]
fn a_form_of_another_site_does_nothing() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    server.build(&tenant, b"not a flow");
    let visitor = Visitor::operator(&server);
    let list = visitor.page("/console/t/acme-inc/deliveries");
    let replay =
        between(&list, "<form method=\"post\" action=\"/console/t/acme-inc/deliveries", "\"");
    let replay = format!("/console/t/acme-inc/deliveries{replay}");
    let other = Visitor::operator(&server);
    for key in ["", "0", &other.key] {
        assert_eq!(visitor.post(&replay, key).status, 403, "{key}");
        assert_eq!(visitor.post("/console/logout", key).status, 403, "{key}");
        assert_eq!(visitor.post("/console/audit/verify", key).status, 403, "{key}");
    }
    let head = format!(
        "POST {replay} HTTP/1.1\nCookie: {}\nContent-Type: application/x-www-form-urlencoded\nSec-Fetch-Site: cross-site",
        visitor.cookie
    );
    let body = format!("form_key={}", visitor.key);
    assert_eq!(exchange(&server.url, &head, body.as_bytes()).status, 403);
    let head = head.replace("cross-site", "same-origin").replace("x-www-form-urlencoded", "json");
    assert_eq!(exchange(&server.url, &head, body.as_bytes()).status, 403);
    assert_eq!(
        visitor.page("/console/t/acme-inc/deliveries").matches("<th scope=\"row\"").count(),
        1
    );
    // The login has a key of its own: nobody is logged in by another site either.
    let operator = server.app.press.keys.operator_token().reveal().to_owned();
    let told = post(
        &server,
        "/console/login",
        "colophon-login=a",
        &format!("token={operator}&form_key=b"),
    );
    assert_eq!(told.status, 403);
    let told = post(&server, "/console/login", "x=y", &format!("token={operator}&form_key="));
    assert_eq!(told.status, 403);
}

#[test]
fn an_auditor_sees_one_tenant_and_no_code() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme-inc"), server.tenant("victim"));
    let build = built(&server, &tenant, ORDER_INTAKE);
    let foreign = built(&server, &other, ORDER_INTAKE);
    server.build(&tenant, b"not a flow");
    let token = auditor(&server, &tenant);
    let visitor = Visitor::enter(&server, &token);
    assert_eq!(visitor.get("/console").header("location"), "/console/t/acme-inc");
    for page in ["", "/flows", "/agents", "/deliveries", "/webhooks", "/audit", "/timeline"] {
        let text = visitor.page(&format!("/console/t/acme-inc{page}"));
        assert!(!text.contains("victim"), "{page}");
    }
    let page = visitor.page(&build);
    assert!(page.contains("flow_order_intake.py") && !page.contains("/files/"), "{page}");
    assert_eq!(visitor.get(&format!("{build}/manifest.json")).status, 200);
    for page in ["/diff", "/graph", "/files/cloud/manifest.json", "/provenance.json", "/sbom.json"]
    {
        assert_eq!(visitor.get(&format!("{build}{page}")).status, 404, "{page}");
    }
    for page in ["/console/tenants", "/console/health", "/console/audit"] {
        assert_eq!(visitor.get(page).status, 404, "{page}");
    }
    // What is another's is what is not there.
    let absent = visitor.get("/console/t/nobody");
    assert_eq!(absent.status, 404);
    for page in ["", "/flows", "/agents", "/deliveries", "/webhooks", "/audit", "/timeline"] {
        assert_eq!(visitor.get(&format!("/console/t/victim{page}")), absent, "{page}");
    }
    for page in ["", "/diff", "/graph", "/manifest.json"] {
        assert_eq!(visitor.get(&format!("{foreign}{page}")), absent, "{page}");
        let swapped = foreign.replace("victim", "acme-inc");
        assert_eq!(visitor.get(&format!("{swapped}{page}")), absent, "{page}");
    }
    let list = Visitor::operator(&server).page("/console/t/acme-inc/deliveries");
    let id = between(&list, "/deliveries/", "/replay").to_owned();
    let path = format!("/console/t/acme-inc/deliveries/{id}/replay");
    assert!(!visitor.page("/console/t/acme-inc/deliveries").contains("/replay"));
    assert_eq!(visitor.post(&path, &visitor.key).status, 403, "an auditor changes nothing");
    assert_eq!(visitor.post(&path.replace("acme-inc", "victim"), &visitor.key).status, 404);
    // The end of the token is the end of the session.
    let id = colophon::tokens::Token::digest(&token.parse().unwrap()).to_string()[..12].to_owned();
    assert_eq!(
        server.operator("DELETE", &format!("/v1/tenants/acme-inc/tokens/{id}"), "").status,
        204
    );
    assert_eq!(visitor.get("/console/t/acme-inc").header("location"), "/console/login");
    assert_eq!(visitor.get("/console/t/acme-inc/timeline").status, 401);
}

#[test]
fn an_auditor_of_a_suspended_tenant_is_told_so() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let token = auditor(&server, &tenant);
    let visitor = Visitor::enter(&server, &token);
    assert_eq!(server.operator("POST", "/v1/tenants/acme-inc/suspend", "").status, 200);
    let told = visitor.get("/console/t/acme-inc");
    assert_eq!(told.status, 403);
    assert!(told.text().contains("the tenant is suspended"));
    assert!(Visitor::operator(&server).page("/console/t/acme-inc").contains("suspended"));
}

const HOSTILE: &str =
    "</code></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}";

/// Names come from flows, agents and senders. None of them is ever an element, an attribute or a template.
#[test]
fn hostile_names_are_text_on_every_page() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    // A reference in a field is an error of the flow; in a name it is text.
    let plain = HOSTILE.replace("{{ 7 * 7 }}", "{% 7 %}");
    let mut flow: serde_json::Value =
        serde_json::from_slice(&small_flow("pages", Some(1), &plain)).unwrap();
    flow["name"] = HOSTILE.into();
    flow["nodes"][0]["label"] = HOSTILE.into();
    built(&server, &tenant, &serde_json::to_vec(&flow).unwrap());
    flow["nodes"][1]["fields"]["text"] = format!("{plain} again").into();
    flow["revision"] = 2.into();
    let build = built(&server, &tenant, &serde_json::to_vec(&flow).unwrap());
    let report = json!({"device": "a".repeat(32), "name": HOSTILE, "version": HOSTILE, "os": HOSTILE, "arch": "x",
        "flows": [], "error": HOSTILE});
    let bearer = format!("Bearer {}", tenant.edge);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let told =
        server.post("/v1/t/acme-inc/edge/report", &headers, &serde_json::to_vec(&report).unwrap());
    assert!(told.status < 300, "{told:?}");
    let visitor = Visitor::operator(&server);
    let here = "/console/t/acme-inc".to_owned();
    let code = format!("{build}/files/cloud/app/flows/acme_inc/flow_pages.py");
    let pages = [
        here.clone(),
        format!("{here}/timeline"),
        format!("{here}/flows"),
        format!("{here}/agents"),
        build.clone(),
        code,
        format!("{build}/files/cloud/app/flows/acme_inc/pages.json"),
        format!("{build}/diff"),
        format!("{build}/graph"),
    ];
    for page in pages {
        let text = visitor.page(&page);
        assert!(text.contains("&lt;script&gt;alert(1)"), "{page} shows it");
        for bad in ["<script>", "<img", "\"'&{{", "&lt;49", "'&49"] {
            assert!(!text.contains(bad), "{page}: {bad}");
        }
    }
    for page in
        [format!("{here}/deliveries"), format!("{here}/audit"), "/console/tenants".to_owned()]
    {
        assert!(!visitor.page(&page).contains("<script>"), "{page}");
    }
    let asked = "/console/t/acme-inc/flows?from=%3Cscript%3E";
    assert!(!visitor.get(asked).text().contains("<script>"));
    let asked = format!("{build}/files/cloud/%3Cscript%3E");
    assert!(!visitor.get(&asked).text().contains("<script>"));
}

#[test]
fn every_answer_keeps_browsers_strict() {
    let server = TestServer::start();
    server.tenant("acme-inc");
    let visitor = Visitor::operator(&server);
    for path in [
        "/console",
        "/console/login",
        "/console/tenants",
        "/console/t/acme-inc",
        "/console/t/nobody",
        "/console/health",
        "/console/assets/console.css",
        "/console/assets/console.js",
        "/console/t/acme-inc?before=x",
    ] {
        let told = visitor.get(path);
        let policy = told.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
        assert_eq!(told.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(told.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(told.header("x-content-type-options"), "nosniff", "{path}");
        let kept = if path.contains("assets") { "no-cache" } else { "no-store" };
        assert_eq!(told.header("cache-control"), kept, "{path}");
    }
    assert_eq!(visitor.get("/console/t/acme-inc?before=x").status, 400);
}

#[test]
fn a_build_is_shown_with_its_files_changes_graph_and_documents() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let first = built(&server, &tenant, ORDER_INTAKE);
    let mut flow: serde_json::Value = serde_json::from_slice(ORDER_INTAKE).unwrap();
    flow["revision"] = 8.into();
    flow["nodes"][5]["label"] = "Say that it is done".into();
    let second = built(&server, &tenant, &serde_json::to_vec(&flow).unwrap());
    let visitor = Visitor::operator(&server);
    let page = visitor.page(&second);
    assert!(page.contains(&format!("href=\"{first}\"")), "the build before");
    for part in [
        "order_intake",
        "parse",
        "Files for cloud",
        "Files for edge",
        "git -c http.extraHeader",
        "edge-fetch enroll",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let code =
        visitor.page(&format!("{second}/files/cloud/app/flows/acme_inc/flow_order_intake.py"));
    assert!(code.contains("<span class=\"k\">import</span>"), "{code}");
    let diff = visitor.page(&format!("{second}/diff"));
    assert!(diff.contains("order_intake.json") && diff.contains("class=\"added\""), "{diff}");
    assert!(diff.contains("Say that it is done"));
    assert_eq!(visitor.get(&format!("{first}/diff")).status, 404, "nothing came before");
    let graph = visitor.page(&format!("{second}/graph"));
    assert!(
        graph.contains("<svg role=\"img\"") && graph.matches("class=\"node\"").count() == 7,
        "{graph}"
    );
    for name in ["manifest.json", "provenance.json", "sbom.json"] {
        let document = visitor.get(&format!("{second}/{name}"));
        assert!(document.header("content-disposition").starts_with("attachment;"), "{name}");
        serde_json::from_slice::<serde_json::Value>(&document.body).unwrap();
    }
    for name in ["x.json", "files/cloud/nothing.py", "files/moon/manifest.json"] {
        assert_eq!(visitor.get(&format!("{second}/{name}")).status, 404, "{name}");
    }
    let timeline = |seen: u64| visitor.get(&format!("/console/t/acme-inc/timeline?seen={seen}"));
    assert_eq!(timeline(2).status, 204);
    assert!(timeline(1).text().contains("data-seen=\"2\""));
    let health = visitor.page("/console/health");
    assert!(health.contains("takes writes") && health.contains("Segments"));
}

/// A page for each 30 builds, and none is left out or shown twice.
#[test]
fn older_builds_are_a_page_away() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for revision in 1..=33 {
        built(&server, &tenant, &small_flow("many", Some(revision), &format!("text {revision}")));
    }
    let visitor = Visitor::operator(&server);
    let numbers = |page: &str| -> Vec<u64> {
        page.split("data-build=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
            .collect()
    };
    let newest = visitor.page("/console/t/acme-inc");
    assert_eq!(numbers(&newest), (4..=33).rev().collect::<Vec<_>>());
    let older = between(&newest, "href=\"/console/t/acme-inc?before=", "\"");
    let older = visitor.page(&format!("/console/t/acme-inc?before={older}"));
    assert_eq!(numbers(&older), [3, 2, 1]);
    assert!(!older.contains("Older builds") && older.contains("Newest builds"));
}

#[test]
fn a_delivery_is_run_again_by_its_button() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    // The quota is used up, so it is refused; the next day it is not.
    for n in 0..100 {
        built(&server, &tenant, &small_flow("one", None, &format!("text {n}")));
    }
    let refused = small_flow("two", None, "late");
    server.clock.advance(1000); // so that it is the newest of the list
    assert_eq!(server.build(&tenant, &refused).status, 429);
    server.clock.advance(25 * 60 * 60 * 1000);
    let visitor = Visitor::operator(&server);
    let list = visitor.page("/console/t/acme-inc/deliveries");
    let id = between(&list, "/console/t/acme-inc/deliveries/", "/replay").to_owned();
    let told = visitor.post(&format!("/console/t/acme-inc/deliveries/{id}/replay"), &visitor.key);
    assert_eq!(told.status, 303, "{}", told.text());
    let page = visitor.page(told.header("location"));
    assert!(page.contains("Run again as") && page.contains("with status 201"), "{page}");
    assert!(visitor.page("/console/t/acme-inc").contains("data-build=\"101\""));
    let gone = format!("/console/t/acme-inc/deliveries/{}/replay", "0".repeat(32));
    assert_eq!(visitor.post(&gone, &visitor.key).status, 404);
}

#[test]
fn the_audit_log_is_shown_and_checked() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let chain = colophon_model::audit::Chain::Tenant(tenant_uid(&server, &tenant));
    let act = colophon::audit::By::here().did(
        colophon_model::audit::Action::TokenCreate,
        colophon_model::audit::Subject::new("token", "<b>3f9a"),
    );
    server.app.press.write_down(chain, &[act]).unwrap();
    let visitor = Visitor::operator(&server);
    let page = visitor.page("/console/t/acme-inc/audit");
    assert!(page.contains("token.create") && page.contains("&lt;b&gt;3f9a"), "{page}");
    let checked = visitor.post("/console/t/acme-inc/audit/verify", &visitor.key);
    assert!(checked.status == 200 && checked.text().contains("verified"), "{}", checked.text());
    assert_eq!(visitor.post("/console/audit/verify", &visitor.key).status, 200);
    // A check takes long in a long log: neither may it hold the only place of maintenance, nor wait for it.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let patience = std::time::Duration::from_mins(2);
    let busy = runtime.block_on(server.app.maintenance.admit_within(patience)).unwrap();
    assert_eq!(visitor.post("/console/audit/verify", &visitor.key).status, 200);
    drop(busy);
    let narrow = server.operator(
        "POST",
        "/v1/tenants/acme-inc/tokens",
        r#"{"kind": "auditor", "scopes": ["records"]}"#,
    );
    let narrow = Visitor::enter(&server, narrow.json()["token"].as_str().unwrap());
    assert_eq!(narrow.get("/console/t/acme-inc/audit").status, 404, "without the scope");
    assert!(!narrow.page("/console/t/acme-inc").contains("/audit\""));
}

fn tenant_uid(server: &TestServer, tenant: &TestTenant) -> colophon_model::TenantUid {
    let view = server.app.press.store.view().unwrap();
    view.get::<colophon_store::rows::TenantRow>(&tenant.slug.parse().unwrap()).unwrap().unwrap().uid
}

#[test]
fn a_console_that_is_off_is_not_there() {
    let server = TestServer::with(|config| config.console.enabled = false);
    for path in ["/console", "/console/login", "/console/assets/console.css"] {
        assert_eq!(server.get(path, &[]).status, 404, "{path}");
    }
}

/// What a page's script hears: of the tenants that its visitor sees, and until the session ends.
#[test]
fn a_page_hears_of_builds_for_as_long_as_its_session_lasts() {
    let server = TestServer::with(|config| config.events.heartbeat = "100ms".parse().unwrap());
    let (tenant, other) = (server.tenant("acme-inc"), server.tenant("globex"));
    let listen = |cookie: &str, slug: &str| {
        let path = format!("/console/t/{slug}/events?after=0");
        EventStream::open(&server.url, &path, &[format!("Cookie: {cookie}")])
    };
    assert_eq!(listen("colophon-session=made-up", "acme-inc").status, 401);
    let (operator, guest) =
        (Visitor::operator(&server), Visitor::enter(&server, &auditor(&server, &other)));
    assert_eq!(listen(&guest.cookie, "acme-inc").status, 404);
    assert_eq!(listen(&guest.cookie, "nobody").status, 404);
    let mut stream = listen(&operator.cookie, "acme-inc");
    assert_eq!((stream.status, stream.header("x-frame-options")), (200, "DENY"));
    built(&server, &tenant, ORDER_INTAKE);
    let build = stream.until("build");
    assert_eq!((build.id, &build.data["flow"]), (Some(1), &"order_intake".into()));
    assert_eq!(operator.post("/console/logout", &operator.key).status, 303);
    built(&server, &tenant, &small_flow("one", None, "a"));
    assert!(stream.rest().iter().all(|event| event.kind != "build"), "nothing after the end");
}
