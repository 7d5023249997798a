//! Exports that somebody made to do harm, with the right key in hand: every one is refused with a code and a place, and
//! leaves nothing behind. And imports that are cut at any moment.

use std::fs;
use std::rc::Rc;

use colophon::maintenance::Import;
use colophon_model::BuildRecord;
use colophon_store::rows::{ImportRow, TenantRow};
use colophon_trust::detached::DetachedKey;
use serde_json::{Value, json};

use crate::support::export::{check, export, files};
use crate::support::forge::Forge;
use crate::support::import::{
    beside, code, differences, edited_intake, import, job, rows, run, url,
};
use crate::support::process::{colophon, run as command};
use crate::support::programs::program;
use crate::support::s3::{BUCKET, KEY, Store, with_key};
use crate::support::upstream::{Proxy, Twist};
use crate::support::{TestServer, small_flow};

/// A pack whose first object says that it inflates to a gibibyte, and does.
fn bomb() -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
    let (mut size, mut byte) = (1_u64 << 30, 0b0011_0000_u8);
    byte |= (size & 15) as u8;
    size >>= 4;
    while size > 0 {
        pack.push(byte | 0x80);
        byte = (size & 0x7f) as u8;
        size >>= 7;
    }
    pack.push(byte);
    let mut encoder = flate2::write::ZlibEncoder::new(pack, flate2::Compression::best());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 1 << 22), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

