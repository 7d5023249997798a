//! `colophon checkout`: what it puts where, what it refuses, and how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::checkout::{Place, listed, until, walked};
use crate::support::programs::{clone, git_in};
use crate::support::{TestServer, TestTenant, small_flow};

fn place(server: &TestServer, tenant: &TestTenant) -> Place {
    Place {
        server: server.url.clone(),
        tenant: tenant.slug.clone(),
        token: tenant.git.clone(),
        dir: server.path("flows"),
    }
}

/// Builds a flow and returns the commit.
fn build(server: &TestServer, tenant: &TestTenant, flow: &str, text: &str) -> String {
    let answer = server.build(tenant, &small_flow(flow, None, text));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["commit"].as_str().unwrap().to_owned()
}

/// What git would check out, file for file; again at no cost; and back.
#[test]
fn a_checkout_is_what_git_has() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let dir = tempfile::tempdir().unwrap(); // which outlives the server
    let place = Place { dir: dir.path().join("flows"), ..place(&server, &tenant) };
    let first = build(&server, &tenant, "orders", "one");
    let told = place.told(&[]);
    assert_eq!((&told["event"], &told["new"]), (&"switched".into(), &first.clone().into()));
    server.clock.advance(1_000); // commits have seconds
    let second = build(&server, &tenant, "returns", "two");
    assert_eq!(place.told(&[])["old"], first);
    assert_eq!(place.told(&[])["event"], "unchanged");
    let copy = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &copy);
    assert_eq!(walked(&place.dir), Some((second.clone(), listed(&copy, &second))));
    // Nobody writes to a version by mistake.
    let mode = fs::metadata(place.dir.join("current/manifest.json")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o444);

    // To a commit, from what was kept, and to a tag.
    let back = place.told(&["--at", &first]);
    assert_eq!((&back["fetched"], &back["backwards"]), (&0.into(), &true.into()));
    assert_eq!(walked(&place.dir), Some((first.clone(), listed(&copy, &first))));
    let tag = git_in(&copy, &["tag", "--points-at", &second]);
    assert_eq!(place.told(&["--at", tag.lines().next().unwrap()])["new"], second);
    // One flow alone, and all of them again.
    place.told(&["--flow", "orders"]);
    let (_, files) = walked(&place.dir).unwrap();
    let has = |name: &str| files.contains_key(&format!("app/flows/acme_inc/{name}"));
    assert!(has("flow_orders.py") && !has("flow_returns.py") && files.contains_key("README.md"));
    place.told(&[]);
    assert_eq!(walked(&place.dir), Some((second.clone(), listed(&copy, &second))));

    // The folder knows whose it is, and how it stands without a server.
    drop(server);
    let status = place.told(&["--status", "--verify", "--max-age", "1h"]);
    assert_eq!((&status["commit"], &status["verified"]), (&second.into(), &true.into()));
    assert_eq!((&status["watched"], &status["tenant"]), (&false.into(), &"acme-inc".into()));
    assert_eq!(place.refused(&["--status", "--max-age", "0s"]).0, 7);
    let (code, words) = place.refused(&[]);
    assert_eq!(code, 3, "{words}");
}

/// Everything that people get wrong, with a code and words; the folder stays as it is.
#[test]
fn refusals_have_codes_and_say_what_helps() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme-inc"), server.tenant("umbrella"));
    let good = place(&server, &tenant);
    let commit = build(&server, &tenant, "orders", "one");
    let refused = |place: &Place, args: &[&str], code: i32, words: &str| {
        let (found, said) = place.refused(args);
        assert!(found == code && said.contains(words), "{args:?}: {found}: {said}");
    };
    let wrong = |token: &str| Place { token: token.to_owned(), ..good.clone() };
    refused(&wrong("clp_git_nonsense"), &[], 5, "colophon token create");
    refused(&wrong(&tenant.api), &["--watch"], 5, "colophon token create");
    refused(&wrong(&other.git), &[], 4, "--tenant");
    refused(&wrong(" "), &[], 2, "the token");
    refused(&Place { server: format!("{}/git", server.url), ..good.clone() }, &[], 4, "404");
    let far = Place { server: "http://colophon.invalid".to_owned(), ..good.clone() };
    refused(&far, &[], 2, "--allow-http");
    refused(&good, &["--at", &"ab".repeat(20)], 4, "no version");
    refused(&good, &["--at", "bld/none"], 4, "no version");
    assert!(!good.dir.join("current").exists());

    good.told(&[]);
    let theirs = Place { tenant: "umbrella".to_owned(), token: other.git.clone(), ..good.clone() };
    refused(&theirs, &[], 2, "another folder");
    let full = Place { dir: server.path("full"), ..good.clone() };
    fs::create_dir(&full.dir).unwrap();
    fs::write(full.dir.join("precious"), "x").unwrap();
    refused(&full, &[], 2, "precious");
    refused(&Place { dir: server.path("none"), ..good.clone() }, &["--status"], 4, "--tenant");
    let mut watcher = good.watch(&[]);
    watcher.event("unchanged");
    assert_eq!(good.told(&["--status"])["watched"], true);
    refused(&good, &[], 12, "another");
    assert!(watcher.terminate().success(), "a stop is no failure");
    assert_eq!(watcher.event("stopped")["event"], "stopped");

    assert_eq!(server.operator("POST", "/v1/tenants/acme-inc/suspend", "{}").status, 200);
    refused(&good, &[], 5, "colophon tenant resume");
    assert_eq!(good.commit(), Some(commit));
}

