//! What Prometheus scrapes, and whether dashboard and alerts ask for what there is.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use colophon::export::{Options, Place};
use colophon_model::{TenantSlug, UnixMillis};
use colophon_store::Change;
use colophon_store::rows::{ExportDrill, TenantRow};

use crate::support::process::{ServerProcess, colophon};
use crate::support::{TestServer, agent, read, small_flow};

fn server() -> TestServer {
    TestServer::with(|config| {
        config.admin.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.mirror.enabled = false;
        let evidence = format!("file://{}", config.data.with_file_name("evidence").display());
        config.export.to = vec![evidence.parse().unwrap()];
    })
}

fn scrape(server: &TestServer) -> String {
    let answer = server.get(&format!("{}/metrics", server.admin), &[]);
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    String::from_utf8(answer.bytes).unwrap()
}

/// The value of one time series.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no `{series}` in\n{text}")).parse().unwrap()
}

/// Counts are whole.
fn is(value: f64, count: f64) -> bool {
    (value - count).abs() < 0.5
}

/// Every kind of metric has a value, so that every name is printed.
fn busy() -> (TestServer, String) {
    let server = server();
    let tenant = server.tenant("acme-inc");
    let flow = small_flow("one", Some(2), "x");
    assert_eq!(server.build(&tenant, &flow).status, 201);
    assert_eq!(server.build(&tenant, &flow).status, 200);
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "y")).status, 409);
    let metrics = &server.app.press.metrics;
    metrics.push("success");
    metrics.webhook("delivered", std::time::Duration::from_millis(5));
    metrics.artifact_uploaded(true);
    metrics.drilled(true);
    drilled(&server);
    metrics.webhook_disabled("gone");
    metrics.job("gc", true);
    metrics.exported(true, std::time::Duration::from_millis(5), 12);
    let text = scrape(&server);
    (server, text)
}

/// Writes down that the tenant's export was restored for trial, and good.
fn drilled(server: &TestServer) {
    let (press, config) = (&server.app.press, &server.app.config.export);
    let place = Place::id_of(&config.to[0], config, &Options::default()).unwrap();
    let slug: TenantSlug = "acme-inc".parse().unwrap();
    let uid = press.store.view().unwrap().get::<TenantRow>(&slug).unwrap().unwrap().uid;
    let at = UnixMillis::new(1_795_262_400_000);
    let mut change = Change::new();
    change.put(&(uid, place), &ExportDrill { tried: at, good: Some(at) });
    press.store.commit(change).unwrap();
}

#[test]
fn what_happened_is_counted() {
    let (server, text) = busy();
    let counted = |series: &str| value(&text, series);
    let builds = |outcome: &str, target: &str| {
        let labels = format!("outcome=\"{outcome}\",target=\"{target}\",tenant=\"\"");
        counted(&format!("colophon_builds_total{{{labels}}}"))
    };
    for (outcome, target) in [("built", "cloud"), ("noop", "cloud"), ("refused", "")] {
        assert!(is(builds(outcome, target), 1.0), "{outcome}");
    }
    assert!(is(counted("colophon_build_refusals_total{reason=\"stale-revision\"}"), 1.0));
    let labels = "outcome=\"built\",target=\"cloud\"";
    assert!(is(counted(&format!("colophon_build_duration_seconds_count{{{labels}}}")), 1.0));
    let labels = "method=\"POST\",route=\"/build\",status=\"201\"";
    assert!(is(counted(&format!("colophon_http_requests_total{{{labels}}}")), 1.0));
    assert!(is(counted("colophon_builds_in_flight"), 0.0));
    assert!(is(counted("colophon_tasks{kind=\"build\",state=\"most\"}"), 64.0));
    assert!(is(counted("colophon_tenants"), 1.0) && is(counted("colophon_store_up"), 1.0));
    assert!(counted("colophon_store_blobs") > 10.0);
    assert!(counted("colophon_store_metadata_bytes") > 0.0);
    assert!(counted("colophon_disk_free_bytes") > 0.0);
    assert!(counted("colophon_store_commit_duration_seconds_count") >= 2.0);
    let groups = counted("colophon_store_group_changes_bucket{le=\"+Inf\"}");
    assert!(is(groups, counted("colophon_store_group_changes_count")));
    assert!(counted("colophon_edge_metadata_ends_seconds{role=\"timestamp\"}") > 0.0);
    assert!(is(counted("colophon_mirrors{phase=\"parked\"}"), 0.0));
    assert!(text.ends_with("# EOF\n"));

    // Nothing that grows with use is a label.
    let record = server.get_with("/v1/t/acme-inc/flows", &server.tenant("b-inc").api);
    assert_eq!(record.status, 404);
    let text = scrape(&server);
    for word in ["acme-inc", "one", "/v1/t/acme"] {
        assert!(!text.contains(&format!("\"{word}")), "`{word}` is in a label");
    }
    assert!(text.contains("route=\"/v1/t/{slug}/flows\""));
}

