//! A store that fails in every way on the way to an export: nothing is claimed that is not there, nothing is written
//! over, and the next run completes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use std::sync::{Arc, Mutex};

use colophon::maintenance::{Site, perform};

use crate::support::export::{check, export, job, run};
use crate::support::s3::{BUCKET, KEY, Store, with_key};
use crate::support::upstream::{Proxy, Twist};
use crate::support::{TestServer, TestTenant, agent, read, small_flow};

/// A store, a proxy before it, and a server that tries each request `attempts` times.
struct Scene {
    store: Store,
    proxy: Proxy,
    server: TestServer,
    tenant: TestTenant,
}

impl Scene {
    fn start(store: Option<Store>, attempts: u32) -> Option<Self> {
        Self::with(store, attempts, false)
    }

    /// The same with what is exported sealed or not.
    fn with(store: Option<Store>, attempts: u32, encrypt: bool) -> Option<Self> {
        let store = store?;
        let proxy = Proxy::before(store.port);
        let server = TestServer::with(|config| {
            config.export.endpoint = Some(format!("http://127.0.0.1:{}", proxy.port));
            with_key(config, KEY);
            config.export.attempts = attempts;
            // One after the other, so that requests can be counted off.
            config.export.concurrency = 1;
            config.export.encrypt = encrypt;
        });
        let tenant = server.tenant("acme-inc");
        Some(Self { store, proxy, server, tenant })
    }

    fn build(&self, revision: u64) {
        let flow = small_flow("one", Some(revision), &format!("text {revision}"));
        assert_eq!(self.server.build(&self.tenant, &flow).status, 201);
    }

    fn export(&self, to: &str) -> Result<usize, String> {
        let done = run(&self.server, &job(to, "acme-inc"));
        done.map(|done| done.tenants[0].bags.len()).map_err(|error| error.to_string())
    }

    /// What is there: ETags by key.
    fn objects(&self, prefix: &str) -> BTreeMap<String, String> {
        // Anybody may list.
        let url = format!("{}/{BUCKET}?list-type=2&prefix={prefix}", self.store.url());
        let listed = String::from_utf8(read(agent().get(url).call().unwrap()).bytes).unwrap();
        let element = |text: &str, name: &str| {
            let rest = text.split(&format!("<{name}>")).nth(1).unwrap();
            rest.split("</").next().unwrap().to_owned()
        };
        let contents = listed.split("<Contents>").skip(1);
        contents.map(|one| (element(one, "Key"), element(one, "ETag"))).collect()
    }

    /// Whether what was there before is still what it was; `HEAD.json` alone moves.
    fn kept(&self, before: &BTreeMap<String, String>, prefix: &str) {
        let after = self.objects(prefix);
        for (key, etag) in before.iter().filter(|(key, _)| !key.ends_with("HEAD.json")) {
            assert_eq!(after.get(key), Some(etag), "{key} was written over or taken away");
        }
    }
}

/// Cuts, lost answers and refusals at each request of an export in turn: the run that meets one fails, as it may try
/// once only, and the one after it completes with the same bag.
#[test]
fn an_export_goes_on_wherever_it_was_cut() {
    let Some(scene) = Scene::start(Store::seaweedfs(), 1) else { return };
    cut_everywhere(&scene);
}

/// What is sealed is the same each time too.
#[test]
fn a_sealed_export_goes_on_wherever_it_was_cut() {
    let Some(scene) = Scene::with(Store::seaweedfs(), 1, true) else { return };
    cut_everywhere(&scene);
}

fn cut_everywhere(scene: &Scene) {
    scene.build(1);
    // The probe has been made, and so is not counted.
    let to = |n: usize| format!("s3://{BUCKET}/cut-{n}");
    assert_eq!(scene.export(&to(0)), Ok(1));
    scene.build(2);
    scene.proxy.take();
    assert_eq!(scene.export(&to(0)), Ok(1));
    let requests = scene.proxy.count();
    assert!((10..=20).contains(&requests), "{requests}");
    for at in 0..requests {
        scene.build(3 + at as u64);
        let twist =
            [Twist::HangUp, Twist::LoseAnswer, Twist::Answer("503 Slow Down")][at % 3].clone();
        let count = Arc::new(AtomicUsize::new(0));
        scene
            .proxy
            .rule(move |_| (count.fetch_add(1, Ordering::SeqCst) == at).then(|| twist.clone()));
        let before = scene.objects("cut-0/");
        let cut = scene.export(&to(0));
        assert!(cut.is_err(), "request {at} of {requests}: {cut:?}");
        scene.kept(&before, "cut-0/");
        scene.proxy.rule(|_| None);
        let part = scene.objects("cut-0/");
        let next =
            scene.export(&to(0)).unwrap_or_else(|error| panic!("after request {at}: {error}"));
        // The answer to the move of HEAD.json may have been lost: then all was done.
        assert!(next <= 1, "request {at}");
        scene.kept(&part, "cut-0/");
        let found = check(&scene.server, &to(0), "acme-inc");
        assert!(found.is_clean(), "request {at}: {found:#?}");
        assert_eq!(found.builds, 3 + at as u64);
        assert!(
            found.unfinished.is_empty() && found.orphaned.is_empty(),
            "it went on with the same bag: {found:?}"
        );
    }
}