type Attack = (&'static str, &'static str, &'static str, Box<dyn Fn(&Forge)>);

fn deep() -> String {
    "[".repeat(200_000) + &"]".repeat(200_000)
}

fn attack(
    name: &'static str,
    code: &'static str,
    word: &'static str,
    forge: impl Fn(&Forge) + 'static,
) -> Attack {
    (name, code, word, Box::new(forge))
}

/// Name, code, a word of what is said (the place, mostly), and what is done to the export.
fn attacks() -> Vec<Attack> {
    let edge = |record: &Value| record["outputs"].as_array().unwrap().len() == 2;
    let any = |_: &Value| true;
    vec![
        attack("a path that leads out of the bag", "export-refused", "..", |it| {
            fs::write(it.bag.join("../../../evil"), "x").unwrap();
            it.seal(&[("data/../../../../evil", "x")]);
        }),
        attack(
            "a path that leads out of the branch",
            "import-not-good",
            "builds.jsonl",
            move |it| {
                it.record(any, |record| {
                    record["outputs"][0]["files"][0]["path"] = "../../x".into();
                });
                it.seal(&[]);
            },
        ),
        attack("a record of another tenant", "import-content", "is of another tenant", move |it| {
            it.record(any, |record| record["tenant"] = "07".repeat(16).into());
            it.seal(&[]);
        }),
        attack("a tag of another tenant", "import-content", "tag of another tenant", move |it| {
            it.record(any, |record| {
                let tag = record["tags"][0].as_str().unwrap().replace("acme-inc", "globex");
                record["tags"][0] = tag.into();
            });
            it.seal(&[]);
        }),
        attack("a row of another tenant", "import-content", "tenant.json", |it| {
            it.edit("data/tenant.json", |text| text.replace("acme-inc", "globex"));
            it.seal(&[]);
        }),
        attack(
            "an id that is not its own",
            "import-content",
            "id that is not its own",
            move |it| {
                it.record(any, |record| record["key"] = "07".repeat(32).into());
                it.seal(&[]);
            },
        ),
        attack(
            "a file that is another one",
            "import-content",
            "not those of its tree",
            move |it| {
                it.record(edge, |record| {
                    let other = record["outputs"][0]["files"][1]["digest"].clone();
                    record["outputs"][0]["files"][0]["digest"] = other;
                });
                it.seal(&[]);
            },
        ),
        attack("a commit that is another one", "import-git", "would become commit", move |it| {
            it.record(any, |record| record["name"] = "another name".into());
            it.record(any, |record| record["commit"] = "07".repeat(20).into());
            it.seal(&[]);
        }),
    ]
}

/// The same in Git's objects, sizes, and what stands around the bag.
fn more_attacks() -> Vec<Attack> {
    vec![
        attack("a tag object that is another one", "import-git", "tag `refs/tags/bld/", |it| {
            let at = it.bag.join("data/mirror.bundle");
            let mut bundle = fs::read(&at).unwrap();
            let tag = bundle.windows(14).position(|part| part == b" refs/tags/bld").unwrap();
            bundle[tag - 40..tag].copy_from_slice("07".repeat(20).as_bytes());
            fs::write(at, bundle).unwrap();
            it.seal(&[]);
        }),
        attack("a pack that is cut", "import-content", "mirror.bundle", |it| {
            let at = it.bag.join("data/mirror.bundle");
            let bundle = fs::read(&at).unwrap();
            let pack = bundle.windows(4).position(|part| part == b"PACK").unwrap();
            fs::write(at, &bundle[..pack + 40]).unwrap();
            it.seal(&[]);
        }),
        attack("a pack that is a bomb", "import-content", "bytes in one object", |it| {
            let at = it.bag.join("data/mirror.bundle");
            let bundle = fs::read(&at).unwrap();
            let pack = bundle.windows(4).position(|part| part == b"PACK").unwrap();
            fs::write(at, [&bundle[..pack], &bomb()].concat()).unwrap();
            it.seal(&[]);
        }),
        attack("a size that is too small", "import-not-good", "blobs", |it| {
            it.edit("data/blobs.txt", |text| size(&text, |size| size - 1));
            it.seal(&[]);
        }),
        attack("a size that is beyond all", "import-not-good", "blobs", |it| {
            it.edit("data/blobs.txt", |text| size(&text, |_| u64::MAX));
            it.seal(&[]);
        }),
        attack("a record that is deep", "import-not-good", "is no record", |it| {
            it.edit("data/builds.jsonl", |text| deep() + "\n" + &text);
            it.seal(&[]);
        }),
        attack("a row that is deep", "import-content", "tenant.json", |it| {
            it.edit("data/tenant.json", |_| deep());
            it.seal(&[]);
        }),
        attack("an end that is deep", "import-not-good", "HEAD.json", |it| {
            fs::write(it.folder.join("HEAD.json"), deep()).unwrap();
        }),
        attack("an edge repository that is deep", "import-content", "edge.json", |it| {
            it.edit("data/edge.json", |_| deep());
            it.seal(&[]);
        }),
        attack("a root that is none", "import-content", "edge.json", |it| {
            it.edit("data/edge.json", |text| text.replace("\\\"_type\\\"", "\\\"_tape\\\""));
            it.seal(&[]);
        }),
        attack("a log without a line", "import-not-good", "audit", |it| {
            it.edit("data/audit/0000000001.jsonl", |text| {
                text.split_once('\n').unwrap().1.to_owned()
            });
            it.seal(&[]);
        }),
        attack("a bag that is cut", "import-not-good", "tagmanifest-sha256.txt.sig", |it| {
            fs::remove_file(it.bag.join("tagmanifest-sha256.txt.sig")).unwrap();
        }),
        attack("an end without end", "export-too-large", "HEAD.json", |it| {
            let file = fs::File::options().write(true).open(it.folder.join("HEAD.json")).unwrap();
            file.set_len(1 << 40).unwrap();
        }),
        attack("a number of bags that is beyond all", "import-not-good", "bag-info.txt", |it| {
            it.head(|head| head["sequence"] = u64::MAX.into());
        }),
    ]
}

/// Bags that are none, or not whole, and a key that is somebody else's.
fn attacks_on_the_chain() -> Vec<Attack> {
    vec![
        attack(
            "a bag that is number zero",
            "import-not-good",
            "does not begin with number 1",
            |it| {
                let name =
                    it.bag.file_name().unwrap().to_str().unwrap().replace("-00000001", "-00000000");
                let bag = it.bag.with_file_name(&name);
                fs::rename(&it.bag, &bag).unwrap();
                let it = Forge { folder: it.folder.clone(), bag, key: it.key.clone() };
                it.edit("bag-info.txt", |text| {
                    text.replace("Export-Sequence: 1\n", "Export-Sequence: 0\n")
                });
                it.seal(&[]);
                it.head(|head| (head["sequence"], head["export"]) = (0.into(), name.into()));
            },
        ),
        attack("a document that is left out", "import-not-good", "not said to have ended", |it| {
            let sboms = fs::read_dir(it.bag.join("data/sbom")).unwrap();
            fs::remove_file(sboms.map(|entry| entry.unwrap().path()).next().unwrap()).unwrap();
            it.seal(&[]);
        }),
        attack(
            "the key of somebody else",
            "import-untrusted-key",
            "not the key of this server",
            |it| {
                let other = DetachedKey::derive(&colophon_trust::Seed::new([9; 32]));
                let pem = it.folder.join(format!("keys/pub/{}.pem", other.public().id()));
                fs::write(pem, other.public().to_pem()).unwrap();
                let (folder, bag) = (it.folder.clone(), it.bag.clone());
                let mine = Forge { folder, bag, key: Rc::new(other) };
                mine.seal(&[]);
                mine.head(|head| head["key"] = json!(mine.key.public().id()));
            },
        ),
    ]
}

/// Changes the size in the first line.
fn size(text: &str, change: impl FnOnce(u64) -> u64) -> String {
    let (first, rest) = text.split_once('\n').unwrap();
    let mut parts: Vec<String> = first.split(' ').map(str::to_owned).collect();
    parts[1] = change(parts[1].parse().unwrap()).to_string();
    format!("{}\n{rest}", parts.join(" "))
}

/// Nothing of a tenant is there.
fn nothing(server: &TestServer) {
    let view = server.app.press.store.view().unwrap();
    assert_eq!(view.scan::<TenantRow>(&()).count(), 0);
    assert_eq!(view.scan::<ImportRow>(&()).count(), 0, "what was written is taken away");
    assert_eq!(view.scan::<BuildRecord>(&()).count(), 0);
}

#[test]
fn every_attack_is_refused_with_a_code_and_a_place_and_changes_nothing() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &edited_intake(7, "#order-1")).status, 201);
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "a")).status, 201);
    let good = server.path("evidence");
    export(&server, &url(&good), "acme-inc");
    let new = beside(&server, |config| config.export.attempts = 1);
    let before = files(&new.data()).len();
    let mut wrong = Vec::new();
    for (name, code, word, forge) in
        attacks().into_iter().chain(more_attacks()).chain(attacks_on_the_chain())
    {
        let to = tempfile::tempdir().unwrap();
        forge(&Forge::copy(&server, &good, to.path()));
        for verify in [false, true] {
            let asked = Import { verify, ..job(&url(to.path()), "acme-inc") };
            let body = serde_json::to_string(&asked).unwrap();
            let answer = new.operator("POST", "/v1/maintenance/import", &body);
            let told = String::from_utf8(answer.bytes).unwrap();
            if !told.contains(&format!("\"code\":\"{code}\"")) || !told.contains(word) {
                wrong.push(format!("{name}: {told}"));
            }
            nothing(&new);
        }
    }
    assert!(files(&new.data()).len() <= before + 8, "{:?}", files(&new.data()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The same server takes what is good.
    import(&new, &url(&good), "acme-inc");
}

/// A connection that ends at each request in turn, a store that is full: the tenant is not there, and the next attempt
/// brings it, without what was brought before.
#[test]
fn an_import_goes_on_wherever_it_was_cut() {
    let Some(store) = Store::moto() else { return };
    let proxy = Proxy::before(store.port);
    let at = |config: &mut colophon::config::Config| {
        config.export.endpoint = Some(format!("http://127.0.0.1:{}", proxy.port));
        with_key(config, KEY);
        (config.export.attempts, config.export.concurrency) = (1, 1);
    };
    let server = TestServer::with(at);
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "a")).status, 201);
    let from = format!("s3://{BUCKET}/cut");
    export(&server, &from, "acme-inc");
    let new = beside(&server, at);
    proxy.take();
    let asked = Import { verify: false, ..job(&from, "acme-inc") };
    let mut cuts = 0;
    let done = loop {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let at = cuts;
        let twist =
            [Twist::HangUp, Twist::Truncate, Twist::Answer("503 Slow Down")][at % 3].clone();
        proxy.rule(move |_| {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            (number == at).then(|| twist.clone())
        });
        if let Ok(done) = run(&new, &asked) {
            break done;
        }
        let view = new.app.press.store.view().unwrap();
        assert_eq!(view.scan::<TenantRow>(&()).count(), 0, "cut {at}");
        cuts += 1;
    };
    assert!(cuts > 30, "{cuts}");
    let one = &done.tenants[0];
    assert!(one.resumed && one.blobs == 0, "the last attempt found all of it there: {one:#?}");
    proxy.rule(|_| None);
    let lines = one.lines;
    let differences =
        differences(&rows(&server, "acme-inc", lines), &rows(&new, "acme-inc", lines));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let told = new.operator("POST", "/v1/maintenance/fsck", "");
    assert!(String::from_utf8_lossy(&told.bytes).contains("\"total_problems\":0"));
}

