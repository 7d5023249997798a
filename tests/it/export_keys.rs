//! Several keys of one tenant: a new one for what is to come, copies that cannot be deleted, a restored server that goes on with
//! them, and the record of a shredding that a crash has cut.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use colophon::config::ExportConfig;
use colophon::export::envelope::{Identity, Opener};
use colophon::export::{
    Erased, ErasureRecord, Options, Place, Registrar, Verified, VerifyOptions, verify_all,
};
use colophon::maintenance::{
    Identities, Import, RotateExportKey, Site, perform, write_missing_records,
};
use colophon_model::audit::{Act, Action, Actor, Chain, Subject};
use colophon_model::{Digest, UnixMillis};
use colophon_store::rows::{ShredPlace, ShredRecord, TenantRow};
use colophon_store::{Change, Progress};

use crate::support::export::{check, commands, erase, export, files, follow, job, run, seal};
use crate::support::import::{self, beside};
use crate::support::process::{ServerProcess, colophon, told};
use crate::support::programs::{need, program};
use crate::support::s3::{self, BUCKET, KEY, Store};
use crate::support::upstream::{Proxy, Twist, until};
use crate::support::{TestServer, TestTenant, small_flow};

fn press(change: impl FnOnce(&mut ExportConfig)) -> (TestServer, TestTenant) {
    let operator = Identity::from_secret([9; 32]);
    let server = TestServer::with(|config| {
        seal(config, &operator);
        change(&mut config.export);
    });
    let tenant = server.tenant("acme-inc");
    build(&server, &tenant, 1);
    (server, tenant)
}

fn build(server: &TestServer, tenant: &TestTenant, revision: u64) {
    let text = format!("text {revision}");
    assert_eq!(server.build(tenant, &small_flow("quagmire", Some(revision), &text)).status, 201);
}

fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

fn site(server: &TestServer) -> Site<'_> {
    Site { press: &server.app.press, config: &server.app.config }
}

fn rotate(server: &TestServer) {
    let job = RotateExportKey { tenant: "acme-inc".parse().unwrap() };
    perform(&job, site(server), &|_| {}).unwrap();
}

/// The tenant's keys, the oldest first.
fn keys(server: &TestServer) -> Vec<Identity> {
    let view = server.app.press.store.view().unwrap();
    let slug: colophon_model::TenantSlug = "acme-inc".parse().unwrap();
    let tenant = view.get::<colophon_store::rows::TenantRow>(&slug).unwrap().unwrap();
    let file = colophon::export::identity_file(&server.app.press, &tenant, None).unwrap().unwrap();
    Identity::parse_all(&file.text).unwrap()
}

fn ids(keys: &[Identity]) -> Vec<String> {
    keys.iter().map(|key| key.id().to_string()).collect()
}

fn check_with(server: &TestServer, to: &str, keys: &[Identity]) -> Verified {
    let config = &server.app.config.export;
    let place =
        Place::open(&to.parse().unwrap(), config, &Options::default(), &server.app.press.secrets);
    let key = Some(server.app.press.keys.export_key().public());
    let opener = Opener::new(keys.iter().cloned());
    let how = VerifyOptions { key, percent: 100, concurrency: 4, opener };
    verify_all(&place.unwrap(), None, config, &how, &|_| {}).unwrap().remove(0)
}

/// `Encryption-Key` of every bag, in their order.
fn named(folder: &Path) -> Vec<String> {
    let bags = files(&folder.join("v1/acme-inc"));
    let infos = bags.iter().filter(|name| name.ends_with("bag-info.txt"));
    let key = |name: &String| {
        let text = fs::read_to_string(folder.join("v1/acme-inc").join(name)).unwrap();
        text.lines().find_map(|line| line.strip_prefix("Encryption-Key: ")).unwrap().to_owned()
    };
    infos.map(key).collect()
}

