//! Exports that the server makes by itself: after builds, by the clock, at places that fail, and across the death of the
//! process.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use colophon::config::Config;
use colophon::exporter::{ExportStatus, Phase, status};
use colophon::intake::legacy_signature as webhook_signature;
use colophon::units::Span;
use colophon_store::rows::{AuditLine, Effect, ExportDrill, OutboxRow, TenantRow};
use serde_json::Value;

use crate::support::export::{check, export};
use crate::support::process::{ServerProcess, colophon, told};
use crate::support::s3::{BUCKET, KEY, Store, environment};
use crate::support::upstream::{Proxy, Twist, until};
use crate::support::{TestServer, agent, read, small_flow};

/// A minute and an hour, in milliseconds.
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// A server that exports to folders of these names beside its data.
fn server(folders: &[&str], change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::with(|config| {
        let url = |name: &&str| format!("file://{}", config.data.with_file_name(name).display());
        config.export.to = folders.iter().map(|name| url(name).parse().unwrap()).collect();
        change(config);
    })
}

fn folder(server: &TestServer, name: &str) -> PathBuf {
    server.path(name)
}

fn place(server: &TestServer, name: &str) -> String {
    format!("file://{}", folder(server, name).display())
}

/// How a tenant's export to a folder fares.
fn fares(server: &TestServer, slug: &str, name: &str) -> ExportStatus {
    let app = &server.app;
    let (view, now) = (app.press.store.view().unwrap(), app.press.clock.now());
    let all = status(&view, &app.config.export, &slug.parse().unwrap(), now).unwrap();
    let to = place(server, name);
    all.into_iter().find(|one| one.to == to).unwrap_or_else(|| panic!("nothing of {to}"))
}

fn after_builds(config: &mut Config) {
    config.export.after_builds = true;
    config.export.every = Span::seconds(0);
    config.export.settle = Span::seconds(60);
}

/// The builds of a minute come into one bag, a minute after the first of them; then nothing waits in the outbox, and the
/// next build asks anew. A tenant that is suspended meanwhile is exported all the same.
#[test]
fn builds_are_exported_once_they_have_settled_and_in_one_bag() {
    let server = server(&["evidence"], after_builds);
    let tenant = server.tenant("acme-inc");
    let asked = || {
        let view = server.app.press.store.view().unwrap();
        let slug = "acme-inc".parse().unwrap();
        let uid = view.get::<TenantRow>(&slug).unwrap().unwrap().uid;
        view.get::<OutboxRow>(&(uid, Effect::Export)).unwrap().map(|row| row.changes)
    };
    for revision in 1..=3 {
        let flow = small_flow("one", Some(revision), &format!("text {revision}"));
        assert_eq!(server.build(&tenant, &flow).status, 201);
    }
    assert_eq!(asked(), Some(3));
    let waits = fares(&server, "acme-inc", "evidence");
    assert_eq!((waits.phase, waits.waiting, waits.sequence), (Phase::Waiting, 3, 0));
    server.clock.advance(MINUTE - 1);
    let waits = fares(&server, "acme-inc", "evidence");
    assert_eq!((waits.lag, waits.succeeded), (59, None), "it has not settled");
    server.operator("POST", "/v1/tenants/acme-inc/suspend", "");
    server.clock.advance(MINUTE);
    until("the builds are exported", || asked().is_none());
    let done = fares(&server, "acme-inc", "evidence");
    assert_eq!((done.phase, done.sequence, done.builds, done.lag), (Phase::Current, 1, 3, 0));
    let found = check(&server, &place(&server, "evidence"), "acme-inc");
    assert!(found.is_clean() && found.bags == 1 && found.builds == 3, "{found:#?}");

    server.operator("POST", "/v1/tenants/acme-inc/resume", "");
    assert_eq!(server.build(&tenant, &small_flow("two", Some(1), "x")).status, 201);
    server.clock.advance(2 * MINUTE);
    until("the next build is exported", || asked().is_none());
    assert_eq!(fares(&server, "acme-inc", "evidence").sequence, 2);
}

/// Every tenant is exported by the clock, archived ones too, and what they did beside builds is. When nothing is new
/// nothing is written, and it is known that nothing was.
#[test]
fn the_clock_has_every_tenant_exported() {
    let server = server(&["evidence"], |_| {});
    server.tenant("acme-inc");
    server.tenant("old-inc");
    assert_eq!(server.operator("POST", "/v1/tenants/old-inc/archive", "").status, 200);
    let sequence = |slug: &str| fares(&server, slug, "evidence").sequence;
    let is_current = |slug: &str| fares(&server, slug, "evidence").phase == Phase::Current;
    until("both are exported", || is_current("acme-inc") && is_current("old-inc"));
    let before = sequence("acme-inc");
    let token = r#"{"kind": "api", "label": "x"}"#;
    assert_eq!(server.operator("POST", "/v1/tenants/acme-inc/tokens", token).status, 201);
    let waits = fares(&server, "acme-inc", "evidence");
    assert_eq!((waits.phase, waits.waiting), (Phase::Waiting, 0), "an act, and no build");
    server.clock.advance(HOUR);
    assert!(fares(&server, "acme-inc", "evidence").lag >= 3600);
    until("the act is exported", || is_current("acme-inc"));
    assert_eq!(sequence("acme-inc"), before + 1);

    let last = fares(&server, "acme-inc", "evidence").succeeded;
    server.clock.advance(HOUR);
    until("it was looked", || fares(&server, "acme-inc", "evidence").succeeded > last);
    assert_eq!(sequence("acme-inc"), before + 1, "nothing was new");
}