/// A full disk refuses, in words, and nothing is to be seen; with room it goes on.
#[test]
fn a_full_disk_ends_an_import_and_room_lets_it_go_on() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "a")).status, 201);
    export(&server, "memory://full", "acme-inc");
    let mut full = beside(&server, |config| {
        config.space.low = colophon::units::Size::bytes(u64::MAX);
    });
    let body = r#"{"from": "memory://full", "tenants": ["acme-inc"]}"#;
    let answer = full.operator("POST", "/v1/maintenance/import", body);
    assert_eq!(code(&answer), "507 disk-full");
    let (data, dir) = (full.data(), std::mem::replace(&mut full.dir, tempfile::tempdir().unwrap()));
    drop(full);
    let mut roomy = TestServer::with(|config| config.data = data);
    roomy.dir = dir;
    import(&roomy, "memory://full", "acme-inc");
}

/// kill -9 at moments spread over an import: afterwards there is no tenant or all of it, the store is sound, and the
/// command run again ends it.
#[test]
fn a_killed_import_leaves_no_tenant_or_all_of_it() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for revision in 1..=6 {
        let flow = edited_intake(10 + revision, &format!("#order-{revision}"));
        assert_eq!(server.build(&tenant, &flow).status, 201);
    }
    let to = server.path("evidence");
    export(&server, &url(&to), "acme-inc");
    let (from, key) = (url(&to), server.data().join("keys/master.key").display().to_string());
    let arguments = ["import", &from, "--tenant", "acme-inc", "--master", &key];
    let whole = server.path("whole");
    let begun = std::time::Instant::now();
    assert!(command(&whole, &arguments).status.success());
    let takes = begun.elapsed();
    let mut cut = 0;
    // Other tests run beside this one, and an import may be slower now than it was: then it is tried later and later.
    for part in 1..=60_u32 {
        let after = if part <= 8 { takes * part / 9 } else { takes * (part - 8) / 12 };
        if part > 8 && cut > 0 {
            break;
        }
        let data = server.path(&format!("killed-{part}"));
        let mut child = std::process::Command::new(program("colophon"))
            .args(arguments)
            .arg("--data")
            .arg(&data)
            .env("COLOPHON_SPACE_LOW", "0")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // A moment, not a condition: wherever it falls, what is looked for holds.
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
        if data.join("FORMAT").exists() {
            assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0, "part {part}");
            let tenants = colophon(&data, &["tenant", "list"]);
            let there = tenants.to_string().contains("acme-inc");
            cut += usize::from(!there);
            if there {
                continue;
            }
        }
        let done = colophon(&data, &[&arguments[..], &["--verify"]].concat());
        assert_eq!(done["tenants"][0]["builds"], 6, "part {part}: {done:#}");
        assert_eq!(done["tenants"][0]["compared"]["findings"], json!([]), "part {part}");
    }
    assert!(cut > 0, "no kill met an import");
}