/// With a second attempt, a request that fails once is no failure: whatever way it fails.
#[test]
fn what_passes_is_tried_again() {
    let Some(scene) = Scene::start(Store::moto(), 4) else { return };
    scene.build(1);
    let twists = [
        Twist::HangUp,
        Twist::LoseAnswer,
        Twist::Answer("500 Internal Server Error"),
        Twist::Answer("503 Slow Down"),
        Twist::Answer("429 Too Many Requests"),
        Twist::Answer("409 Conflict"),
    ];
    for (n, twist) in twists.into_iter().enumerate() {
        let to = format!("s3://{BUCKET}/again-{n}");
        // Every third request that writes.
        let (count, told) = (AtomicUsize::new(0), twist.clone());
        scene.proxy.rule(move |head| {
            let writes = head.starts_with("PUT ") && !head.contains(".probe");
            (writes && count.fetch_add(1, Ordering::SeqCst) % 3 == 1).then(|| twist.clone())
        });
        assert_eq!(scene.export(&to), Ok(1), "{told:?}");
        scene.proxy.rule(|_| None);
        let found = check(&scene.server, &to, "acme-inc");
        assert!(found.is_clean(), "{told:?}: {found:#?}");
    }
}

/// An answer that ends too early is no object, and a body that was changed on its way is refused by the store.
#[test]
fn what_was_cut_or_changed_on_its_way_is_not_taken() {
    let Some(scene) = Scene::start(Store::moto(), 2) else { return };
    scene.build(1);
    let to = format!("s3://{BUCKET}/way");
    export(&scene.server, &to, "acme-inc");
    // The first time that each is asked for.
    let asked = Mutex::new(BTreeSet::new());
    scene.proxy.rule(move |head| {
        let first = head.lines().next().unwrap_or_default().to_owned();
        let cut = first.starts_with("GET ") && asked.lock().unwrap().insert(first);
        cut.then_some(Twist::Truncate)
    });
    let found = check(&scene.server, &to, "acme-inc");
    assert!(found.is_clean(), "each was read again: {found:#?}");
    scene.build(2);
    scene.proxy.rule(|head| head.starts_with("GET ").then_some(Twist::Truncate));
    assert_eq!(scene.export(&to), Ok(1), "what it left there itself it does not read");
    assert!(
        scene.export(&to).is_err(),
        "nobody says that nothing is new who cannot read HEAD.json"
    );
    scene.proxy.rule(|_| None);
    scene.build(3);
    assert_eq!(scene.export(&to), Ok(1));
    assert!(check(&scene.server, &to, "acme-inc").is_clean());
}

/// Something else lies where a file of a bag is to be written: it stays, and the bag is made under another name.
#[test]
fn what_others_wrote_is_not_written_over() {
    let Some(scene) = Scene::start(Store::moto(), 2) else { return };
    scene.build(1);
    let to = format!("s3://{BUCKET}/taken");
    // A bag is cut before its signature, and somebody else writes one.
    scene.proxy.rule(|head| head.contains("tagmanifest-sha256.txt.sig").then_some(Twist::HangUp));
    assert!(scene.export(&to).is_err());
    scene.proxy.rule(|_| None);
    let key = scene
        .objects("taken/")
        .into_keys()
        .find(|key| key.ends_with("tagmanifest-sha256.txt"))
        .unwrap();
    let key = format!("{key}.sig");
    let file = scene.server.path("other");
    std::fs::write(&file, "not a signature").unwrap();
    let body = file.display().to_string();
    scene.store.must(&["s3api", "put-object", "--bucket", BUCKET, "--key", &key, "--body", &body]);
    let before = scene.objects("taken/");
    // Its name has the time of the newest fact in it: that it is exported again.
    scene.server.clock.advance(1000);
    assert_eq!(scene.export(&to), Ok(1));
    scene.kept(&before, "taken/");
    let found = check(&scene.server, &to, "acme-inc");
    assert!(found.is_clean(), "{found:#?}");
    assert_eq!(found.orphaned.len(), 1, "{found:?}");
}