/// A place that fails is told with its reason, is tried again later and later, and keeps neither another place nor builds
/// waiting. An export by hand ends it too.
#[test]
fn a_place_that_fails_is_told_and_tried_again() {
    let server = server(&["bad", "good"], |config| {
        after_builds(config);
        config.export.settle = Span::seconds(0);
        // A file is no folder.
        fs::write(config.data.with_file_name("bad"), "").unwrap();
        config.admin.listen = Some(([127, 0, 0, 1], 0).into());
    });
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "x")).status, 201);
    let bad = || fares(&server, "acme-inc", "bad");
    let is_current = |name: &str| fares(&server, "acme-inc", name).phase == Phase::Current;
    until("one place has it", || is_current("good"));
    until("the other one fails", || bad().failures == 1);
    let told = bad();
    assert_eq!((told.phase, told.code.as_deref()), (Phase::Failing, Some("export-refused")));
    assert!(told.trouble.unwrap().contains("bad") && told.next.is_some() && told.lag == 0);

    let listed = server.operator("GET", "/v1/exports", "");
    let listed = listed.json()["exports"].as_array().unwrap().clone();
    let phases: Vec<&Value> = listed.iter().map(|one| &one["phase"]).collect();
    assert_eq!(phases, ["failing", "current"]);
    assert_eq!(server.operator("GET", "/v1/tenants/nobody/exports", "").status, 404);
    let scrape = || {
        let answer = server.get(&format!("{}/metrics", server.admin), &[]);
        String::from_utf8(answer.bytes).unwrap()
    };
    let failing = |count: &str| {
        let place = place(&server, "bad");
        format!("colophon_export_tenants{{phase=\"failing\",place=\"{place}\"}} {count}")
    };
    assert!(scrape().contains(&failing("1.0")), "{}", scrape());

    // It rests, and then fails again.
    server.clock.advance(MINUTE);
    until("it is tried again", || bad().failures == 2);
    assert!(bad().lag >= 60);
    fs::remove_file(folder(&server, "bad")).unwrap();
    assert_eq!(export(&server, &place(&server, "bad"), "acme-inc"), 1);
    assert_eq!((bad().phase, bad().failures), (Phase::Current, 0), "by hand");
    assert!(scrape().contains(&failing("0.0")), "{}", scrape());
    assert_eq!(server.build(&tenant, &small_flow("one", Some(2), "y")).status, 201);
    server.clock.advance(HOUR);
    until("the schedule goes on", || is_current("bad") && is_current("good"));
    assert_eq!(bad().sequence, 2);
}

/// Each tenant's export is restored for trial in its turn, and what came of it is in that tenant's audit log: that it is
/// good, and that it is not when a file of it was changed.
#[test]
fn exports_are_restored_for_trial_in_turn() {
    let server = server(&["evidence"], |config| {
        after_builds(config);
        config.export.settle = Span::seconds(0);
        config.export.drill_every = Span::seconds(1);
        config.admin.listen = Some(([127, 0, 0, 1], 0).into());
    });
    for slug in ["acme-inc", "globex"] {
        let tenant = server.tenant(slug);
        assert_eq!(server.build(&tenant, &small_flow("one", Some(1), slug)).status, 201);
        until("it is exported", || fares(&server, slug, "evidence").phase == Phase::Current);
    }
    let drilled = |slug: &str, word: &str| {
        // Whose turn it is goes by the clock.
        server.clock.advance(1_000);
        let view = server.app.press.store.view().unwrap();
        let uid = view.get::<TenantRow>(&slug.parse().unwrap()).unwrap().unwrap().uid;
        let lines = view.scan::<AuditLine>(&uid).map(|row| row.unwrap().1.0);
        let is_drill = |line: &String| line.contains("\"action\":\"export.drill\"");
        lines.filter(is_drill).any(|line| line.contains(word))
    };
    for slug in ["acme-inc", "globex"] {
        until("its export is restored", || drilled(slug, "\"outcome\":\"success\""));
    }
    let metric = |name: &str| {
        let answer = server.get(&format!("{}/metrics", server.admin), &[]);
        let text = String::from_utf8(answer.bytes).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse::<f64>().unwrap())
    };
    let counted =
        |result: &str| metric(&format!("colophon_export_drills_total{{result=\"{result}\"}}"));
    let last = || {
        let place = place(&server, "evidence");
        metric(&format!(
            "colophon_export_drill_last_success_timestamp_seconds{{place=\"{place}\"}}"
        ))
    };
    let now = || Duration::from_millis(server.clock_millis()).as_secs_f64();
    assert!(counted("success") >= 2.0 && counted("failure") < 0.5);
    assert!(last() > now() - 600.0 && last() <= now(), "{} at {}", last(), now());
    assert!(metric("colophon_export_drill_every_seconds") > 0.9);
    let bag = folder(&server, "evidence").join("v1/globex/HEAD.json");
    let head = fs::read_to_string(&bag).unwrap();
    fs::write(&bag, head.replacen("\"builds\":1", "\"builds\":2", 1)).unwrap();
    until("that it was changed is found", || drilled("globex", "\"code\":\""));
    assert!(!drilled("acme-inc", "\"code\":\""), "the other one is as it was");
    assert!(counted("failure") > 0.5);
    // What fails is no success; the other tenant's may have been one since.
    let row = |slug: &str| {
        let view = server.app.press.store.view().unwrap();
        let uid = view.get::<TenantRow>(&slug.parse().unwrap()).unwrap().unwrap().uid;
        view.scan::<ExportDrill>(&uid).next().unwrap().unwrap().1
    };
    let failed = row("globex");
    assert!(failed.good.is_some_and(|good| good < failed.tried), "{failed:?}");
}

