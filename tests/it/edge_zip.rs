//! Zips of bundles: made from their trees when they are asked for, stored nowhere, and never other bytes
//! than those that were signed.

use axum::body::Bytes;
use colophon_model::{Digest, Sha256};
use colophon_store::rows::{BundleAlias, TenantRow};
use colophon_store::{Change, FsckOptions, GcOptions, Pace};
use data_encoding::BASE64;

use crate::support::{Answer, ORDER_INTAKE, TestServer, TestTenant, agent, read};

/// A server with a bundle, and where it is.
struct Served {
    server: TestServer,
    tenant: TestTenant,
    row: TenantRow,
    sha256: Sha256,
    path: String,
}

impl Served {
    fn new() -> Self {
        let server = TestServer::start();
        let tenant = server.tenant("acme-inc");
        let edge = server.build(&tenant, ORDER_INTAKE).json()["outputs"][1]["edge"].clone();
        let (sha256, target) = (edge["edge_sha256"].as_str().unwrap(), &edge["target"]);
        let path = format!("/v1/t/acme-inc/targets/{sha256}.{}", target.as_str().unwrap());
        let view = server.app.press.store.view().unwrap();
        let row = view.get::<TenantRow>(&"acme-inc".parse().unwrap()).unwrap().unwrap();
        let sha256 = sha256.parse().unwrap();
        Self { server, tenant, row, sha256, path }
    }

    fn get(&self, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {}", self.tenant.edge);
        let headers = [&[("authorization", bearer.as_str())], headers].concat();
        self.server.get(&self.path, &headers)
    }

    fn alias(&self) -> BundleAlias {
        let view = self.server.app.press.store.view().unwrap();
        view.get::<BundleAlias>(&(self.row.uid, self.sha256)).unwrap().unwrap()
    }

    fn put(&self, alias: &BundleAlias) {
        let mut change = Change::new();
        change.put(&(self.row.uid, self.sha256), alias);
        self.server.app.press.store.commit(change).unwrap();
    }
}

#[test]
fn a_zip_is_rendered_as_it_was_signed_and_stored_nowhere() {
    let served = Served::new();
    let zip = served.get(&[]);
    assert_eq!((zip.status, Sha256::of(&zip.bytes)), (200, served.sha256));
    let checksum = format!("sha-256=:{}:", BASE64.encode(served.sha256.as_bytes()));
    assert_eq!(zip.header("repr-digest"), checksum);
    let store = &served.server.app.press.store;
    assert!(!store.view().unwrap().has_blob(served.row.uid, &Digest::of(&zip.bytes)).unwrap());

    let part = served.get(&[("range", "bytes=10-19"), ("if-range", zip.header("etag"))]);
    assert_eq!((part.status, part.bytes.as_slice()), (206, &zip.bytes[10..20]));
    assert_eq!(part.header("repr-digest"), checksum, "of the whole, not of the part");
    let whole = served.get(&[("range", "bytes=10-19"), ("if-range", "\"other\"")]);
    assert_eq!((whole.status, whole.bytes.len()), (200, zip.bytes.len()));
    assert_eq!(served.get(&[("range", "bytes=99999999-")]).status, 416);
    let list = format!("\"x\", {}", zip.header("etag"));
    assert_eq!(served.get(&[("if-none-match", &list)]).status, 304);
}

/// What a bundle needs survives a collection: its files and their list, and no zip.
#[test]
fn a_collection_keeps_what_a_zip_is_made_from() {
    let served = Served::new();
    let press = &served.server.app.press;
    for _ in 0..2 {
        let options = GcOptions { grace_millis: 0, ..GcOptions::at(press.clock.now()) };
        press.store.gc(&options, &|_| {}).unwrap();
    }
    assert_eq!(Sha256::of(&served.get(&[]).bytes), served.sha256);
    let check = FsckOptions { read_blobs: true, repair: false, pace: Pace::FULL };
    assert!(press.store.fsck(&check, None, &|_| {}).unwrap().is_clean());
}

/// The checksum is compared before the first byte leaves. A renderer that makes other bytes is a defect,
/// and the check of the store names it.
#[test]
fn other_bytes_than_the_signed_ones_never_leave() {
    let served = Served::new();
    let sound = served.alias();
    for damaged in [
        BundleAlias { render: "zip-v9/unknown".to_owned(), ..sound.clone() },
        BundleAlias { length: sound.length + 1, ..sound.clone() },
        BundleAlias { tree: Digest::of(b"gone"), ..sound.clone() },
    ] {
        served.put(&damaged);
        let answer = served.get(&[]);
        assert_eq!((answer.status, answer.code().as_str()), (500, "internal"), "{damaged:?}");
    }
    served.put(&BundleAlias { render: "zip-v9/unknown".to_owned(), ..sound.clone() });
    let report = served.server.operator("POST", "/v1/maintenance/fsck", "{}");
    let report = String::from_utf8(report.bytes).unwrap();
    assert!(report.contains("E_ALIAS"), "{report}");
    served.put(&sound);
    assert_eq!(Sha256::of(&served.get(&[]).bytes), served.sha256, "a failure is not remembered");
}

/// `HEAD` says what `GET` would, and renders nothing: it answers even where nothing can be rendered.
#[test]
fn head_costs_no_rendering() {
    let served = Served::new();
    served.put(&BundleAlias { render: "zip-v9/unknown".to_owned(), ..served.alias() });
    let url = format!("{}{}", served.server.url, served.path);
    let bearer = format!("Bearer {}", served.tenant.edge);
    let head = read(agent().head(&url).header("authorization", bearer).call().unwrap());
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(head.header("content-length"), served.alias().length.to_string());
    assert_eq!(head.header("etag"), format!("\"sha256:{}\"", served.sha256));
}

/// A-18, over HTTP: a URL that was signed for one GET opens nothing else.
#[test]
fn a_signed_url_cannot_be_bent() {
    let served = Served::new();
    served.server.tenant("other-co");
    let built = served.server.build(&served.tenant, ORDER_INTAKE).json();
    let url = built["outputs"][1]["edge"]["edge_url"].as_str().unwrap().to_owned();
    assert_eq!(served.server.get(&url, &[]).status, 200);
    let (sha256, zeros) = (served.sha256.to_string(), "0".repeat(64));
    for bent in [
        url.replace(&sha256, &zeros),
        url.replace("acme-inc/targets", "other-co/targets"),
        url.replace("acme-inc/targets", "nobody/targets"),
        url.replace("kid=1", "kid=2"),
        url.replace("kid=1", "kid=99999999999999999999"),
        url.replace("exp=", "exp=9"),
        url.replace("exp=", "exp=99999999999999999999"),
        url.replace("exp=", "exp=-"),
    ] {
        assert_ne!(bent, url);
        assert_eq!(served.server.get(&bent, &[]).status, 403, "{bent}");
    }
    let head = read(agent().head(&url).call().unwrap());
    assert_eq!(head.status, 403, "another method");
}

/// Many agents that ask at once after an update: each gets the zip, from one rendering at a time.
#[test]
fn many_ask_at_once() {
    let served = Served::new();
    std::thread::scope(|scope| {
        let asks: Vec<_> = (0..16).map(|_| scope.spawn(|| served.get(&[]))).collect();
        for ask in asks {
            assert_eq!(Sha256::of(&Bytes::from(ask.join().unwrap().bytes)), served.sha256);
        }
    });
}
