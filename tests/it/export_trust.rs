//! What an export is not believed for: a folder's name, an older end, what was remembered of another time, a store that was
//! configured meanwhile.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use colophon::app::SharedApp;
use colophon::config::ExportConfig;
use colophon::export::LockMode;
use colophon::export::envelope::Identity;
use colophon::export::increment::fitting;
use colophon::maintenance::{Erase, Export, Import, Site, perform};
use colophon::units::Span;
use colophon_store::rows::TenantRow;

use crate::export_s3::large_flow;
use crate::support::export::{check, commands, export, files, follow, job, run, seal};
use crate::support::import::{beside, job as import_job, run as import, url};
use crate::support::process::run as command;
use crate::support::s3::{BUCKET, KEY, Store, with_key};
use crate::support::upstream::{Proxy, Twist, until};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

fn build(server: &TestServer, tenant: &TestTenant, revision: u64) {
    let flow = small_flow("one", Some(revision), &format!("text {revision}"));
    assert_eq!(server.build(tenant, &flow).status, 201);
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let path = to.join(&file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(from.join(&file), path).unwrap();
    }
}

/// One key signs for all tenants. Whoever can write at the place puts one tenant's export into another's folder: it is not
/// taken for the other's, neither by the check nor by an import.
#[test]
fn another_tenants_export_in_its_folder_is_none() {
    let server = TestServer::start();
    for slug in ["acme-inc", "globex"] {
        let tenant = server.tenant(slug);
        build(&server, &tenant, 1);
        export(&server, &url(&server.path("evidence")), slug);
    }
    let to = server.path("evidence");
    fs::remove_dir_all(to.join("v1/acme-inc")).unwrap();
    copy(&to.join("v1/globex"), &to.join("v1/acme-inc"));
    let found = check(&server, &url(&to), "acme-inc");
    assert!(found.findings.iter().any(|it| it.problem.contains("`globex`")), "{found:#?}");
    assert!(check(&server, &url(&to), "globex").is_clean());
    let new = beside(&server, |_| {});
    for from in [url(&to), url(&to.join("v1/acme-inc"))] {
        let error = import(&new, &import_job(&from, "acme-inc")).map(|done| done.tenants);
        assert!(error.is_err(), "{from}: {error:?}");
    }
    let all = Import { tenants: Vec::new(), ..import_job(&url(&to.join("v1/acme-inc")), "x-x") };
    let error = import(&new, &all).unwrap_err().to_string();
    assert!(error.contains("is not good") && error.contains("`globex`"), "{error}");
}

/// An older `HEAD.json` is put back where bags cannot be taken away: that they follow it is told, and two of them are no
/// export that was cut.
#[test]
fn an_older_head_is_seen_by_the_bags_that_follow() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let to = server.path("evidence");
    let folder = to.join("v1/acme-inc");
    let mut heads = Vec::new();
    for revision in 1..=3 {
        build(&server, &tenant, revision);
        assert_eq!(export(&server, &url(&to), "acme-inc"), 1);
        heads.push(fs::read(folder.join("HEAD.json")).unwrap());
    }
    let look = |head: usize| {
        fs::write(folder.join("HEAD.json"), &heads[head]).unwrap();
        let output = follow(&folder, &commands(&folder));
        (check(&server, &url(&to), "acme-inc"), output.status.success())
    };
    let (found, good) = look(0);
    assert!(found.findings.iter().any(|it| it.problem.contains("put back")), "{found:#?}");
    assert!((found.ahead.len(), good) == (2, false), "{found:#?}");
    let (found, good) = look(1);
    assert!(found.is_clean() && good, "as an export that was cut leaves it: {found:#?}");
    assert_eq!((found.ahead.len(), found.orphaned.len()), (1, 0));
    let (found, good) = look(2);
    assert!(found.is_clean() && good && found.ahead.is_empty(), "{found:#?}");
}