/// A credential is replaced, a tenant suspended and resumed, under a watch that goes on all the while.
#[test]
fn a_watch_outlives_what_passes() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (place, file) = (place(&server, &tenant), server.path("token"));
    fs::write(&file, format!("{}\n", tenant.git)).unwrap();
    let ready = server.path("ready");
    let (file_name, ready_name) = (file.display().to_string(), ready.display().to_string());
    let watcher = place.watch(&["--token-file", &file_name, "--ready-file", &ready_name]);
    watcher.event("switched");
    until("it is ready", || ready.exists());
    let post = |path: &str| server.operator("POST", &format!("/v1/tenants/acme-inc/{path}"), "{}");
    assert_eq!(post("suspend").status, 200);
    let failed = watcher.event("failed");
    assert_eq!(failed["code"], "tenant-suspended", "{failed}");
    until("it is told", || place.told(&["--status"])["problem"]["code"] == "tenant-suspended");
    assert_eq!(post("resume").status, 200);
    watcher.event("recovered");
    // The old token ends; the file has another one by then.
    let list = server.operator("GET", "/v1/tenants/acme-inc/tokens", "").json();
    let old = list["tokens"].as_array().unwrap().iter().find(|token| token["kind"] == "git");
    let old = old.unwrap()["id"].as_str().unwrap().to_owned();
    let made = server.operator("POST", "/v1/tenants/acme-inc/tokens", r#"{"kind":"git","days":1}"#);
    let revoked = server.operator("DELETE", &format!("/v1/tenants/acme-inc/tokens/{old}"), "");
    assert!(revoked.status < 300, "{revoked:?}");
    assert_eq!(watcher.event("failed")["code"], "unauthorized");
    fs::write(&file, made.json()["token"].as_str().unwrap()).unwrap();
    watcher.event("recovered");
    let commit = build(&server, &tenant, "orders", "after");
    assert_eq!(watcher.event("switched")["new"], commit);
    assert!(ready.exists() && place.told(&["--status"])["problem"].is_null());
}

/// What follows a switch gets both commits, not the token; it is repeated until it works, also by the next
/// process, and a newer version does not wait for it.
#[test]
fn what_follows_a_switch_is_done_for_each_version() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (place, log) = (place(&server, &tenant), server.path("log"));
    let first = build(&server, &tenant, "orders", "one");
    let script = format!(
        "test -e app/flows && echo \"$COLOPHON_OLD_COMMIT>$COLOPHON_NEW_COMMIT \
         ${{COLOPHON_CHECKOUT_TOKEN:-hidden}}\" >> {0} && test ! -e {0}.fail",
        log.display()
    );
    let fail = server.path("log.fail");
    fs::write(&fail, "").unwrap();
    let (code, words) = place.refused(&["--exec", &script]);
    assert!(code == 13 && words.contains("exit status: 1"), "{code}: {words}");
    assert_eq!(place.commit().as_ref(), Some(&first), "the version is in place all the same");
    let ready = server.path("ready");
    let ready_name = ready.display().to_string();
    let mut watcher = place.watch(&["--exec", &script, "--ready-file", &ready_name]);
    assert_eq!(watcher.event("hook")["ok"], false, "it is still owed");
    let second = build(&server, &tenant, "orders", "two");
    assert_eq!(watcher.event("switched")["new"], second);
    assert!(!ready.exists());
    fs::remove_file(&fail).unwrap();
    until("it is ready", || ready.exists());
    assert!(watcher.terminate().success());
    place.told(&["--exec", &script]);
    let lines = fs::read_to_string(&log).unwrap();
    let expected = [format!(">{first} hidden"), format!(">{second} hidden")];
    assert!(lines.lines().all(|line| expected.contains(&line.to_owned())), "{lines}");
    assert_eq!(lines.lines().last(), Some(&*expected[1]), "{lines}");

    // A signal, to a process that writes down that it got it.
    let (got, listens) = (server.path("got"), server.path("listens"));
    let trap = format!(
        "trap 'echo x > {}; exit' HUP; echo x > {}; while :; do sleep 0.05; done",
        got.display(),
        listens.display()
    );
    let mut process = std::process::Command::new("sh").args(["-c", &trap]).spawn().unwrap();
    until("it listens for it", || listens.exists()); // before that a signal would end it
    let pid = server.path("pid");
    fs::write(&pid, process.id().to_string()).unwrap();
    build(&server, &tenant, "orders", "three");
    place.told(&["--signal", "HUP", "--pid-file", &pid.display().to_string()]);
    until("it got it", || got.exists());
    process.wait().unwrap();
}
