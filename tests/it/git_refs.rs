//! Lists of refs are remembered as they are sent. Whatever changes the refs, the next list shows it.

use colophon::projection::TenantLog;
use colophon_gitbridge::{Limits, Protocol, Response, Tags, UploadPack};
use colophon_model::{Oid, TenantBranch, TenantUid};
use colophon_store::Change;
use colophon_store::rows::{RefRow, TenantRow};

use crate::support::process::colophon;
use crate::support::raw::{exchange, packets};
use crate::support::{TestServer, TestTenant, small_flow};

const DAY: u64 = 24 * 60 * 60 * 1000;
const HEADS_AND_TAGS: [&str; 8] = [
    "command=ls-refs",
    "0001",
    "peel",
    "symrefs",
    "ref-prefix HEAD",
    "ref-prefix refs/heads/",
    "ref-prefix refs/tags/",
    "0000",
];
const TAGS_BARE: [&str; 4] = ["command=ls-refs", "0001", "ref-prefix refs/tags/", "0000"];
const EVERYTHING: [&str; 3] = ["command=ls-refs", "0001", "0000"];

fn uid(server: &TestServer, tenant: &TestTenant) -> TenantUid {
    let view = server.app.press.store.view().unwrap();
    view.get::<TenantRow>(&tenant.slug.parse().unwrap()).unwrap().unwrap().uid
}

fn bytes(response: &Response) -> Vec<u8> {
    response.refs.iter().fold(response.head.clone(), |head, part| [&head[..], part].concat())
}

/// Every list is what the rows say now, made without a memory.
fn check(server: &TestServer, tenant: &TestTenant, when: &str) {
    let (view, uid) = (server.app.press.store.view().unwrap(), uid(server, tenant));
    let log = TenantLog::new(&view, uid);
    for (repo, tags) in [("", Tags::Newest(server.app.config.git.tags)), ("+all", Tags::All)] {
        let door = UploadPack {
            branch: TenantBranch::new(tenant.slug.parse().unwrap()),
            agent: concat!("colophon/", env!("CARGO_PKG_VERSION")),
            tags,
            ref_in_want: false,
            limits: Limits::default(),
        };
        let path = format!("/git/{}{repo}.git", tenant.slug);
        let head = |line: &str, version: &str| {
            let token = &tenant.git;
            format!("{line} HTTP/1.1\nAuthorization: Bearer {token}\nGit-Protocol: {version}\n")
        };
        let line = format!("GET {path}/info/refs?service=git-upload-pack");
        let sent = exchange(&server.url, &head(&line, "version=0"), b"").body;
        let expected = bytes(&door.advertise(&log, Protocol::V0).unwrap());
        assert!(sent == expected, "{when}, {path}, version 0");
        for lines in [&HEADS_AND_TAGS[..], &TAGS_BARE, &EVERYTHING] {
            let (body, line) = (packets(lines), format!("POST {path}/git-upload-pack"));
            let sent = exchange(&server.url, &head(&line, "version=2"), &body).body;
            let expected = bytes(&door.answer(&log, Protocol::V2, &body).unwrap());
            assert!(sent == expected, "{when}, {path}, {lines:?}");
        }
    }
}

/// More tags than go out in one piece.
fn put_many_tags(server: &TestServer, tenant: &TestTenant) {
    let (mut change, uid) = (Change::new(), uid(server, tenant));
    for n in 0..300_u64 {
        let name = format!("refs/tags/bld/{}/20200101000000{n:03}-cloud", tenant.slug);
        let oid = Oid::from_bytes([n as u8; Oid::LEN]);
        change.put(&(uid, name), &RefRow { oid, peeled: Some(oid) });
    }
    server.app.press.store.commit(change).unwrap();
}

#[test]
fn lists_are_never_stale() {
    let server = TestServer::start();
    let (data, tenants) = (server.data(), ["acme", "other"].map(|slug| server.tenant(slug)));
    let check = |when: &str| {
        // Twice, so that what the first list left behind is looked at.
        for tenant in tenants.iter().chain(&tenants) {
            check(&server, tenant, when);
        }
    };
    check("without builds");
    for tenant in &tenants {
        put_many_tags(&server, tenant);
    }
    check("many tags");
    for (n, tenant) in tenants.iter().chain(&tenants).enumerate() {
        let flow = small_flow("orders", None, &format!("text {n}"));
        assert_eq!(server.build(tenant, &flow).status, 201);
        check("a build");
        server.clock.advance(DAY);
    }
    let purged = colophon(&data, &["purge", "--older-than", "2d"]);
    assert!(purged["tags"].as_u64() > Some(0), "{purged}");
    check("a purge");
    let mut change = Change::new();
    let branch = "refs/heads/tenant/acme".to_owned();
    change.delete::<RefRow>(&(uid(&server, &tenants[0]), branch));
    server.app.press.store.commit(change).unwrap();
    check("a loss");
    colophon(&data, &["git", "rebuild", "acme"]);
    check("a rebuild");
}

#[test]
fn nothing_is_listed_of_an_erased_tenant() {
    let server = TestServer::start();
    let (data, gone, other) = (server.data(), server.tenant("gone"), server.tenant("other"));
    put_many_tags(&server, &gone);
    check(&server, &gone, "before");
    check(&server, &other, "before");
    let uid = uid(&server, &gone);
    colophon(&data, &["tenant", "erase", "gone", "--confirm", "gone"]);
    assert_eq!(server.app.press.store.view().unwrap().ref_changes(uid).unwrap(), Some(0));
    let line = "GET /git/gone+all.git/info/refs?service=git-upload-pack HTTP/1.1";
    let head = format!("{line}\nAuthorization: Bearer {}\n", gone.git);
    assert_eq!(exchange(&server.url, &head, b"").status, 401);
    check(&server, &other, "after");
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
}