/// A chain of bags with two keys: each bag says which it needs, and needs no other. With both, with either and with none it
/// verifies, by the program and by VERIFY.md; a changed byte is seen. Copies of both are there, and shredding destroys both.
#[test]
fn a_new_key_opens_new_bags_and_the_old_one_the_old() {
    need("age");
    let (server, tenant) = press(|_| {});
    let to = server.path("evidence");
    assert_eq!(export(&server, &url(&to), "acme-inc"), 1);
    let said = told(&server.data(), &["export", "rotate-key", "--tenant", "acme-inc"]);
    let both = keys(&server);
    assert_eq!(both.len(), 2);
    assert!(ids(&both).iter().all(|id| said.contains(id)), "{said}");
    build(&server, &tenant, 2);
    assert_eq!(export(&server, &url(&to), "acme-inc"), 1);
    assert_eq!(named(&to), ids(&both));
    assert_eq!(files(&server.path("wrapped")).len(), 2, "a copy of each");
    let log = String::from_utf8(server.operator("GET", "/v1/t/acme-inc/audit", "").bytes).unwrap();
    assert!(log.contains("key.rotate"), "{log}");

    let folder = to.join("v1/acme-inc");
    let file = server.path("some.key");
    let script = |given: &[Identity]| {
        let lines = given.iter().map(|key| key.to_text().to_string() + "\n").collect::<String>();
        fs::write(&file, lines).unwrap();
        let set =
            if given.is_empty() { String::new() } else { format!("IDENTITY={}\n", file.display()) };
        set + &commands(&folder)
    };
    for (given, closed) in [(&both[..], false), (&both[..1], true), (&both[1..], true), (&[], true)]
    {
        let found = check_with(&server, &url(&to), given);
        assert!(found.is_clean(), "{}: {found:#?}", given.len());
        assert_eq!((found.unopened > 0, found.sealed.len(), found.bags), (closed, 2, 2));
        let output = follow(&folder, &script(given));
        assert!(output.status.success(), "{}: {output:?}", given.len());
    }
    let newer = files(&folder).into_iter().rfind(|name| name.ends_with("builds.jsonl.age"));
    let newer = folder.join(newer.unwrap());
    let good = fs::read(&newer).unwrap();
    let mut changed = good.clone();
    changed[300] ^= 1;
    fs::write(&newer, changed).unwrap();
    assert!(!follow(&folder, &script(&both[..1])).status.success());
    assert!(!check_with(&server, &url(&to), &both[..1]).is_clean());
    fs::write(&newer, good).unwrap();

    let one = told(
        &server.data(),
        &["export", "identity", "--tenant", "acme-inc", "--key", &ids(&both)[0]],
    );
    assert_eq!(ids(&Identity::parse_all(&one).unwrap()), ids(&both[..1]), "one alone");
    let report = erase(&server, false).unwrap();
    let shredded = report.statement.shredded.unwrap();
    assert_eq!((shredded.former_keys, shredded.key), (ids(&both[..1]), ids(&both)[1].clone()));
    assert_eq!(files(&server.path("wrapped")), Vec::<String>::new());
    let found = check_with(&server, &url(&to), &[]);
    assert!(found.is_clean() && found.erased[0].former_keys[0] == both[0].id(), "{found:#?}");
    let output = follow(&folder, &script(&[]));
    assert!(output.status.success(), "{output:?}");
}

/// A bag that was cut before the key was replaced is ended with the key that it was begun with, under its name and to the byte.
#[test]
fn a_bag_that_was_begun_is_ended_with_its_key() {
    let (server, tenant) = press(|_| {});
    let to = server.path("evidence");
    assert_eq!(export(&server, &url(&to), "acme-inc"), 1);
    build(&server, &tenant, 2);
    // A folder has the name of the lock: everything is written but `HEAD.json`.
    let lock = to.join("v1/acme-inc/HEAD.json.lock");
    let _ = fs::remove_file(&lock);
    fs::create_dir(&lock).unwrap();
    assert!(run(&server, &job(&url(&to), "acme-inc")).is_err());
    let cut = files(&to);
    rotate(&server);
    fs::remove_dir(&lock).unwrap();
    let bytes: Vec<Vec<u8>> = cut.iter().map(|name| fs::read(to.join(name)).unwrap()).collect();
    build(&server, &tenant, 3);
    assert_eq!(
        export(&server, &url(&to), "acme-inc"),
        2,
        "the one that was cut, and what came since"
    );
    for (name, bytes) in cut.iter().zip(bytes).filter(|(name, _)| !name.ends_with("HEAD.json")) {
        assert!(fs::read(to.join(name)).unwrap() == bytes, "{name}");
    }
    let both = ids(&keys(&server));
    assert_eq!(named(&to), [&both[0], &both[0], &both[1]].map(Clone::clone));
    let found = check(&server, &url(&to), "acme-inc");
    assert!(found.is_clean() && found.orphaned.is_empty(), "{found:#?}");
}

