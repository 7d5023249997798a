//! One tenant learns nothing of another over Git. Every question is put twice, in two copies of one
//! world: in the one the other tenant never existed, in the other it is there, with much in common.
//! Status, headers and body must be the same to the byte. That the questions are good ones is shown
//! by the other tenant, who gets an answer to them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use crate::support::programs::{git, git_in};
use crate::support::raw::{Raw, exchange, packets};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

/// Two copies of a world: the same thief, and a victim in one of them.
struct Worlds {
    without: TestServer,
    with: TestServer,
    thief: TestTenant,
    /// What the thief's branch points to, in both worlds.
    tip: String,
    victim: TestTenant,
    secrets: Secrets,
    _dir: tempfile::TempDir,
}

/// What the thief must not learn of.
struct Secrets {
    /// Objects that the thief has not, of every kind.
    objects: BTreeSet<String>,
    tip: String,
    /// The commit before the tip.
    parent: String,
    /// Tag objects that the victim had once.
    purged: BTreeSet<String>,
    /// Full names of refs, those of purged tags among them.
    refs: BTreeSet<String>,
    /// A tag on [`parent`](Self::parent), by its full name.
    tag: String,
}

/// The worlds that all tests of this file share, since none of them changes a thing. The last one
/// takes them down.
fn worlds() -> Arc<Worlds> {
    static SHARED: Mutex<Weak<Worlds>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let made = Arc::new(Worlds::make());
        *shared = Arc::downgrade(&made);
        made
    })
}

impl Worlds {
    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let at = |data: &Path| {
            let data = data.to_owned();
            TestServer::with(|config| {
                config.data = data;
                // Off by default; here every question shall be understood.
                config.git.ref_in_want = true;
            })
        };
        let server = at(&old);
        let thief = server.tenant("thief");
        build(&server, &thief, ORDER_INTAKE);
        build(&server, &thief, &small_flow("common", None, "the same in both"));
        build(&server, &thief, &small_flow("loot", None, "mine"));
        drop(server);
        copy(&old, &new);
        let (without, with) = (at(&old), at(&new));
        let victim = with.tenant("victim");
        let secrets = Secrets::make(&with, &victim, &thief, dir.path());
        let tip = branch_tip(&dir.path().join("thief.git"));
        Self { without, with, thief, tip, victim, secrets, _dir: dir }
    }

    /// Puts one question to both worlds, and gives the answer when they are the same.
    fn same(&self, what: &str, ask: impl Fn(&TestServer) -> Raw) -> Raw {
        let (without, with) = (ask(&self.without), ask(&self.with));
        assert!(
            without == with,
            "{what}: in a world without the victim\n{}\nand in one with it\n{}",
            show(&without),
            show(&with)
        );
        with
    }

    /// A fetch of the thief's, in version `protocol`.
    fn steal(&self, protocol: u8, lines: &[&str]) -> Raw {
        self.same(&format!("version {protocol}: {lines:?}"), |server| {
            fetch(server, "thief", Some(&self.thief.git), protocol, lines)
        })
    }

    /// The same by the victim on its own repository.
    fn own(&self, protocol: u8, lines: &[&str]) -> String {
        fetch(&self.with, "victim", Some(&self.victim.git), protocol, lines).text()
    }
}

