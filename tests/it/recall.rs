//! What the server remembers of reads: the same answers without a look into the store, and not one of
//! them once something was taken away.
//!
//! A server with one place for reads, taken by the test, answers from memory alone: what would need the
//! store is 503. So no test here goes by time.

use std::os::unix::fs::FileExt as _;

use colophon_model::{Digest, Sha256, TenantUid};
use colophon_store::rows::{BundleTree, TokenRow};
use colophon_store::{Change, Store};
use serde_json::Value;

use crate::support::raw::{Raw, exchange};
use crate::support::{TestServer, TestTenant, noise};
use crate::transfer::flow;

/// A server, a tenant with a bundle, and the bundle's largest file.
struct Read {
    server: TestServer,
    tenant: TestTenant,
    uid: TenantUid,
    tree: Digest,
    file: Digest,
}

impl Read {
    fn new() -> Self {
        let server = TestServer::with(|config| {
            config.limits.reads = 1;
            config.limits.waiting = 0;
        });
        let tenant = server.tenant("acme-inc");
        let (uid, tree, file) = bundle(&server, &tenant, 1);
        Self { server, tenant, uid, tree, file }
    }

    fn store(&self) -> &Store {
        &self.server.app.press.store
    }

    /// Asks with the tenant's token for agents. `more` are headers, one a line.
    fn ask(&self, method: &str, path: &str, more: &str) -> Raw {
        ask(&self.server, &self.tenant.edge, method, &format!("/v1/t/acme-inc/{path}"), more)
    }

    /// The same when nobody may look into the store.
    fn recall(&self, method: &str, path: &str, more: &str) -> Raw {
        let _place = self.server.app.reads.admit().unwrap();
        self.ask(method, path, more)
    }

    fn blob(&self) -> String {
        format!("blob/{}?tree={}", self.file, self.tree)
    }

    /// Reads the blob, so that it is remembered.
    fn remember(&self) {
        assert_eq!(self.ask("GET", &self.blob(), "").status, 200);
        assert_eq!(self.recall("GET", &self.blob(), "").status, 200);
    }

    /// What a request gets after `change`, before anyone else asked.
    fn after(&self, change: impl FnOnce(&mut Change) -> &mut Change) -> u16 {
        self.remember();
        self.commit(change);
        assert_eq!(self.recall("GET", &self.blob(), "").status, 503, "it is not remembered");
        self.ask("GET", &self.blob(), "").status
    }

    fn commit(&self, change: impl FnOnce(&mut Change) -> &mut Change) {
        let mut made = Change::new();
        change(&mut made);
        self.store().commit(made).unwrap();
    }

    fn token(&self) -> Sha256 {
        Sha256::of(self.tenant.edge.as_bytes())
    }

    fn token_row(&self) -> TokenRow {
        self.store().view().unwrap().get::<TokenRow>(&self.token()).unwrap().unwrap()
    }
}

/// Builds a revision of the flow. The tenant, the tree of its bundle, and the largest file in it.
fn bundle(server: &TestServer, tenant: &TestTenant, revision: u64) -> (TenantUid, Digest, Digest) {
    let mut body: Value = serde_json::from_slice(&flow(revision, "https://example.com/")).unwrap();
    // Long, and hard to compress, so that it lies in a segment.
    let seed = |n: u64| revision * 100 + n;
    let address = |n| format!("https://{}.example.com/{}", tenant.slug, noise(seed(n), 1_500));
    let step = |n| serde_json::json!({"op": "goto", "url": address(n)});
    let nodes = body["nodes"].as_array_mut().unwrap();
    nodes.last_mut().unwrap()["steps"] = (0..20).map(step).collect();
    let built = server.build(tenant, &serde_json::to_vec(&body).unwrap());
    assert_eq!(built.status, 201, "{:#}", built.json());
    let view = server.app.press.store.view().unwrap();
    let uid = colophon::tenants::find(&view, &tenant.slug.parse().unwrap()).unwrap().uid;
    let head = (uid, "bot".parse().unwrap());
    let head = view.get::<colophon_store::rows::FlowHead>(&head).unwrap().unwrap();
    let tree = head.edge.unwrap().output.tree;
    let text = view.read_blob(uid, &tree).unwrap().unwrap();
    let entries = colophon_model::Tree::decode(&text).unwrap();
    let size = |digest| view.read_blob(uid, &digest).unwrap().unwrap().len();
    let largest = entries.entries().iter().max_by_key(|entry| size(entry.digest)).unwrap();
    (uid, tree, largest.digest)
}

fn ask(server: &TestServer, token: &str, method: &str, path: &str, more: &str) -> Raw {
    let head = format!("{method} {path} HTTP/1.1\nAuthorization: Bearer {token}\n{more}");
    exchange(&server.url, &head, b"")
}