/// Another exporter comes between the last file of a bag and `HEAD.json`: the bag that is named first stays named, the other
/// one is told as what it is, and all of it is there once.
#[test]
fn who_comes_second_does_not_move_the_head() {
    let Some(scene) = Scene::start(Store::moto(), 2) else { return };
    let to = format!("s3://{BUCKET}/second");
    scene.build(1);
    assert_eq!(scene.export(&to), Ok(1));
    scene.build(2);
    let (app, clock, direct) =
        (scene.server.app.clone(), scene.server.clock.clone(), scene.store.url());
    let (first, place) = (AtomicBool::new(true), to.clone());
    scene.proxy.rule(move |head| {
        let moves = head.starts_with("PUT ") && head.contains("/HEAD.json");
        if moves && first.swap(false, Ordering::SeqCst) {
            clock.advance(1000);
            let mut config = app.config.clone();
            config.export.endpoint = Some(direct.clone());
            let site = Site { press: &app.press, config: &config };
            let other = perform(&job(&place, "acme-inc"), site, &|_| {}).unwrap();
            assert_eq!(other.tenants[0].bags.len(), 1);
        }
        None
    });
    let done = run(&scene.server, &job(&to, "acme-inc")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((done.tenants[0].bags.len(), done.tenants[0].orphaned.len()), (0, 1), "{done:?}");
    let found = check(&scene.server, &to, "acme-inc");
    assert!(found.is_clean(), "{found:#?}");
    assert_eq!((found.bags, found.builds), (2, 2));
    assert_eq!(found.orphaned, done.tenants[0].orphaned);
}

/// Refused at each request of an export in turn, for every reason that stands until somebody does something: the run says
/// which, what was there stays what it was, and once the reason is gone the next run completes it.
#[test]
fn who_is_refused_on_the_way_claims_nothing_and_goes_on() {
    let Some(scene) = Scene::start(Store::moto(), 1) else { return };
    let to = format!("s3://{BUCKET}/refused");
    scene.build(1);
    assert_eq!(scene.export(&to), Ok(1));
    scene.build(2);
    scene.proxy.take();
    assert_eq!(scene.export(&to), Ok(1));
    let requests = scene.proxy.count();
    let reasons = [
        ("403 Forbidden", "AccessDenied", "the policy that the exporter's credentials need"),
        ("403 Forbidden", "RequestTimeTooSkewed", "the clocks of this machine and of the store"),
        ("403 Forbidden", "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        ("404 Not Found", "NoSuchBucket", "make the bucket"),
        ("400 Bad Request", "BadDigest", "BadDigest"),
    ];
    for at in 0..requests {
        scene.build(3 + at as u64);
        let (status, code, expected) = reasons[at % reasons.len()];
        let count = Arc::new(AtomicUsize::new(0));
        // From that request on, as it would be.
        scene.proxy.rule(move |_| {
            (count.fetch_add(1, Ordering::SeqCst) >= at).then_some(Twist::Refuse(status, code))
        });
        let before = scene.objects("refused/");
        let said = scene.export(&to).expect_err(code);
        assert!(said.contains(expected), "request {at}, {code}: {said}");
        scene.kept(&before, "refused/");
        let head = |objects: &BTreeMap<String, String>| {
            objects.iter().find(|(key, _)| key.ends_with("HEAD.json")).map(|(_, tag)| tag.clone())
        };
        // The last request of a run looks whether there is more, when all that there was is done.
        let done = head(&before) != head(&scene.objects("refused/"));
        assert!(!done || at + 1 == requests, "request {at} of {requests}: nothing is claimed");
        scene.proxy.rule(|_| None);
        assert_eq!(scene.export(&to), Ok(usize::from(!done)), "request {at}, {code}");
        let found = check(&scene.server, &to, "acme-inc");
        assert!(found.is_clean() && found.unfinished.is_empty(), "request {at}: {found:#?}");
        assert_eq!(found.builds, 3 + at as u64);
    }
}

/// A store that says to a write that something is there (412) when nothing is, once at each write in turn: it is looked,
/// and what is not there is not taken for written.
#[test]
fn a_condition_that_fails_without_a_cause_is_looked_into() {
    let Some(scene) = Scene::start(Store::moto(), 3) else { return };
    let to = format!("s3://{BUCKET}/condition");
    scene.build(1);
    assert_eq!(scene.export(&to), Ok(1));
    for at in 0..12 {
        scene.build(2 + at as u64);
        let count = AtomicUsize::new(0);
        scene.proxy.rule(move |head| {
            let this = head.starts_with("PUT ") && count.fetch_add(1, Ordering::SeqCst) == at;
            this.then_some(Twist::Refuse("412 Precondition Failed", "PreconditionFailed"))
        });
        assert_eq!(scene.export(&to), Ok(1), "write {at}");
        scene.proxy.rule(|_| None);
        let found = check(&scene.server, &to, "acme-inc");
        assert!(found.is_clean() && found.orphaned.is_empty(), "write {at}: {found:#?}");
        assert_eq!(found.builds, 2 + at as u64);
    }
}

/// Exporters of one server that run at once, with a real store deciding: however they meet, everything is there once, in one
/// chain, and whoever lost says so or has found the work done.
#[test]
fn exporters_at_once_make_one_chain() {
    let Some(scene) = Scene::start(Store::seaweedfs(), 3) else { return };
    let to = format!("s3://{BUCKET}/at-once");
    for round in 1..=4 {
        scene.build(round);
        let results: Vec<Result<usize, String>> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| scene.export(&to))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(results.iter().any(Result::is_ok), "{results:?}");
        let found = check(&scene.server, &to, "acme-inc");
        assert!(found.is_clean(), "round {round}: {results:?} {found:#?}");
        assert_eq!(found.builds, round, "{results:?}");
    }
}