impl Secrets {
    fn make(server: &TestServer, victim: &TestTenant, thief: &TestTenant, dir: &Path) -> Self {
        build(server, victim, &small_flow("first", None, "this one is purged"));
        let early = mirror(server, victim, dir, "early.git");
        server.clock.advance(3_600_000);
        let purge = r#"{"older_than": "30m", "tenant": "victim"}"#;
        let answer = server.operator("POST", "/v1/maintenance/purge", purge);
        assert_eq!(answer.status, 200, "{:?}", answer.json());
        build(server, victim, ORDER_INTAKE);
        build(server, victim, &small_flow("common", None, "the same in both"));
        build(server, victim, &small_flow("secret", None, "nobody's business"));
        let late = mirror(server, victim, dir, "victim.git");
        let known = all_objects(&mirror(server, thief, dir, "thief.git"));
        let (old, new) = (all_objects(&early), all_objects(&late));
        let purged: BTreeSet<_> = old.difference(&new).cloned().collect();
        assert!(!purged.is_empty(), "a tag was purged");
        assert!(new.intersection(&known).count() > 5, "the tenants have much in common");
        let tags = git_in(&late, &["tag", "--points-at", "refs/heads/tenant/victim~1"]);
        Self {
            objects: old.union(&new).filter(|oid| !known.contains(*oid)).cloned().collect(),
            tip: branch_tip(&late),
            parent: git_in(&late, &["rev-parse", "refs/heads/tenant/victim~1"]).trim().to_owned(),
            purged,
            refs: refs(&early).union(&refs(&late)).cloned().collect(),
            tag: format!("refs/tags/{}", tags.lines().next().unwrap()),
        }
    }
}

fn build(server: &TestServer, tenant: &TestTenant, flow: &[u8]) {
    let answer = server.build(tenant, flow);
    assert_eq!(answer.status, 201, "{:#}", answer.json());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn mirror(server: &TestServer, tenant: &TestTenant, dir: &Path, name: &str) -> std::path::PathBuf {
    let (path, url) = (dir.join(name), server.git_url(tenant));
    let header = format!("http.extraHeader=Authorization: Bearer {}", tenant.git);
    git(&["-c", &header, "clone", "--quiet", "--mirror", &url, &path.display().to_string()]);
    path
}

fn all_objects(repository: &Path) -> BTreeSet<String> {
    let args = ["rev-list", "--objects", "--no-object-names", "--all"];
    git_in(repository, &args).lines().map(str::to_owned).collect()
}

fn refs(repository: &Path) -> BTreeSet<String> {
    let listed = git_in(repository, &["for-each-ref", "--format=%(refname)"]);
    listed.lines().map(str::to_owned).collect()
}

fn branch_tip(repository: &Path) -> String {
    git_in(repository, &["rev-parse", "HEAD"]).trim().to_owned()
}

fn show(answer: &Raw) -> String {
    let text: String = answer.text().chars().take(600).collect();
    format!("{} {:?}\n{text:?}", answer.status, answer.headers)
}

fn authorization(token: Option<&str>) -> String {
    token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\n"))
}

fn fetch(
    server: &TestServer,
    repository: &str,
    token: Option<&str>,
    protocol: u8,
    lines: &[&str],
) -> Raw {
    let head = format!(
        "POST /git/{repository}.git/git-upload-pack HTTP/1.1\nGit-Protocol: version={protocol}\n\
         Content-Type: application/x-git-upload-pack-request\n{}",
        authorization(token)
    );
    exchange(&server.url, &head, &packets(lines))
}

/// Asks for the refs of the repository at `path`, below `/git/`.
fn refs_of(server: &TestServer, path: &str, token: Option<&str>, protocol: u8) -> Raw {
    let head = format!(
        "GET /git/{path}/info/refs?service=git-upload-pack HTTP/1.1\n\
         Git-Protocol: version={protocol}\n{}",
        authorization(token)
    );
    exchange(&server.url, &head, b"")
}

/// A `fetch` request of version 2 with these arguments.
fn v2<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["command=fetch", "object-format=sha1", "0001", "no-progress"], arguments, &["0000"]].concat()
}