/// What an import that was cut has left is taken away when that is asked for, and when the export is another one
/// meanwhile.
#[test]
fn what_is_left_of_an_import_is_taken_away() {
    let Some(store) = Store::moto() else { return };
    let proxy = Proxy::before(store.port);
    let at = |config: &mut colophon::config::Config| {
        config.export.endpoint = Some(format!("http://127.0.0.1:{}", proxy.port));
        with_key(config, KEY);
        config.export.attempts = 1;
    };
    let server = TestServer::with(at);
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "a")).status, 201);
    let from = format!("s3://{BUCKET}/left");
    export(&server, &from, "acme-inc");
    let new = beside(&server, at);
    let cut = || {
        let count = std::sync::atomic::AtomicUsize::new(0);
        proxy.rule(move |head| {
            // The check reads blobs too: what comes after it reads the first bag's bundle again.
            let bundle = head.contains("mirror.bundle") && head.starts_with("GET ");
            let again = bundle && count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 1;
            again.then_some(Twist::HangUp)
        });
        assert!(run(&new, &job(&from, "acme-inc")).is_err());
        proxy.rule(|_| None);
        let view = new.app.press.store.view().unwrap();
        assert_eq!(view.scan::<ImportRow>(&()).count(), 1);
        assert!(view.scan::<BuildRecord>(&()).count() > 0, "most of it was written");
    };
    cut();
    let discard = Import { discard: true, tenants: Vec::new(), ..job(&from, "acme-inc") };
    let gone = run(&new, &discard).unwrap();
    assert_eq!(gone.discarded.len(), 1, "{gone:#?}");
    nothing(&new);
    cut();
    assert_eq!(server.build(&tenant, &small_flow("two", Some(1), "b")).status, 201);
    export(&server, &from, "acme-inc");
    let done = import(&new, &from, "acme-inc");
    assert!(!done.tenants[0].resumed && done.tenants[0].builds == 2, "{done:#?}");
    assert!(check(&server, &from, "acme-inc").is_clean());
}

/// A real store that speaks S3 gives a tenant back, in parts and with everything that its probes ask for.
#[test]
fn seaweedfs_gives_a_tenant_back() {
    let Some(store) = Store::seaweedfs() else { return };
    let at = |config: &mut colophon::config::Config| {
        config.export.endpoint = Some(store.url());
        with_key(config, KEY);
    };
    let (server, tenant) = crate::support::import::world(at);
    let from = format!("s3://{BUCKET}/back");
    assert!(export(&server, &from, "acme-inc") >= 3);
    assert_eq!(server.build(&tenant, &small_flow("late", Some(1), "d")).status, 201);
    assert_eq!(export(&server, &from, "acme-inc"), 1);
    let new = beside(&server, at);
    let done = import(&new, &from, "acme-inc");
    let lines = done.tenants[0].lines;
    let differences =
        differences(&rows(&server, "acme-inc", lines), &rows(&new, "acme-inc", lines));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let drilled = crate::support::import::drill(&server, &from, "acme-inc");
    assert!(drilled.tenants[0].is_good(), "{drilled:#?}");
}
