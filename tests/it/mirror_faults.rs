//! Mirrors when something is wrong: with the remote, with the way to it, with the credential, with us.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::mirror::{World, build, check, reach, refs, retry, set, status, tags};
use crate::support::TestServer;
use crate::support::process::{ServerProcess, colophon};
use crate::support::programs::git_in;
use crate::support::small_flow;
use crate::support::upstream::{
    Proxy, TOKEN, Twist, Upstream, add_hook, free_port, protect, pushes, until,
};

/// A push whose answer is lost has come through: the next attempt finds that, and pushes nothing.
#[test]
fn a_lost_answer_is_not_a_lost_push() {
    let Some(world) = World::new() else { return };
    let world = world.mirrored();
    world.proxy.twist(&[Twist::Pass, Twist::LoseAnswer, Twist::HangUp]);
    world.build("one");
    let status = world.reach("retrying");
    assert_eq!(status["failures"], 1);
    assert!(status["trouble"].as_str().unwrap().contains("cannot be reached"), "{status}");
    assert_eq!(pushes(&world.proxy.take()).len(), 1);
    world.check();

    world.server.clock.advance(10_000);
    let status = world.settled();
    assert_eq!((&status["failures"], &status["trouble"]), (&json!(0), &Value::Null));
    let seen = world.proxy.take();
    assert_eq!((seen.len(), pushes(&seen).len()), (1, 0), "it only looked");
}

/// The answer alone is lost: what the remote shows right after is believed.
#[test]
fn what_the_remote_shows_counts() {
    let Some(world) = World::new() else { return };
    let world = world.mirrored();
    world.proxy.twist(&[Twist::Pass, Twist::LoseAnswer]);
    world.build("one");
    let status = world.settled();
    assert_eq!(status["failures"], 0);
    // And the other way round: an answer without a push is none.
    world.proxy.take();
    let fine = "200 OK\r\ncontent-type: application/x-git-receive-pack-result";
    world.proxy.twist(&[Twist::Pass, Twist::Answer(fine)]);
    world.build("two");
    let status = world.reach("retrying");
    assert!(status["trouble"].as_str().unwrap().contains("does not say why"), "{status}");
}

/// Somebody committed to the branch: both commits are named, nothing is overwritten, and nothing is
/// tried until somebody asks.
#[test]
fn a_divergence_is_quarantined_and_never_forced() {
    let Some(world) = World::new() else { return };
    world.build("one");
    let world = world.mirrored();
    let branch = "refs/heads/tenant/acme-inc";
    let tree = format!("{branch}^{{tree}}");
    let identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
    let commit = [&identity[..], &["commit-tree", "-p", branch, "-m", "mine", &tree]].concat();
    let theirs = git_in(&world.repository, &commit).trim().to_owned();
    git_in(&world.repository, &["update-ref", branch, &theirs]);
    world.build("two");
    let status = world.reach("quarantined");
    let found = &status["diverged"];
    assert_eq!((&found["name"], &found["theirs"]), (&json!(branch), &json!(theirs)));
    assert_eq!(found["ours"], status["tip"]);
    assert_eq!(refs(&world.repository)[branch], theirs);
    assert!(pushes(&world.proxy.take()).is_empty());

    // Neither time nor builds wake it.
    world.build("three");
    world.server.clock.advance(48 * 3_600 * 1_000);
    world.worker_looks();
    assert_eq!(world.status()["phase"], "quarantined");
    assert_eq!(world.proxy.count(), 0);
    git_in(&world.repository, &["update-ref", branch, status["upstream"].as_str().unwrap()]);
    retry(&world.server, &world.tenant);
    world.settled();
}

/// A rule of the remote parks the mirror with the rule's own words; a retry after it was mended goes
/// on.
#[test]
fn a_protected_branch_parks_with_the_words_of_the_hook() {
    let Some(world) = World::new() else { return };
    let world = world.mirrored();
    protect(&world.repository, Some("GH013: only releases on fridays"));
    world.build("one");
    let status = world.reach("parked");
    let why = status["trouble"].as_str().unwrap();
    assert!(why.contains("pre-receive hook declined"), "{why}");
    assert!(why.contains("only releases on fridays"), "{why}");
    assert_eq!(pushes(&world.proxy.take()).len(), 1);
    world.build("two");
    world.server.clock.advance(48 * 3_600 * 1_000);
    world.worker_looks();
    assert_eq!(world.status()["phase"], "parked");
    assert_eq!(world.proxy.count(), 0);
    protect(&world.repository, None);
    retry(&world.server, &world.tenant);
    world.settled();
}

/// A rule for tags alone: the branch is through, and the status says so.
#[test]
fn what_came_through_of_a_refused_push_is_known() {
    let Some(world) = World::new() else { return };
    let world = world.mirrored();
    let hook = "case $1 in refs/tags/*) echo no tags here >&2; exit 1;; esac";
    add_hook(&world.repository, "update", hook);
    world.build("one");
    let status = world.reach("parked");
    assert_eq!(status["upstream"], status["tip"]);
    let why = status["trouble"].as_str().unwrap();
    assert!(why.contains("-cloud: hook declined; it says: no tags here"), "{why}");
    assert!(!why.contains("refs/heads"), "the branch was taken: {why}");
}