/// No want of a foreign object is granted, alone, with an own one, or in a partial clone's way.
#[test]
fn foreign_objects_are_not_ours_to_give() {
    let worlds = worlds();
    let (own, tip) = (format!("want {}", worlds.tip), &worlds.secrets.tip);
    for oid in &worlds.secrets.objects {
        let want = format!("want {oid}");
        let refused = worlds.steal(2, &v2(&[&want, "done"])).text();
        assert!(refused.contains(&format!("not our ref {oid}")), "{refused}");
        worlds.steal(2, &v2(&[&own, &want, "done"]));
        worlds.steal(2, &v2(&[&want, "filter blob:none", "done"]));
        worlds.steal(2, &v2(&[&want, "filter tree:0", "done"]));
        let first = format!("{want} multi_ack_detailed no-done side-band-64k ofs-delta");
        let refused = worlds.steal(0, &[&first, "0000", "done"]).text();
        assert!(refused.contains(&format!("not our ref {oid}")), "{refused}");
        worlds.steal(0, &[&format!("{own} side-band-64k"), &want, "0000", "done"]);
        worlds.steal(0, &[&format!("{want} filter"), "filter blob:none", "0000", "done"]);
    }
    for oid in worlds.secrets.objects.difference(&worlds.secrets.purged) {
        let want = format!("want {oid}");
        assert!(worlds.own(2, &v2(&[&want, "done"])).contains("PACK"), "the victim has {oid}");
        assert!(worlds.own(0, &[&want, "0000", "done"]).contains("PACK"));
    }
    assert!(worlds.secrets.objects.contains(tip));
}

/// A foreign object that a client says it has is neither acknowledged nor built upon.
#[test]
fn foreign_haves_change_nothing() {
    let worlds = worlds();
    let own = format!("want {}", worlds.tip);
    let modes = ["", "multi_ack", "multi_ack_detailed", "multi_ack_detailed no-done"];
    for oid in &worlds.secrets.objects {
        let have = format!("have {oid}");
        worlds.steal(2, &v2(&[&own, "thin-pack", "ofs-delta", &have]));
        worlds.steal(2, &v2(&[&own, "thin-pack", "ofs-delta", &have, "done"]));
        worlds.steal(2, &v2(&["wait-for-done", &have]));
        for mode in modes {
            let first = format!("{own} {mode} thin-pack ofs-delta side-band-64k");
            worlds.steal(0, &[&first, "0000", &have, "0000"]);
            worlds.steal(0, &[&first, "0000", &have, "done"]);
        }
    }
    let unknown = format!("have {}", "5".repeat(40));
    let foreign = format!("have {}", worlds.secrets.tip);
    let pack = |have: &str| worlds.steal(2, &v2(&[&own, "thin-pack", have, "done"]));
    assert_eq!(pack(&foreign), pack(&unknown), "a foreign have is an unknown one");
    let (want, parent) = (format!("want {}", worlds.secrets.tip), &worlds.secrets.parent);
    let acknowledged = worlds.own(2, &v2(&[&want, &format!("have {parent}")]));
    assert!(acknowledged.contains(&format!("ACK {parent}")), "{acknowledged}");
    let lines = [&format!("{want} multi_ack"), "0000", &format!("have {parent}"), "0000"];
    assert!(worlds.own(0, &lines).contains(&format!("ACK {parent} continue")));
}

#[test]
fn the_size_of_a_foreign_object_is_not_told() {
    let worlds = worlds();
    let start = ["command=object-info", "object-format=sha1", "0001", "size"];
    for oid in &worlds.secrets.objects {
        let oid = format!("oid {oid}");
        worlds.steal(2, &[&start[..], &[&oid, "0000"]].concat());
        let own = format!("oid {}", worlds.tip);
        worlds.steal(2, &[&start[..], &[&own, &oid, "0000"]].concat());
    }
    let (oid, tip) = (format!("oid {}", worlds.secrets.tip), &worlds.secrets.tip);
    let told = worlds.own(2, &[&start[..], &[&oid, "0000"]].concat());
    let size = told.split(&format!("{tip} ")).nth(1).unwrap_or_default();
    assert!(size.starts_with(|c: char| c.is_ascii_digit()), "{told}");
}

#[test]
fn foreign_refs_are_not_listed() {
    let worlds = worlds();
    let start = ["command=ls-refs", "0001", "peel", "symrefs", "unborn"];
    for name in &worlds.secrets.refs {
        let prefix = format!("ref-prefix {name}");
        let listed = worlds.steal(2, &[&start[..], &[&prefix, "0000"]].concat());
        assert_eq!(listed.text(), "0000");
    }
    let everything = worlds.steal(2, &[&start[..], &["0000"]].concat()).text();
    assert!(everything.contains(&worlds.tip) && !everything.contains("victim"));
    for protocol in 0..=2 {
        let refs = worlds
            .same("refs", |server| refs_of(server, "thief.git", Some(&worlds.thief.git), protocol));
        assert_eq!(refs.status, 200);
        assert!(!refs.text().contains("victim"), "{}", refs.text());
    }
    let prefix = "ref-prefix refs/heads/tenant/victim";
    let listed = worlds.own(2, &[&start[..], &[prefix, "0000"]].concat());
    assert!(listed.contains(&worlds.secrets.tip), "{listed}");
}