/// An export that hangs keeps neither maintenance nor the tenant's builds waiting, nor the end of the server; one that was
/// killed goes on at the next start with the same bag.
#[test]
fn an_export_that_hangs_holds_nothing_up_and_survives_a_kill() {
    let Some(store) = Store::moto() else { return };
    let proxy = Proxy::before(store.port);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let made = colophon(&data, &["tenant", "create", "acme-inc"]);
    let secret = made["webhook_secret"].as_str().unwrap();
    let to = format!("[\"s3://{BUCKET}/killed\"]");
    let mut variables = environment(&format!("http://127.0.0.1:{}", proxy.port), KEY);
    for (name, value) in [
        ("COLOPHON_EXPORT_TO", to.as_str()),
        ("COLOPHON_EXPORT_EVERY", "0s"),
        ("COLOPHON_EXPORT_AFTER_BUILDS", "on"),
        ("COLOPHON_EXPORT_SETTLE", "0s"),
        ("COLOPHON_EXPORT_ATTEMPTS", "20"),
    ] {
        variables.push((name, value.to_owned()));
    }
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let serve = || ServerProcess::spawn(&data, &[], &variables, Stdio::null());
    let build = |server: &ServerProcess, text: &str| {
        let body = small_flow("one", None, text);
        let request = agent()
            .post(format!("{}/build", server.url))
            .header("x-tenant-slug", "acme-inc")
            .header("x-ap-signature", webhook_signature(secret, &body));
        assert_eq!(read(request.send(&body).unwrap()).status, 201);
    };
    // Everything is sent but the signature, which is tried again and again.
    let signs = |head: &str| head.contains("tagmanifest-sha256.txt.sig");
    proxy.rule(move |head| signs(head).then_some(Twist::HangUp));
    let tries = || proxy.take().iter().filter(|seen| signs(&seen.head)).count();
    let mut server = serve();
    build(&server, "a");
    until("the export hangs", || tries() > 0);
    colophon(&data, &["gc", "--dry-run"]);
    build(&server, "b");
    let began = Instant::now();
    assert!(server.terminate().success());
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());

    let mut server = serve();
    until("it goes on after a start", || tries() > 0);
    server.kill();
    proxy.rule(|_| None);
    let server = serve();
    let status = || colophon(&data, &["export", "status"])["exports"][0].clone();
    until("the export is complete", || status()["phase"] == "current");
    assert_eq!((&status()["builds"], &status()["waiting"]), (&2.into(), &0.into()));
    drop(server);
    let url = format!("s3://{BUCKET}/killed");
    let endpoint = store.url();
    let secret = dir.path().join("secret");
    fs::write(&secret, KEY.1).unwrap();
    let config = dir.path().join("c.toml");
    let text = format!(
        "[export]\nto = [\"{url}\"]\nendpoint = \"{endpoint}\"\naccess_key = \"{}\"\nsecret_key = \"file:{}\"\n",
        KEY.0,
        secret.display()
    );
    fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let found = colophon(&data, &["export", "verify", &url, "--config", &config]);
    let found = &found[0];
    assert_eq!((&found["builds"], &found["findings"]), (&2.into(), &Value::Array(vec![])));
    assert_eq!(found["unfinished"], Value::Null, "it went on with the same bag");

    // People read it too, and the doctor tries the place.
    let text = told(&data, &["export", "status", "acme-inc", "--config", &config]);
    assert!(text.contains("everything is there"), "{text}");
    let text = told(&data, &["doctor", "--dev", "--config", &config]);
    assert!(text.contains(&format!("`{url}` answers")), "{text}");
}