/// What is remembered as sent is of another time: the place was set back, and that is taken as it is; or it was emptied after
/// a first export that was cut. Whatever a bag names lies there.
#[test]
fn blobs_that_are_gone_are_sent_again() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let to = server.path("evidence");
    build(&server, &tenant, 1);
    export(&server, &url(&to), "acme-inc");
    let kept = server.path("kept");
    copy(&to, &kept);
    build(&server, &tenant, 2);
    export(&server, &url(&to), "acme-inc");
    fs::remove_dir_all(&to).unwrap();
    copy(&kept, &to);
    assert!(run(&server, &job(&url(&to), "acme-inc")).is_err(), "it went back");
    server.clock.advance(1000);
    let anew = Export { anew: true, ..job(&url(&to), "acme-inc") };
    let done = run(&server, &anew).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(done.tenants[0].bags.len(), 1);
    let found = check(&server, &url(&to), "acme-inc");
    assert!(found.is_clean() && found.builds == 2, "{found:#?}");
}

#[test]
fn a_first_export_that_was_cut_does_not_rest_on_a_place_that_was_emptied() {
    let Some(store) = Store::moto() else { return };
    let proxy = Proxy::before(store.port);
    let (server, tenant) = press(&proxy, |config| config.attempts = 1);
    build(&server, &tenant, 1);
    let to = format!("s3://{BUCKET}/first");
    let before_keys = |head: &str| head.starts_with("PUT ") && head.contains("/keys/");
    proxy.rule(move |head| before_keys(head).then_some(Twist::HangUp));
    assert!(run(&server, &job(&to, "acme-inc")).is_err());
    proxy.rule(|_| None);
    store.must(&["s3", "rm", "--recursive", "--quiet", &to]);
    assert_eq!(export(&server, &to, "acme-inc"), 1);
    let found = check(&server, &to, "acme-inc");
    assert!(found.is_clean() && found.blobs > 0, "{found:#?}");
}

/// A server that exports by way of a proxy.
fn press(proxy: &Proxy, change: impl FnOnce(&mut ExportConfig)) -> (TestServer, TestTenant) {
    let server = TestServer::with(|config| {
        config.limits.body_bytes = 16 << 20;
        config.export.endpoint = Some(format!("http://127.0.0.1:{}", proxy.port));
        with_key(config, KEY);
        config.export.concurrency = 1;
        change(&mut config.export);
    });
    let tenant = server.tenant("acme-inc");
    (server, tenant)
}

/// What goes in parts: each part that fails is sent again, an answer to the completion that was lost is looked into, and what
/// was written and not locked before a run was cut is locked by the next. Locks are tried once a day, and a store that fails
/// at that has not failed the test.
#[test]
fn parts_are_sent_again_and_locked_also_after_a_cut() {
    let Some(store) = Store::moto() else { return };
    let proxy = Proxy::before(store.port);
    let (server, tenant) = press(&proxy, |config| {
        (config.lock, config.lock_for) = (Some(LockMode::Governance), Span::hours(1));
    });
    store.must(&["s3api", "create-bucket", "--bucket", "worm", "--object-lock-enabled-for-bucket"]);
    for n in 1..=5 {
        assert_eq!(server.build(&tenant, &large_flow(n)).status, 201);
    }
    let to = "s3://worm/x";
    let hurried = |server: &TestServer| {
        let mut config = server.app.config.clone();
        config.export.attempts = 1;
        perform(&job(to, "acme-inc"), Site { press: &server.app.press, config: &config }, &|_| {})
    };
    proxy.rule(|head| head.contains("versioning=").then_some(Twist::Answer("503 Slow Down")));
    let said = hurried(&server).unwrap_err().to_string();
    assert!(said.contains("503") && !said.contains("probe `versioning`"), "{said}");

    // Every part fails once, and so does its completion; then locking fails for good.
    let seen = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let (parts, once) = (Arc::new(AtomicUsize::new(0)), seen.clone());
    let count = parts.clone();
    proxy.rule(move |head| {
        let line = head.lines().next().unwrap_or_default().to_owned();
        let is_part = line.contains("partNumber=") || line.contains("?uploadId=");
        if line.contains("mirror.bundle?retention") {
            return Some(Twist::Answer("403 Forbidden"));
        }
        if !is_part || !once.lock().unwrap().insert(line.clone()) {
            return None;
        }
        count.fetch_add(1, Ordering::SeqCst);
        Some(if line.starts_with("POST ") { Twist::LoseAnswer } else { Twist::HangUp })
    });
    let said = run(&server, &job(to, "acme-inc")).unwrap_err().to_string();
    assert!(said.contains("403"), "{said}");
    assert!(parts.load(Ordering::SeqCst) >= 3, "{:?}", seen.lock().unwrap());
    proxy.rule(|_| None);
    proxy.take();
    assert_eq!(export(&server, to, "acme-inc"), 1);
    let seen = proxy.take();
    let of = |word: &str| seen.iter().filter(|seen| seen.head.contains(word)).count();
    assert_eq!(of(".probe"), 0, "it was tried before");
    assert_eq!(of("mirror.bundle?retention"), 1, "what was there is locked");
    assert_eq!(of("partNumber="), 0, "and not sent again");
    let found = check(&server, to, "acme-inc");
    assert!(found.is_clean(), "{found:#?}");
}