#[test]
fn foreign_refs_cannot_be_wanted_by_name() {
    let worlds = worlds();
    for name in &worlds.secrets.refs {
        let want = format!("want-ref {name}");
        worlds.steal(2, &v2(&[&want, "done"]));
        worlds.steal(2, &v2(&["want-ref refs/heads/tenant/thief", &want, "done"]));
    }
    let own = worlds.own(2, &v2(&["want-ref refs/heads/tenant/victim", "done"]));
    assert!(own.contains("wanted-refs"), "{own}");
}

#[test]
fn foreign_refs_do_not_cut_history() {
    let worlds = worlds();
    let own = format!("want {}", worlds.tip);
    for name in &worlds.secrets.refs {
        for name in [name.as_str(), name.trim_start_matches("refs/heads/"), &name[10..]] {
            let not = format!("deepen-not {name}");
            worlds.steal(2, &v2(&[&own, &not, "done"]));
            worlds.steal(0, &[&format!("{own} side-band-64k"), &not, "0000", "done"]);
        }
    }
    let (want, not) =
        (format!("want {}", worlds.secrets.tip), format!("deepen-not {}", worlds.secrets.tag));
    let cut = worlds.own(2, &v2(&[&want, &not, "done"]));
    assert!(cut.contains(&format!("shallow {}", worlds.secrets.tip)), "{cut}");
}

/// A client that says its history ends at a foreign commit.
#[test]
fn foreign_commits_are_no_ends_of_history() {
    let worlds = worlds();
    let own = format!("want {}", worlds.tip);
    for oid in &worlds.secrets.objects {
        let (shallow, have) = (format!("shallow {oid}"), format!("have {oid}"));
        for depth in ["deepen 1", "deepen 2147483647", "deepen-since 1"] {
            worlds.steal(2, &v2(&[&own, &shallow, depth, "done"]));
            worlds.steal(2, &v2(&[&own, &shallow, depth, "deepen-relative", "done"]));
            worlds.steal(2, &v2(&[&own, &shallow, &have, depth, "done"]));
            worlds.steal(0, &[&format!("{own} side-band-64k"), &shallow, depth, "0000", "done"]);
        }
        worlds.steal(2, &v2(&[&own, &shallow, &have, "done"]));
        worlds.steal(0, &[&format!("{own} side-band-64k"), &shallow, "0000", &have, "done"]);
    }
    let (tip, parent) = (&worlds.secrets.tip, &worlds.secrets.parent);
    let (want, shallow) = (format!("want {tip}"), format!("shallow {tip}"));
    let told = worlds.own(2, &v2(&[&want, &shallow, &format!("have {tip}"), "deepen 2", "done"]));
    assert!(told.contains(&format!("unshallow {tip}")), "{told}");
    assert!(told.contains(&format!("shallow {parent}")), "{told}");
}

/// Names of the victim's repository, and what may be taken for one, as they stand in a request.
const PATHS: [&str; 40] = [
    "victim.git",
    "victim",
    "victim.git.git",
    "victim.GIT",
    "Victim.git",
    "VICTIM.git",
    "victim+all.git",
    "victim%2Ball.git",
    "victim+all+all.git",
    "victim.git+all",
    "victim+.git",
    "+all.git",
    ".git",
    "victim.git%20",
    "%20victim.git",
    "victim%2egit",
    "%76ictim.git",
    "%56ictim.git",
    "victim.git%00",
    "victim%00.git",
    "victim%0a.git",
    "victim%zz.git",
    "v%C4%B1ctim.git",
    "%EF%BD%96ictim.git",
    "/victim.git",
    "//victim.git",
    "./victim.git",
    "%2e/victim.git",
    "../git/victim.git",
    "%2e%2e/git/victim.git",
    "thief.git/../victim.git",
    "thief.git/%2e%2e/victim.git",
    "thief.git%2f..%2fvictim.git",
    "thief.git%2F%2E%2E%2Fvictim.git",
    "thief.git\\..\\victim.git",
    "thief.git;victim.git",
    "thief.git,victim.git",
    "thief/victim.git",
    "victim.git/",
    "victim.git?service=git-upload-pack&",
];