/// Whole, in part, known already, by its head alone: to the byte what is read from the disk.
#[test]
fn what_is_remembered_is_answered_like_what_is_read() {
    let read = Read::new();
    let (_, other, _) = bundle(&read.server, &read.tenant, 2);
    let tree = read.tree;
    let paths = [
        read.blob(),
        format!("tree/{tree}"),
        format!("pack/{tree}"),
        format!("delta/{tree}..{other}"),
    ];
    for path in &paths {
        let whole = read.ask("GET", path, "");
        assert_eq!(whole.status, 200, "{path}");
        let tag = format!("If-None-Match: {}", whole.header("etag"));
        let asked = [
            ("GET", String::new(), 200),
            ("HEAD", String::new(), 200),
            ("GET", "Range: bytes=3-9".to_owned(), 206),
            ("GET", "Range: bytes=-5".to_owned(), 206),
            ("GET", "Range: bytes=3-9\nIf-Range: \"other\"".to_owned(), 200),
            ("GET", "Range: bytes=99999999-".to_owned(), 416),
            ("GET", tag, 304),
        ];
        for (method, more, status) in asked {
            // Any write of a token makes all of it be read again.
            read.commit(|change| set(change, &read.token(), Some(&read.token_row())));
            assert_eq!(read.recall(method, path, &more).status, 503, "{method} {path} {more}");
            let disk = read.ask(method, path, &more);
            let memory = read.recall(method, path, &more);
            assert_eq!(disk.status, status, "{method} {path} {more}");
            assert_eq!(memory, disk, "{method} {path} {more}");
        }
    }
    assert_eq!(Digest::of(&read.ask("GET", &read.blob(), "").body), read.file);
}

/// Builds do not make anyone look again, or reads would collapse while they go on.
#[test]
fn builds_leave_what_is_remembered() {
    let read = Read::new();
    read.remember();
    bundle(&read.server, &read.tenant, 2);
    bundle(&read.server, &read.server.tenant("other"), 1);
    read.remember();
    bundle(&read.server, &read.tenant, 3);
    assert_eq!(read.recall("GET", &read.blob(), "").status, 200);
}

#[test]
fn a_token_that_is_revoked_or_changed_or_ended_reads_nothing_at_once() {
    let read = Read::new();
    let other = read.server.tenant("other");
    let (uid, ..) = bundle(&read.server, &other, 1);
    let row = read.token_row();
    let moved = TokenRow { tenant: uid, ..row.clone() };
    let narrow = TokenRow { scopes: vec!["git".to_owned()], ..row.clone() };
    for (changed, status) in [(None, 401), (Some(moved), 404), (Some(narrow), 401)] {
        assert_eq!(read.after(|change| set(change, &read.token(), changed.as_ref())), status);
        read.commit(|change| set(change, &read.token(), Some(&row)));
    }
    // No commit ends a token in time: the clock does.
    read.remember();
    read.server.clock.advance(31 * 24 * 60 * 60 * 1000);
    assert_eq!(read.recall("GET", &read.blob(), "").status, 503, "from memory it is not answered");
    assert_eq!(read.ask("GET", &read.blob(), "").status, 401);
}

fn set<'a>(change: &'a mut Change, token: &Sha256, row: Option<&TokenRow>) -> &'a mut Change {
    match row {
        Some(row) => change.put(token, row),
        None => change.delete::<TokenRow>(token),
    }
}

#[test]
fn a_bundle_that_is_taken_away_takes_its_files_along_at_once() {
    let read = Read::new();
    let key = (read.uid, read.tree);
    assert_eq!(read.after(|change| change.delete::<BundleTree>(&key)), 404);
}

/// The bytes themselves leave the memory.
#[test]
fn an_erased_tenant_is_forgotten() {
    let read = Read::new();
    read.remember();
    let press = &read.server.app.press;
    let kept = press.recall.known_blob(&press.store, read.uid, read.file).unwrap().bytes;
    assert!(!kept.is_unique());
    let erase = "/v1/tenants/acme-inc?confirm=acme-inc";
    assert_eq!(read.server.operator("DELETE", erase, "").status, 200);
    assert_eq!(read.ask("GET", &read.blob(), "").status, 401);
    assert!(kept.is_unique(), "only this test holds them");
}

#[test]
fn a_blob_in_quarantine_is_not_served_from_memory() {
    let read = Read::new();
    read.remember();
    for entry in std::fs::read_dir(read.server.data().join("segments")).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes[16..].iter_mut().for_each(|byte| *byte ^= 0x40);
        file.write_all_at(&bytes, 0).unwrap();
    }
    let found = read.store().scrub(None, u64::MAX).unwrap();
    assert!(found.damaged.contains(&read.file), "{found:?}");
    assert_eq!(read.recall("GET", &read.blob(), "").status, 503);
    assert_eq!(read.ask("GET", &read.blob(), "").status, 500);
}

/// What the owner has read lately is to others what does not exist: the same bytes after the same work,
/// for each of both goes the long way.
#[test]
fn what_is_remembered_of_others_is_like_what_does_not_exist() {
    let read = Read::new();
    let thief = read.server.tenant("thief");
    let (_, own, own_file) = bundle(&read.server, &thief, 2);
    let ask = |path: &str| ask(&read.server, &thief.edge, "GET", path, "");
    assert_eq!(ask(&format!("/v1/t/thief/blob/{own_file}?tree={own}")).status, 200);
    read.remember();
    let zeros = "0".repeat(64);
    let absent = ask(&format!("/v1/t/thief/blob/{zeros}?tree={own}"));
    assert_eq!(absent.status, 404);
    let paths = [
        format!("/v1/t/thief/blob/{}?tree={own}", read.file),
        format!("/v1/t/thief/blob/{}?tree={}", read.file, read.tree),
        format!("/v1/t/thief/blob/{zeros}?tree={}", read.tree),
        format!("/v1/t/acme-inc/{}", read.blob()),
        format!("/v1/t/thief/tree/{}", read.tree),
        format!("/v1/t/thief/tree/{zeros}"),
        format!("/v1/t/thief/pack/{}", read.tree),
        format!("/v1/t/thief/delta/{own}..{}", read.tree),
    ];
    for path in &paths {
        assert_eq!(ask(path), absent, "{path}");
        let _place = read.server.app.reads.admit().unwrap();
        assert_eq!(ask(path).status, 503, "{path}");
    }
}