/// A list of what builds name has to be read whole: a bag ends before it has too many.
#[test]
fn a_bag_ends_before_its_lists_are_too_long() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for revision in 1..=4 {
        build(&server, &tenant, revision);
    }
    assert_eq!(server.build(&tenant, ORDER_INTAKE).status, 201);
    let view = server.app.press.store.view().unwrap();
    let row = view.get::<TenantRow>(&"acme-inc".parse().unwrap()).unwrap().unwrap();
    let fits = |from, most| fitting(&view, &row, (from, 5), most).unwrap();
    assert_eq!(fits(0, u64::MAX), 5);
    assert_eq!((fits(0, 0), fits(3, 0), fits(4, 0), fits(5, 0)), (1, 4, 5, 5), "one at least");
    let one = (1..100).find(|most| fits(0, *most) > 1).unwrap();
    assert!(fits(0, one) == 2 && fits(0, one * 2) >= 3, "{one}");
}

fn erasure() -> Erase {
    Erase {
        slug: "acme-inc".parse().unwrap(),
        confirm: "acme-inc".to_owned(),
        approved_by: None,
        leave_keys: false,
    }
}

fn erase(server: &TestServer, config: &ExportConfig) -> Result<(), String> {
    let mut whole = server.app.config.clone();
    whole.export = config.clone();
    let site = Site { press: &server.app.press, config: &whole };
    perform(&erasure(), site, &|_| {}).map(drop).map_err(|error| error.to_string())
}