#[test]
fn a_foreign_repository_is_one_that_is_not_there() {
    let worlds = worlds();
    let lines = ["command=ls-refs", "0001", "0000"];
    let tokens = [&worlds.thief.git, &worlds.thief.api, &worlds.thief.edge];
    for path in PATHS {
        for token in tokens.into_iter().map(Some).chain([None]) {
            let token = token.map(String::as_str);
            for protocol in [0, 2] {
                let what = format!("{path}, version {protocol}");
                let refs = worlds.same(&what, |server| refs_of(server, path, token, protocol));
                assert!((400..500).contains(&refs.status), "{what}: {}", refs.status);
                let name = path.strip_suffix(".git").unwrap_or(path);
                let posted =
                    worlds.same(&what, |server| fetch(server, name, token, protocol, &lines));
                assert!((400..500).contains(&posted.status), "{what}: {}", posted.status);
            }
        }
    }
}

/// A push is refused before anything else is looked at, so it tells nothing either.
#[test]
fn a_push_tells_nothing() {
    let worlds = worlds();
    for path in ["victim.git", "thief.git", "nobody.git"] {
        for line in [
            format!("GET /git/{path}/info/refs?service=git-receive-pack HTTP/1.1"),
            format!("POST /git/{path}/git-receive-pack HTTP/1.1"),
            format!("GET /git/{path}/info/refs?service=git-upload-archive HTTP/1.1"),
            format!("GET /git/{path}/info/refs HTTP/1.1"),
            format!("GET /git/{path}/HEAD HTTP/1.1"),
            format!("GET /git/{path}/objects/info/packs HTTP/1.1"),
        ] {
            let head = format!("{line}\n{}", authorization(Some(&worlds.thief.git)));
            let answer = worlds.same(&line, |server| exchange(&server.url, &head, b""));
            assert!((400..500).contains(&answer.status), "{line}: {}", answer.status);
        }
    }
}

/// The victim's token opens the victim's repository, and no other, there or not.
#[test]
fn a_token_opens_one_repository() {
    let worlds = worlds();
    let token = Some(worlds.victim.git.as_str());
    for protocol in 0..=2 {
        for end in [".git", "+all.git"] {
            let ask = |name| refs_of(&worlds.with, &format!("{name}{end}"), token, protocol);
            assert_eq!(ask("victim").status, 200);
            assert_eq!(ask("thief").status, 404);
            assert_eq!(ask("thief"), ask("nobody"));
        }
    }
}

/// A tag of the thief's own that is purged is gone as if it had never been.
#[test]
fn an_own_purged_tag_is_no_longer_there() {
    let server = TestServer::start();
    let tenant = server.tenant("thief");
    build(&server, &tenant, &small_flow("one", None, "one"));
    let mirror = mirror(&server, &tenant, server.dir.path(), "mirror.git");
    let tag = git_in(&mirror, &["for-each-ref", "--format=%(objectname)", "refs/tags"]);
    let tag = tag.lines().next().unwrap();
    let ask = |oid: &str| {
        let answer =
            fetch(&server, "thief", Some(&tenant.git), 2, &v2(&[&format!("want {oid}"), "done"]));
        (answer.status, answer.headers.clone(), answer.text().replace(oid, "*"))
    };
    assert_ne!(ask(tag), ask(&"5".repeat(40)));
    server.clock.advance(3_600_000);
    let purge = r#"{"older_than": "30m"}"#;
    assert_eq!(server.operator("POST", "/v1/maintenance/purge", purge).status, 200);
    assert_eq!(ask(tag), ask(&"5".repeat(40)));
}