/// A refused credential is read anew once; then the mirror rests. The secret shows nowhere.
#[test]
fn a_refused_credential_is_renewed_once_and_then_parks() {
    let Some(world) = World::new() else { return };
    let credential = world.up.credential();
    let path = credential.strip_prefix("file:").unwrap();
    std::fs::write(path, "stale-password").unwrap();
    set(&world.server, &world.tenant, &world.proxy.url("acme.git"), &credential);
    let status = world.reach("retrying");
    assert!(status["trouble"].as_str().unwrap().contains("401"), "{status}");
    world.server.clock.advance(10_000);
    let status = world.reach("parked");
    assert!(!status.to_string().contains("stale-password"));
    assert_eq!(world.proxy.take().len(), 2);

    // Rotated between two attempts: it goes on by itself.
    retry(&world.server, &world.tenant);
    world.reach("retrying");
    std::fs::write(path, TOKEN).unwrap();
    world.server.clock.advance(10_000);
    world.settled();
    // Gone altogether: told without a word of what was in it.
    std::fs::remove_file(path).unwrap();
    world.build("one");
    let status = world.reach("retrying");
    assert!(status["trouble"].as_str().unwrap().contains("cannot be read"), "{status}");
}

/// The fullest log there is shows requests, and neither the secret nor the header it goes in.
#[test]
fn the_secret_is_in_no_log() {
    let Some(up) = Upstream::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    up.repository("acme.git");
    let file = std::fs::File::create(&log).unwrap();
    let env = [("COLOPHON_LOG", "trace"), ("ACME_TOKEN", TOKEN)];
    let server = ServerProcess::spawn(&data, &[], &env, file.into());
    colophon(&data, &["tenant", "create", "acme-inc"]);
    let set = ["mirror", "set", "acme-inc", &up.url("acme.git"), "--credential", "env:ACME_TOKEN"];
    colophon(&data, &set);
    let phase = || colophon(&data, &["mirror", "status", "acme-inc"])["phase"].clone();
    until("settled", || phase() == "settled");
    drop(server);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("git-receive-pack"), "requests are in it");
    let encoded = data_encoding::BASE64.encode(format!("x-access-token:{TOKEN}").as_bytes());
    // The end of it, which no other user name changes.
    for secret in [TOKEN, &encoded, &encoded[encoded.len() - 12..]] {
        assert!(!text.contains(secret));
    }
}

/// A remote that repeats what it was sent does not get the secret into our records.
#[test]
fn an_echoed_secret_is_blotted_out() {
    let Some(world) = World::new() else { return };
    let world = world.mirrored();
    protect(&world.repository, Some(&format!("you sent {TOKEN}, did you not")));
    world.build("one");
    let status = world.reach("parked");
    assert!(status["trouble"].as_str().unwrap().contains("you sent …, did you not"), "{status}");
    assert!(!status.to_string().contains(TOKEN));
}

/// `Retry-After` is honoured to the second, and a failing server is waited for longer and longer.
#[test]
fn overload_is_waited_out() {
    let Some(world) = World::new() else { return };
    let world = world.mirrored();
    world.proxy.twist(&[Twist::Answer("429 Too Many Requests\r\nretry-after: 120")]);
    world.build("one");
    let status = world.reach("retrying");
    assert!(status["trouble"].as_str().unwrap().contains("429"), "{status}");
    assert_eq!(world.proxy.take().len(), 1);
    world.server.clock.advance(118_000); // a build takes another second
    world.worker_looks();
    assert_eq!(world.proxy.count(), 0, "it is not time yet");
    world.proxy.twist(&[Twist::Pass, Twist::Answer("503 Service Unavailable")]);
    world.server.clock.advance(1_000);
    until("the second failure", || world.status()["failures"] == 2);
    world.proxy.twist(&[Twist::Answer("502 Bad Gateway")]);
    world.server.clock.advance(20_000);
    until("the third failure", || world.status()["failures"] == 3);
    world.server.clock.advance(40_000);
    world.settled();
}

/// One mirror that fails keeps no other waiting, even when there is one worker.
#[test]
fn a_failing_mirror_does_not_block_others() {
    let Some(up) = Upstream::start() else { return };
    let server = TestServer::with(|config| {
        crate::mirror::without_pause(config);
        config.mirror.workers = 1;
    });
    let (bad, good) = (server.tenant("bad"), server.tenant("good"));
    let repository = up.repository("good.git");
    let nowhere = format!("http://127.0.0.1:{}/bad.git", free_port());
    set(&server, &bad, &nowhere, &up.credential());
    set(&server, &good, &up.url("good.git"), &up.credential());
    reach(&server, &good, "settled");
    reach(&server, &bad, "retrying");
    build(&server, &good, "one");
    build(&server, &bad, "one");
    reach(&server, &good, "settled");
    check(&server, &good, &repository);
    assert_eq!(status(&server, &bad)["phase"], "retrying");
    let list = server.operator("GET", "/v1/mirrors", "").json();
    let phases: Vec<&Value> =
        list["mirrors"].as_array().unwrap().iter().map(|m| &m["phase"]).collect();
    assert_eq!(phases, ["retrying", "settled"]);
}