/// An erasure that was said to begin and was given up leaves a tenant that goes on: its export restores it still, and says
/// what happened, with the key and without.
#[test]
fn an_erasure_that_came_to_nothing_does_not_keep_a_tenant_from_coming_back() {
    let operator = Identity::generate().unwrap();
    let server = TestServer::with(|config| {
        seal(config, &operator);
    });
    let tenant = server.tenant("acme-inc");
    build(&server, &tenant, 1);
    let (to, wrapped) = (url(&server.path("evidence")), server.path("wrapped"));
    export(&server, &to, "acme-inc");
    let aside = server.path("aside");
    fs::rename(&wrapped, &aside).unwrap();
    fs::write(&wrapped, "").unwrap();
    server.clock.advance(1000);
    let error = erase(&server, &server.app.config.export).unwrap_err();
    assert!(error.contains("--leave-keys"), "{error}");
    fs::remove_file(&wrapped).unwrap();
    server.clock.advance(1000);
    assert_eq!(export(&server, &to, "acme-inc"), 1, "a bag tells of it");
    let found = check(&server, &to, "acme-inc");
    assert!(found.is_clean() && found.erased.len() == 1, "{found:#?}");
    assert!(found.erased[0].came_to_nothing && found.erased[0].finished.is_none());
    let folder = server.path("evidence/v1/acme-inc");
    assert!(follow(&folder, &commands(&folder)).status.success());
    let revealed = fs::read(wrapped.join(&files(&wrapped)[0])).unwrap();
    let opened = colophon::export::envelope::Opener::new([operator]).open(&revealed).unwrap();
    let identity = String::from_utf8(opened.into()).unwrap();
    let new = beside(&server, |_| {});
    let asked = Import {
        identity: colophon::maintenance::Identities::new(identity.clone()),
        ..import_job(&to, "acme-inc")
    };
    let done = import(&new, &asked).unwrap_or_else(|error| panic!("{error}"));
    assert!(done.is_good(), "{done:#?}");

    // One that was done keeps it away, whatever bags say.
    server.clock.advance(1000);
    erase(&server, &server.app.config.export).unwrap();
    let newer = beside(&server, |_| {});
    let asked = Import {
        identity: colophon::maintenance::Identities::new(identity),
        ..import_job(&to, "acme-inc")
    };
    let error = import(&newer, &asked).unwrap_err().to_string();
    assert!(error.contains("has been erased"), "{error}");
}

/// A copy of a key is destroyed at the store where it was put, when another store has been configured by then; and nothing is
/// said to be destroyed where that one does not answer.
#[test]
fn copies_are_destroyed_at_the_store_where_they_were_put() {
    let (Some(first), Some(second)) = (Store::moto(), Store::moto()) else { return };
    let operator = Identity::generate().unwrap();
    let server = TestServer::with(|config| {
        with_key(config, KEY);
        config.export.endpoint = Some(first.url());
        config.export.attempts = 1;
        config.export.encrypt = true;
        config.export.keys = Some(format!("s3://{BUCKET}/keys").parse().unwrap());
        config.export.recipients = vec![operator.id().into()];
    });
    let tenant = server.tenant("acme-inc");
    build(&server, &tenant, 1);
    export(&server, &url(&server.path("evidence")), "acme-inc");
    let keys = |store: &Store| {
        let listed = store.aws(&["s3", "ls", "--recursive", &format!("s3://{BUCKET}/keys/")]);
        String::from_utf8(listed.stdout).unwrap().lines().count()
    };
    assert_eq!((keys(&first), keys(&second)), (1, 0));
    let mut moved = server.app.config.export.clone();
    moved.endpoint = Some(second.url());
    erase(&server, &moved).unwrap();
    assert_eq!((keys(&first), keys(&second)), (0, 0));
}

/// Cut between a statement and its signature, an erasure leaves an export that is good.
#[test]
fn a_statement_is_never_without_its_signature() {
    let Some(store) = Store::moto() else { return };
    let proxy = Proxy::before(store.port);
    let (server, tenant) = press(&proxy, |config| (config.attempts, config.encrypt) = (1, true));
    build(&server, &tenant, 1);
    let to = format!("s3://{BUCKET}/statement");
    assert_eq!(export(&server, &to, "acme-inc"), 1);
    for at in 0..2 {
        let count = AtomicUsize::new(0);
        proxy.rule(move |head| {
            let writes = head.starts_with("PUT ") && head.contains("/erasure/");
            (writes && count.fetch_add(1, Ordering::SeqCst) == at).then_some(Twist::HangUp)
        });
        server.clock.advance(1000);
        let error = erase(&server, &server.app.config.export).unwrap_err();
        assert!(error.contains("no record can be written"), "{error}");
        proxy.rule(|_| None);
        let found = check(&server, &to, "acme-inc");
        assert!(found.is_clean() && found.erased.is_empty(), "write {at}: {found:#?}");
    }
}