#[test]
fn builds_are_counted_by_tenant_when_that_is_asked_for() {
    let server = TestServer::with(|config| {
        config.admin.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.admin.tenant_label = true;
    });
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", None, "x")).status, 201);
    let labels = "outcome=\"built\",target=\"cloud\",tenant=\"acme-inc\"";
    assert!(is(value(&scrape(&server), &format!("colophon_builds_total{{{labels}}}")), 1.0));
}

/// Metrics are for the operator's network: the public listener has none, and there is no admin
/// listener unless one is asked for.
#[test]
fn the_public_listener_shows_no_metrics() {
    let (server, _) = busy();
    assert_eq!(server.get("/metrics", &[]).status, 404);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(&format!("{}{path}", server.admin), &[]).status, 200);
    }
    assert_eq!(server.get(&format!("{}/build", server.admin), &[]).status, 404);
    assert_eq!(TestServer::start().admin, "");
}

/// Names of metrics in a query.
fn names(query: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    query.split(word).filter(|w| w.starts_with("colophon_")).map(str::to_owned).collect()
}

fn asked() -> BTreeSet<String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/");
    let read = |name: &str| std::fs::read_to_string(format!("{root}{name}")).unwrap();
    let board: serde_json::Value = serde_json::from_str(&read("grafana/colophon.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let alerts = read("prometheus/alerts.yml");
    let alerts = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let all: Vec<String> = queries.chain(alerts.map(str::to_owned)).collect();
    assert!(all.len() > 35, "{}", all.len());
    all.iter().flat_map(|query| names(query)).collect()
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_there_are() {
    let (_server, text) = busy();
    let there: BTreeSet<&str> = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.split(['{', ' ']).next())
        .collect();
    for name in asked() {
        assert!(there.contains(name.as_str()), "nothing is called `{name}`");
    }
}

/// Whoever reads docs/telemetry.md finds every metric there is, and none that is not.
#[test]
fn the_document_names_every_metric() {
    let (_server, text) = busy();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut there: BTreeSet<String> = types
        .map(|(name, kind)| format!("{name}{}", if kind == "counter" { "_total" } else { "" }))
        .collect();
    there.insert("colophon_tls_certificate_ends_seconds".to_owned()); // of a server with TLS
    let document = include_str!("../../docs/telemetry.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `colophon_"));
    let told = rows.flat_map(|row| names(&format!("colophon_{}", row.split('|').next().unwrap())));
    assert_eq!(there, told.collect());
}

/// The line that says where the server listens names the admin listener too.
#[test]
fn the_admin_listener_is_announced() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    colophon(&data, &["tenant", "create", "acme-inc"]);
    let server = ServerProcess::with(&data, &["--admin-listen", "127.0.0.1:0"]);
    let metrics = format!("{}/metrics", server.ready["admin"].as_str().unwrap());
    let answer = read(agent().get(metrics).call().unwrap());
    assert_eq!(answer.status, 200);
}