/// A redirect is not followed: the credential would go to another host.
#[test]
fn a_redirect_parks_and_leads_nowhere() {
    let Some(world) = World::new() else { return };
    let elsewhere = Proxy::before(world.up.port);
    let location = format!("301 Moved\r\nlocation: {}/info/refs?x=y", elsewhere.url("acme.git"));
    world.proxy.twist(&[Twist::Answer(Box::leak(location.into_boxed_str()))]);
    world.set();
    let status = world.reach("parked");
    let why = status["trouble"].as_str().unwrap();
    assert!(why.contains(&format!("`{}`", elsewhere.url("acme.git"))), "{why}");
    assert_eq!(elsewhere.count(), 0);
}

/// Whatever stands there instead of a Git server is told apart from one.
#[test]
fn a_web_page_is_no_repository() {
    let Some(world) = World::new() else { return };
    world.proxy.twist(&[Twist::Answer("200 OK\r\ncontent-type: text/html")]);
    world.set();
    let status = world.reach("retrying");
    assert!(status["trouble"].as_str().unwrap().contains("text/html"), "{status}");
    world.server.clock.advance(10_000);
    world.settled();
}

/// Killed in the middle of a push, with the remote down at the next start: what was acknowledged is
/// pushed as soon as the remote is there.
#[test]
fn a_killed_server_goes_on_where_it_was() {
    let Some(up) = Upstream::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let config = dir.path().join("colophon.toml");
    std::fs::write(&config, "[mirror]\npush_every = \"0s\"\n").unwrap();
    let args = ["--config", config.to_str().unwrap()];
    let proxy = Proxy::before(up.port);
    let repository = up.repository("acme.git");
    let mut server = ServerProcess::with(&data, &args);
    colophon(&data, &["tenant", "create", "acme-inc"]);
    let token = colophon(&data, &["token", "create", "acme-inc", "--kind", "api"]);
    let (url, credential) = (proxy.url("acme.git"), up.credential());
    let set = ["mirror", "set", "acme-inc", &url, "--credential", &credential];
    assert_eq!(colophon(&data, &set)["phase"], "pending");
    let phase = || colophon(&data, &["mirror", "status", "acme-inc"])["phase"].clone();
    until("settled", || phase() == "settled");
    proxy.take();

    // The push comes through, its answer does not, and the next look fails.
    proxy.twist(&[Twist::Pass, Twist::LoseAnswer, Twist::HangUp]);
    build_at(&server.url, token["token"].as_str().unwrap(), "one");
    until("the push", || pushes(&proxy.take()).len() == 1 || phase() == "retrying");
    build_at(&server.url, token["token"].as_str().unwrap(), "two");
    server.kill();
    drop(server);
    let waiting = colophon(&data, &["mirror", "status", "acme-inc"]);
    assert_ne!(waiting["pending"], Value::Null, "{waiting}");
    proxy.take();

    let _server = ServerProcess::with(&data, &args);
    colophon(&data, &["mirror", "retry", "acme-inc"]);
    until("settled", || phase() == "settled");
    let seen = proxy.take();
    assert_eq!(pushes(&seen).len(), 1, "the second build alone");
    assert_eq!(tags(&repository), 2);
    git_in(&repository, &["fsck", "--strict"]);
}

fn build_at(url: &str, token: &str, text: &str) {
    let answer = crate::support::agent()
        .post(format!("{url}/build"))
        .header("authorization", format!("Bearer {token}"))
        .header("x-tenant-slug", "acme-inc")
        .send(&small_flow("greet", None, text));
    assert_eq!(answer.unwrap().status(), 201);
}

/// Over TLS the remote's certificate is checked against what the machine trusts.
#[test]
fn certificates_are_checked() {
    let Some(up) = Upstream::with_tls() else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let certificate = up.path("cert.pem").display().to_string();
    let repository = up.repository("acme.git");
    let untrusting = [("ACME_TOKEN", TOKEN)];
    let server = ServerProcess::spawn(&data, &[], &untrusting, Stdio::null());
    colophon(&data, &["tenant", "create", "acme-inc"]);
    let url = format!("https://localhost:{}/acme.git", up.port);
    colophon(&data, &["mirror", "set", "acme-inc", &url, "--credential", "env:ACME_TOKEN"]);
    let status = || colophon(&data, &["mirror", "status", "acme-inc"]);
    until("a refusal", || status()["phase"] == "retrying");
    let why = status()["trouble"].as_str().unwrap().to_owned();
    assert!(why.contains("certificate"), "{why}");
    assert!(refs(&repository).is_empty());
    drop(server);

    let trusted = [("ACME_TOKEN", TOKEN), ("SSL_CERT_FILE", certificate.as_str())];
    let _server = ServerProcess::spawn(&data, &[], &trusted, Stdio::inherit());
    colophon(&data, &["mirror", "retry", "acme-inc"]);
    until("settled", || status()["phase"] == "settled");
    assert_eq!(refs(&repository).len(), 1);
}
