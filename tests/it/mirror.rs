//! Mirrors against `git http-backend`: what is pushed, and when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use colophon::config::Config;
use colophon::units::Span;
use colophon_store::rows::{MirrorRow, MirrorTag};
use serde_json::{Value, json};

use crate::support::programs::{clone, git_in};
use crate::support::upstream::{Proxy, Upstream, pushes, until};
use crate::support::{TestServer, TestTenant, noise, small_flow};

/// A server that pushes without a pause between two pushes.
pub(crate) fn eager() -> TestServer {
    TestServer::with(without_pause)
}

pub(crate) fn without_pause(config: &mut Config) {
    config.mirror.push_every = Span::seconds(0);
}

/// A tenant, its repository at the upstream, and the proxy between.
pub(crate) struct World {
    pub(crate) up: Upstream,
    pub(crate) proxy: Proxy,
    pub(crate) server: TestServer,
    pub(crate) tenant: TestTenant,
    pub(crate) repository: PathBuf,
}

impl World {
    /// `None` where there is no upstream to be had.
    pub(crate) fn new() -> Option<Self> {
        let up = Upstream::start()?;
        let proxy = Proxy::before(up.port);
        let server = eager();
        let tenant = server.tenant("acme-inc");
        let repository = up.repository("acme.git");
        Some(Self { up, proxy, server, tenant, repository })
    }

    pub(crate) fn set(&self) -> Value {
        let credential = self.up.credential();
        set(&self.server, &self.tenant, &self.proxy.url("acme.git"), &credential)
    }

    pub(crate) fn build(&self, text: &str) {
        build(&self.server, &self.tenant, text);
    }

    /// Sets the mirror and waits until it is up to date.
    pub(crate) fn mirrored(self) -> Self {
        self.set();
        self.settled();
        self.proxy.take();
        self
    }

    pub(crate) fn status(&self) -> Value {
        status(&self.server, &self.tenant)
    }

    pub(crate) fn reach(&self, phase: &str) -> Value {
        reach(&self.server, &self.tenant, phase)
    }

    /// Waits until all is pushed, and checks that the upstream has just that.
    pub(crate) fn settled(&self) -> Value {
        let status = self.reach("settled");
        self.check();
        assert_eq!(status["tip"], status["upstream"]);
        status
    }

    /// Has the worker push for another tenant, twice: it has then looked at what is due since.
    pub(crate) fn worker_looks(&self) {
        let other = self.server.tenant("other");
        self.up.repository("other.git");
        set(&self.server, &other, &self.up.url("other.git"), &self.up.credential());
        reach(&self.server, &other, "settled");
        build(&self.server, &other, "again");
        reach(&self.server, &other, "settled");
    }

    pub(crate) fn check(&self) {
        check(&self.server, &self.tenant, &self.repository);
    }
}

pub(crate) fn build(server: &TestServer, tenant: &TestTenant, text: &str) {
    server.clock.advance(1_000);
    let answer = server.build(tenant, &small_flow("greet", None, text));
    assert_eq!(answer.status, 201, "{answer:?}");
}