/// The keys that opened an export are those that the restored server goes on with: the next bag has the newest of them, at the same
/// place, and copies of both are where they were. With a new one when that is asked for. A key that is missing is named.
#[test]
fn a_restored_server_goes_on_with_the_same_keys() {
    let (server, tenant) = press(|_| {});
    let to = server.path("evidence");
    export(&server, &url(&to), "acme-inc");
    rotate(&server);
    build(&server, &tenant, 2);
    export(&server, &url(&to), "acme-inc");
    let both = keys(&server);
    let given = |keys: &[Identity], new_export_key| Import {
        identity: Identities::new(
            keys.iter().map(|key| key.to_text().to_string() + "\n").collect(),
        ),
        new_export_key,
        ..import::job(&url(&to), "acme-inc")
    };
    let own = server.app.config.export.clone();
    let restored = beside(&server, |config| config.export = own.clone());
    let error = import::run(&restored, &given(&both[1..], false)).unwrap_err().to_string();
    assert!(error.contains(&ids(&both)[0]), "the one that is missing: {error}");
    let done = import::run(&restored, &given(&both, false)).unwrap();
    assert!(done.is_good(), "{done:#?}");
    assert_eq!(done.tenants[0].export_key, Some(both[1].id()));
    assert_eq!(ids(&keys(&restored)), ids(&both));
    assert_eq!(export(&restored, &url(&to), "acme-inc"), 1);
    assert_eq!(named(&to).last(), ids(&both).last(), "no new key");
    assert_eq!(files(&server.path("wrapped")).len(), 2);
    let found = check_with(&restored, &url(&to), &both);
    assert!(found.is_clean() && found.unopened == 0, "{found:#?}");

    let fresh = beside(&server, |config| config.export.encrypt = true);
    let done = import::run(&fresh, &given(&both, true)).unwrap();
    let three = keys(&fresh);
    assert_eq!((three.len(), &ids(&three)[..2]), (3, &ids(&both)[..]), "those are kept");
    assert_eq!(done.tenants[0].export_key, Some(three[2].id()));
}

/// Copies at a place of before that cannot be deleted are remembered and shown, tried again after an hour, and keep an erasure
/// from claiming that all is gone.
#[test]
fn copies_that_cannot_be_deleted_are_remembered_and_tried_again() {
    let (server, tenant) = press(|_| {});
    let to = url(&server.path("evidence"));
    export(&server, &to, "acme-inc");
    let (before, aside, now) = (server.path("wrapped"), server.path("aside"), server.path("other"));
    // In place of the folder there is a file: nothing can be looked for or deleted there.
    fs::rename(&before, &aside).unwrap();
    fs::write(&before, "").unwrap();
    let mut config = server.app.config.clone();
    config.export.keys = Some(url(&now).parse().unwrap());
    let export = |revision| {
        build(&server, &tenant, revision);
        perform(&job(&to, "acme-inc"), Site { press: &server.app.press, config: &config }, &|_| {})
            .unwrap();
    };
    export(2);
    assert_eq!(files(&now).len(), 1, "the copy is at the new place");
    let status = || {
        colophon(&server.data(), &["export", "status", "acme-inc"])["exports"][0]["keys_left"]
            .clone()
    };
    assert_eq!(status()[0]["at"], url(&before), "{}", status());
    let text = told(&server.data(), &["export", "status", "acme-inc"]);
    assert!(text.contains("KEYS LEFT"), "{text}");
    let error = erase(&server, false).unwrap_err().to_string();
    assert!(error.contains(&before.display().to_string()), "shredding looks there: {error}");
    export(3);
    fs::remove_file(&before).unwrap();
    fs::rename(&aside, &before).unwrap();
    export(4);
    assert_eq!(files(&before).len(), 1, "not tried again at once");
    server.clock.advance(60 * 60 * 1000);
    export(5);
    assert_eq!((files(&before).len(), files(&now).len()), (0, 1), "gone, and the other one is not");
    assert!(status().is_null(), "{}", status());
}