/// A tenant that is erased while it is exported is exported no further: what is under way is sent, and nothing behind it.
#[test]
fn nothing_more_is_sent_of_who_is_erased_meanwhile() {
    let Some(store) = Store::moto() else { return };
    let proxy = Proxy::before(store.port);
    let (server, tenant) = press(&proxy, |_| {});
    for revision in 1..=5 {
        build(&server, &tenant, revision);
    }
    let to = format!("s3://{BUCKET}/meanwhile");
    let (app, sent) = (server.app.clone(), Arc::new(AtomicUsize::new(0)));
    let count = sent.clone();
    proxy.rule(move |head| {
        let blob = head.starts_with("PUT ") && head.contains("/blobs/");
        if blob && count.fetch_add(1, Ordering::SeqCst) == 2 {
            let (app, gone) = (app.clone(), is_gone(&app));
            // The end of an erasure waits for readers, as this export is one.
            std::thread::spawn(move || {
                let site = Site { press: &app.press, config: &app.config };
                drop(perform(&erasure(), site, &|_| {}));
            });
            until("the tenant is gone", gone);
        }
        None
    });
    let error = run(&server, &job(&to, "acme-inc")).unwrap_err().to_string();
    assert!(error.contains("was erased meanwhile"), "{error}");
    // One may be under way when it is seen that the tenant is gone.
    assert!(sent.load(Ordering::SeqCst) <= 4, "{sent:?}");
}

/// Whether the tenant is there no more.
fn is_gone(app: &SharedApp) -> impl FnMut() -> bool + use<> {
    let app = app.clone();
    move || {
        let view = app.press.store.view().unwrap();
        view.get::<TenantRow>(&"acme-inc".parse().unwrap()).unwrap().is_none()
    }
}

/// A bag that was begun plain does not go on plain once everything is to be sealed.
#[test]
fn what_was_begun_plain_does_not_go_on_so() {
    let Some(store) = Store::moto() else { return };
    let proxy = Proxy::before(store.port);
    let (server, tenant) = press(&proxy, |config| config.attempts = 1);
    build(&server, &tenant, 1);
    let to = format!("s3://{BUCKET}/begun");
    proxy.rule(|head| head.contains("tagmanifest-sha256.txt.sig").then_some(Twist::HangUp));
    assert!(run(&server, &job(&to, "acme-inc")).is_err());
    proxy.rule(|_| None);
    server.clock.advance(1000);
    let mut config = server.app.config.clone();
    config.export.encrypt = true;
    let site = Site { press: &server.app.press, config: &config };
    let done = perform(&job(&to, "acme-inc"), site, &|_| {}).unwrap();
    let bags = &done.tenants[0].bags;
    assert!(bags.len() == 1 && bags[0].key.is_some(), "{bags:?}");
    let found = check(&server, &to, "acme-inc");
    assert!(found.is_clean() && found.unopened == 0, "{found:#?}");
    assert_eq!((found.bags, found.unfinished.len()), (1, 1), "the plain one stays unfinished");
}

/// What a drill that was killed has left holds all of a tenant: it goes with the tenant.
#[test]
fn an_erasure_takes_what_a_drill_has_left() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    build(&server, &tenant, 1);
    let left = server.data().join("drill/keys");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("x"), "of the tenant").unwrap();
    erase(&server, &server.app.config.export).unwrap();
    assert!(!server.data().join("drill").exists());
}

/// Who reads an export from a folder that is not there is told so, and the folder is not made.
#[test]
fn readers_make_no_folders() {
    let server = TestServer::start();
    server.tenant("acme-inc");
    let (data, nowhere) = (server.data(), server.path("nowhere"));
    let at = url(&nowhere);
    for args in [
        &["import", &at, "--tenant", "acme-inc"][..],
        &["export", "drill", &at, "--tenant", "acme-inc"],
        &["export", "verify", &at],
    ] {
        let output = command(&data, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("no folder"), "{args:?}: {said}");
        assert!(!nowhere.exists(), "{args:?}");
    }
}