pub(crate) fn set(server: &TestServer, tenant: &TestTenant, url: &str, credential: &str) -> Value {
    let body = json!({ "url": url, "credential": credential }).to_string();
    let answer = server.operator("PUT", &format!("/v1/tenants/{}/mirror", tenant.slug), &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

pub(crate) fn status(server: &TestServer, tenant: &TestTenant) -> Value {
    server.operator("GET", &format!("/v1/tenants/{}/mirror", tenant.slug), "").json()
}

pub(crate) fn retry(server: &TestServer, tenant: &TestTenant) {
    let path = format!("/v1/tenants/{}/mirror/retry", tenant.slug);
    assert_eq!(server.operator("POST", &path, "").status, 200);
}

pub(crate) fn reach(server: &TestServer, tenant: &TestTenant, phase: &str) -> Value {
    let mut last = Value::Null;
    until(phase, || {
        last = status(server, tenant);
        last["phase"] == phase
    });
    last
}

pub(crate) fn refs(repository: &Path) -> BTreeMap<String, String> {
    let args = ["for-each-ref", "--format=%(refname) %(objectname)"];
    let text = git_in(repository, &args);
    let line =
        |line: &str| line.split_once(' ').map(|(n, o)| (n.to_owned(), o.to_owned())).unwrap();
    text.lines().map(line).collect()
}

/// The upstream has exactly what a clone from us has, and is sound.
pub(crate) fn check(server: &TestServer, tenant: &TestTenant, repository: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("{}/git/{}.git", server.url, tenant.slug);
    let ours = dir.path().join("ours");
    clone(&url, &tenant.git, &ours);
    let mut expected = refs(&ours);
    let branch = format!("refs/heads/tenant/{}", tenant.slug);
    expected.retain(|name, _| *name == branch || name.starts_with("refs/tags/"));
    assert_eq!(refs(repository), expected);
    git_in(repository, &["fsck", "--strict", "--full"]);
}

pub(crate) fn tags(repository: &Path) -> usize {
    refs(repository).keys().filter(|name| name.starts_with("refs/tags/")).count()
}

/// The branch is made, with its tags; then each build follows by itself, in a small push.
#[test]
fn a_repository_is_made_and_kept_up_to_date() {
    let Some(world) = World::new() else { return };
    world.build("one");
    world.build("two");
    let told = world.set();
    assert_eq!((&told["phase"], &told["upstream"]), (&json!("pending"), &Value::Null));
    let status = world.settled();
    assert!(status["succeeded"].is_string() && status["next"].is_null(), "{status}");
    world.proxy.take();

    world.build("three");
    world.settled();
    let seen = world.proxy.take();
    let pushes = pushes(&seen);
    assert_eq!(pushes.len(), 1, "{seen:?}");
    assert_eq!(pushes[0].refs().len(), 2, "the branch and one tag");
    assert!(pushes[0].body.len() < 2_500, "{}", pushes[0].body.len());
    assert!(pushes[0].head.to_ascii_lowercase().contains("content-length: "));
    assert_eq!(seen.len(), 3, "refs, push, refs again");

    // An unchanged flow is not a change: nothing is pushed.
    assert_eq!(world.server.build(&world.tenant, &small_flow("greet", None, "three")).status, 200);
    assert_eq!(world.status()["phase"], "settled");
}

/// GitHub starts no workflow when a push brings more than three tags.
#[test]
fn at_most_three_tags_go_in_one_push_the_oldest_first() {
    let Some(world) = World::new() else { return };
    (0..8).for_each(|n| world.build(&format!("build {n}")));
    world.set();
    world.settled();
    let seen = world.proxy.take();
    let names: Vec<Vec<String>> = pushes(&seen).iter().map(|push| push.refs()).collect();
    assert_eq!(names.iter().map(Vec::len).collect::<Vec<_>>(), [4, 3, 2]);
    let tags: Vec<String> =
        names.concat().into_iter().filter(|name| name.starts_with("refs/tags/")).collect();
    assert!(tags.is_sorted(), "{tags:?}");
}

/// Builds that wait are pushed together.
#[test]
fn builds_that_come_meanwhile_are_one_push() {
    let Some(up) = Upstream::start() else { return };
    let proxy = Proxy::before(up.port);
    let server = TestServer::start(); // ten seconds between two pushes
    let tenant = server.tenant("acme-inc");
    let repository = up.repository("acme.git");
    set(&server, &tenant, &proxy.url("acme.git"), &up.credential());
    reach(&server, &tenant, "settled");
    proxy.take();
    (0..3).for_each(|n| build(&server, &tenant, &format!("build {n}")));
    let waiting = status(&server, &tenant);
    assert_eq!((&waiting["phase"], &waiting["pending"]["changes"]), (&json!("pending"), &json!(3)));
    assert_eq!(proxy.count(), 0, "it is not time yet");
    server.clock.advance(7_000);
    reach(&server, &tenant, "settled");
    let seen = proxy.take();
    assert_eq!(pushes(&seen).len(), 1);
    check(&server, &tenant, &repository);
}

/// Tags that are purged here are deleted there, in a push without a pack; tags of others stay.
#[test]
fn purged_tags_go_and_those_of_others_stay() {
    let Some(world) = World::new() else { return };
    (0..4).for_each(|n| world.build(&format!("build {n}")));
    let world = world.mirrored();
    git_in(&world.repository, &["tag", "v1", "refs/heads/tenant/acme-inc"]);
    world.server.clock.advance(40 * 24 * 3_600 * 1_000);
    world.build("young");
    world.reach("settled");
    world.proxy.take();
    assert_eq!(tags(&world.repository), 6);

    let answer = world.server.operator("POST", "/v1/maintenance/purge", "{}");
    assert_eq!(answer.status, 200, "{answer:?}");
    world.reach("settled");
    let left: Vec<String> = refs(&world.repository).into_keys().collect();
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(left[2], "refs/tags/v1");
    let seen = world.proxy.take();
    let pushes = pushes(&seen);
    assert_eq!(pushes.len(), 1);
    assert_eq!(pushes[0].refs().len(), 4);
    assert!(!pushes[0].body.windows(4).any(|window| window == b"PACK"), "deletions have no pack");
    let view = world.server.app.press.store.view().unwrap();
    assert_eq!(view.scan::<MirrorTag>(&()).count(), 1, "what is gone is forgotten");
}

/// More than a megabyte goes in chunks, made as they are sent.
#[test]
fn a_large_push_is_streamed() {
    let Some(world) = World::new() else { return };
    for n in 0..12 {
        world.build(&noise(n, 130_000));
    }
    world.set();
    world.settled();
    let seen = world.proxy.take();
    let pushes = pushes(&seen);
    assert!(pushes[0].body.len() > 1 << 20, "{}", pushes[0].body.len());
    assert!(pushes[0].head.to_ascii_lowercase().contains("transfer-encoding: chunked"));
}

/// The erasure of a tenant ends the mirror, and says that the upstream is another's to erase.
#[test]
fn an_erased_tenant_is_pushed_no_more() {
    let Some(world) = World::new() else { return };
    let world = world.mirrored();
    let answer = world.server.operator("DELETE", "/v1/tenants/acme-inc?confirm=acme-inc", "");
    let text = String::from_utf8(answer.bytes).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let outside = &last["result"]["statement"]["outside"][0];
    assert!(outside["what"].as_str().unwrap().contains(&world.proxy.url("acme.git")), "{outside}");
    let view = world.server.app.press.store.view().unwrap();
    assert_eq!(view.scan::<MirrorRow>(&()).count(), 0);
    assert_eq!(view.scan::<MirrorTag>(&()).count(), 0);
    assert_eq!(world.server.operator("GET", "/v1/tenants/acme-inc/mirror", "").status, 404);
}