/// The second record of an erasure that was killed between the store and the record is written by the next start; the tenant's
/// name is not kept for that.
#[test]
fn the_record_of_an_erasure_that_was_killed_is_written_by_the_next_start() {
    let Some(store) = Store::moto() else { return };
    let proxy = Proxy::before(store.port);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let operator = Identity::generate().unwrap().id();
    let text = format!(
        "[export]\nencrypt = true\nattempts = 20\nendpoint = \"{}\"\nkeys = \"file://{}\"\nrecipients = [\"{operator}\"]\n",
        proxy.url("").trim_end_matches('/'),
        path("wrapped").display(),
    );
    fs::write(path("c.toml"), text).unwrap();
    let env = s3::environment(&store.url(), KEY);
    let command = |args: &[&str]| {
        let mut command = Command::new(program("colophon"));
        command.args(args).arg("--config").arg(path("c.toml")).arg("--data").arg(path("data"));
        command.envs(env.iter().cloned()).env("COLOPHON_SPACE_LOW", "0");
        command
    };
    let to = format!("s3://{BUCKET}/x");
    for args in [&["tenant", "create", "acme-inc"][..], &["export", &to, "--tenant", "acme-inc"]] {
        let output = command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let (reached, wait) = mpsc::channel();
    proxy.rule(move |head| {
        let last =
            head.starts_with("PUT ") && head.contains("/erasure/") && !head.contains(".begun.");
        last.then(|| {
            let _ = reached.send(());
            Twist::HangUp
        })
    });
    let erase =
        ["tenant", "erase", "acme-inc", "--confirm", "acme-inc", "--approved-by", "case 17"];
    let mut child = command(&erase).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait.recv_timeout(Duration::from_mins(2)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let there = || {
        let listed = store.must(&[
            "s3",
            "ls",
            "--recursive",
            &format!("s3://{BUCKET}/x/v1/acme-inc/erasure/"),
        ]);
        listed.lines().map(|line| line.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(there().len(), 2, "that it began, and its signature: {:?}", there());

    proxy.rule(|_| None);
    let config = path("c.toml").display().to_string();
    let variables: Vec<(&str, &str)> =
        env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let server =
        ServerProcess::spawn(&path("data"), &["--config", &config], &variables, Stdio::inherit());
    until("the record is there", || there().len() == 4);
    let verified = command(&["export", "verify", &to]).output().unwrap();
    let verified = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(
        verified.contains("good") && verified.contains("erased") && !verified.contains("begun"),
        "{verified}"
    );
    let name = there().into_iter().find(|name| !name.contains("begun")).unwrap();
    let record =
        store.must(&["s3", "cp", &format!("s3://{BUCKET}/x/v1/acme-inc/erasure/{name}"), "-"]);
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["approved_by"], "case 17");
    let places: Vec<&str> = record["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fate| fate["place"].as_str().unwrap())
        .collect();
    assert_eq!(places.len(), 2, "the copies, and the store: {record}");
    drop(server);
}

/// What an erasure leaves that is cut right before the store began. Returns the name of what the store remembers of it, and when
/// it began.
fn cut_before_the_store(server: &TestServer, to: &Path) -> (Digest, UnixMillis) {
    let (store, began) = (&server.app.press.store, UnixMillis::new(server.clock_millis()));
    let slug: colophon_model::TenantSlug = "acme-inc".parse().unwrap();
    let row = store.view().unwrap().get::<TenantRow>(&slug).unwrap().unwrap();
    let at = ShredPlace { url: url(to), endpoint: None, region: None };
    let record = ErasureRecord {
        approved_by: None,
        began: began.rfc3339(),
        by: "operator".to_owned(),
        finished: None,
        format: ErasureRecord::FORMAT,
        former_keys: Vec::new(),
        key: keys(server)[0].id().to_string(),
        keys: Vec::new(),
        tenant: Erased { slug: row.slug.clone(), uid: row.uid },
    };
    let registrar = Registrar::new(&server.app.press, &server.app.config.export).unwrap();
    registrar.write(&at, began, &record).unwrap();
    fs::remove_dir_all(server.path("wrapped")).unwrap();
    let pseudonym = Chain::pseudonym(row.uid);
    let name = Digest::of(pseudonym.as_bytes());
    let cut = ShredRecord {
        tenant: pseudonym,
        began,
        finished: None,
        keys: Vec::new(),
        places: vec![at],
    };
    let mut change = Change::new();
    change.put(&name, &cut);
    store.commit(change).unwrap();
    (name, began)
}

/// A crash before the store began leaves a tenant that goes on: no record says that it is erased, readers are told that it came to
/// nothing, and copies of its keys that were destroyed by then are made again.
#[test]
fn an_erasure_that_was_cut_before_the_store_began_came_to_nothing() {
    let (server, tenant) = press(|_| {});
    let to = server.path("evidence");
    export(&server, &url(&to), "acme-inc");
    let (name, _) = cut_before_the_store(&server, &to);
    let store = &server.app.press.store;

    server.clock.advance(5_000);
    assert_eq!(write_missing_records(site(&server)).unwrap(), 0);
    assert!(store.view().unwrap().get::<ShredRecord>(&name).unwrap().is_none());
    build(&server, &tenant, 2);
    export(&server, &url(&to), "acme-inc");
    let found = check(&server, &url(&to), "acme-inc");
    assert!(found.is_clean() && found.erased[0].came_to_nothing, "{found:#?}");
    assert_eq!(files(&to.join("v1/acme-inc/erasure")).len(), 2, "that it began, and its signature");
    assert_eq!(files(&server.path("wrapped")).len(), 1, "the copy is there again");
}

/// Nothing says that a tenant is erased of which bytes are left, whatever else is finished by then; what does not end now is said
/// once it ends.
#[test]
fn no_record_says_that_an_erasure_is_done_before_it_is() {
    let (server, _) = press(|_| {});
    let to = server.path("evidence");
    export(&server, &url(&to), "acme-inc");
    // The server, which looks every minute, is not to finish it first.
    let _place = loop {
        if let Ok(place) = server.app.maintenance.admit() {
            break place;
        }
    };
    let (_, began) = cut_before_the_store(&server, &to);
    let store = &server.app.press.store;
    let act =
        Act::done(Actor::system("test"), Action::TenantErase, Subject::new("tenant", "acme-inc"));
    let cut = |step: Progress| assert_ne!(step.stage, "rewriting segments", "interrupted");
    let erasing = || store.erase(&"acme-inc".parse().unwrap(), &act, began, &cut);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(erasing)).is_err());

    let records = || files(&to.join("v1/acme-inc/erasure")).len();
    assert_eq!((write_missing_records(site(&server)).unwrap(), records()), (0, 2), "that it began");
    assert_eq!(store.resume_erasures(&|_| {}).unwrap(), 1);
    assert_eq!((write_missing_records(site(&server)).unwrap(), records()), (1, 4));
}

/// A record that could not be written is written later, the same as the report has it.
#[test]
fn a_record_that_failed_is_written_later_as_it_was_reported() {
    let (server, _) = press(|config| config.attempts = 1);
    let to = server.path("evidence");
    export(&server, &url(&to), "acme-inc");
    let erasures = to.join("v1/acme-inc/erasure");
    let stamp = |begun: &str| {
        let names = files(&erasures);
        let found = names.iter().filter(|name| {
            name.strip_suffix(".json").is_some() && name.contains(".begun.") != begun.is_empty()
        });
        found.cloned().collect::<Vec<_>>()
    };
    // The time stands still, so the name is known: something else has it.
    let name = colophon_model::UnixMillis::new(server.clock_millis())
        .rfc3339()
        .replace(['-', ':', '.'], "");
    let taken = erasures.join(format!("{name}.json"));
    fs::create_dir_all(&taken).unwrap();
    let report = erase(&server, false).unwrap();
    let shredded = report.statement.shredded.unwrap();
    assert!(shredded.records[0].problem.is_some(), "{shredded:#?}");
    assert_eq!(stamp("begun").len(), 1);
    assert_eq!(write_missing_records(site(&server)).unwrap(), 0, "it cannot be written yet");
    fs::remove_dir(&taken).unwrap();
    server.clock.advance(5_000);
    assert_eq!(write_missing_records(site(&server)).unwrap(), 1);
    assert_eq!(fs::read_to_string(&taken).unwrap(), shredded.record);
    assert_eq!(write_missing_records(site(&server)).unwrap(), 0, "once");
    let found = check_with(&server, &url(&to), &[]);
    assert!(found.is_clean() && found.erased[0].finished.is_some(), "{found:#?}");
}
