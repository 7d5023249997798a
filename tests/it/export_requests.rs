//! How many requests an export takes: each costs money and, with many tenants, is what a store throttles by. What is saved
//! must not cost what an exporter promises, so that is tested here too.

use std::fs;

use colophon::config::ExportConfig;
use colophon_store::Change;
use colophon_store::rows::ExportPlace;
use serde_json::Value;

use crate::support::export::{check, export, job, run};
use crate::support::s3::{self, BUCKET, KEY, Store};
use crate::support::upstream::Proxy;
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

/// The bar of one more build, as a person edits a flow; and two more objects of each sealed bag, which say to everybody what
/// is sealed.
const MOST: usize = 20;
const SEALED: usize = 2;

/// Nodes of the flow: what runs in the cloud, and what runs at the edge.
const CLOUD: &str = "read_order";
const EDGE: &str = "enter_order";

/// One more build takes twenty requests at most, a new bundle with its documents included. Sealed too, unless cloud and
/// bundle change at once.
#[test]
fn one_more_build_takes_few_requests() {
    let Some(store) = Store::moto() else { return };
    for (encrypt, edits, most) in [
        (false, [CLOUD].as_slice(), MOST - SEALED),
        (false, &[CLOUD, EDGE], MOST),
        (true, &[CLOUD], MOST),
        (true, &[CLOUD, EDGE], MOST + SEALED),
    ] {
        let scene = Scene::new(&store, &format!("few-{encrypt}-{}", edits.len()), encrypt);
        assert_eq!(scene.server.build(&scene.tenant, &edited(edits)).status, 201);
        let requests = scene.increment();
        let count = requests.len();
        println!("encrypt: {encrypt}, {edits:?}: {count}");
        assert!(count <= most, "{count}, encrypt: {encrypt}, {edits:?}: {requests:#?}");
        let found = check(&scene.server, &scene.to, "acme-inc");
        assert!(found.is_clean() && found.bags == 2, "{found:#?}");
    }
}

/// A tenant that is exported once to a bucket behind a proxy that counts.
struct Scene<'a> {
    store: &'a Store,
    proxy: Proxy,
    server: TestServer,
    tenant: TestTenant,
    to: String,
}

impl<'a> Scene<'a> {
    fn new(store: &'a Store, prefix: &str, encrypt: bool) -> Self {
        let proxy = Proxy::before(store.port);
        let server = TestServer::with(|config| {
            config.export = ExportConfig {
                endpoint: Some(format!("http://127.0.0.1:{}", proxy.port)),
                encrypt,
                ..std::mem::take(&mut config.export)
            };
            s3::with_key(config, KEY);
        });
        let tenant = server.tenant("acme-inc");
        let to = format!("s3://{BUCKET}/{prefix}");
        assert_eq!(server.build(&tenant, ORDER_INTAKE).status, 201);
        assert_eq!(export(&server, &to, "acme-inc"), 1);
        proxy.take();
        Self { store, proxy, server, tenant, to }
    }

    /// Exports one bag; returns the first lines of what was asked.
    fn increment(&self) -> Vec<String> {
        assert_eq!(export(&self.server, &self.to, "acme-inc"), 1);
        self.asked()
    }

    fn asked(&self) -> Vec<String> {
        let first = |head: &str| head.lines().next().unwrap_or_default().to_owned();
        self.proxy.take().iter().map(|seen| first(&seen.head)).collect()
    }

    fn build(&self, revision: u64) {
        let flow = small_flow("one", Some(revision), &format!("text {revision}"));
        assert_eq!(self.server.build(&self.tenant, &flow).status, 201);
    }

    fn head(&self) -> String {
        format!("{}/v1/acme-inc/HEAD.json", self.to)
    }

    fn head_there(&self) -> Vec<u8> {
        let file = self.server.path("head");
        self.store.must(&["s3", "cp", "--quiet", &self.head(), &file.display().to_string()]);
        fs::read(file).unwrap()
    }

    /// Puts something in the place of `HEAD.json`, as whoever can write there can.
    fn put_head(&self, bytes: &[u8]) {
        let file = self.server.path("head");
        fs::write(&file, bytes).unwrap();
        self.store.must(&["s3", "cp", "--quiet", &file.display().to_string(), &self.head()]);
    }
}

fn gets_of_head(asked: &[String]) -> usize {
    asked.iter().filter(|line| line.starts_with("GET ") && line.contains("/HEAD.json")).count()
}

/// What the server itself left there it does not ask for before it goes on from it; that nothing is new it does not say
/// without having looked.
#[test]
fn what_was_left_there_is_not_asked_for_in_vain() {
    let Some(store) = Store::moto() else { return };
    let scene = Scene::new(&store, "head", false);
    scene.build(1);
    assert_eq!(gets_of_head(&scene.increment()), 0);
    assert_eq!(export(&scene.server, &scene.to, "acme-inc"), 0);
    assert_eq!(scene.asked().len(), 1, "a look");
    scene.build(2);
    scene.increment();
    assert!(check(&scene.server, &scene.to, "acme-inc").is_clean());
}

/// Somebody puts an old `HEAD.json` back, or takes it away: that is found out as ever, and nothing goes over it.
#[test]
fn a_head_that_went_back_is_found_out_though_it_was_not_asked_for() {
    let Some(store) = Store::moto() else { return };
    let scene = Scene::new(&store, "back", false);
    let old = scene.head_there();
    scene.build(1);
    scene.increment();
    let newest = scene.head_there();
    scene.build(2);
    scene.put_head(&old);
    let said = run(&scene.server, &job(&scene.to, "acme-inc")).unwrap_err().to_string();
    assert!(said.contains("number 1") || said.contains("went back"), "{said}");
    assert_eq!(scene.head_there(), old);
    store.must(&["s3", "rm", "--quiet", &scene.head()]);
    assert!(run(&scene.server, &job(&scene.to, "acme-inc")).is_err());
    scene.put_head(&newest);
    assert_eq!(export(&scene.server, &scene.to, "acme-inc"), 1);
    let found = check(&scene.server, &scene.to, "acme-inc");
    assert!(found.is_clean() && found.bags == 3, "{found:#?}");
}

/// A store that names the same bytes otherwise by now costs two requests more, and no bag.
#[test]
fn a_remembered_name_that_is_wrong_costs_no_bag() {
    let Some(store) = Store::moto() else { return };
    let scene = Scene::new(&store, "name", false);
    scene.build(1);
    let press = &scene.server.app.press;
    let (key, mut row) = {
        let view = press.store.view().unwrap();
        view.scan::<ExportPlace>(&()).next().unwrap().unwrap()
    };
    row.head.as_mut().expect("it is remembered").tag = Some("\"0123\"".to_owned());
    let mut change = Change::new();
    change.put(&key, &row);
    press.store.commit(change).unwrap();
    let done = run(&scene.server, &job(&scene.to, "acme-inc")).unwrap();
    assert_eq!((done.tenants[0].bags.len(), done.tenants[0].orphaned.len()), (1, 0));
    assert_eq!(gets_of_head(&scene.asked()), 1);
    let found = check(&scene.server, &scene.to, "acme-inc");
    assert!(found.is_clean() && found.orphaned.is_empty(), "{found:#?}");
}

/// The flow with another text in these nodes.
fn edited(nodes: &[&str]) -> Vec<u8> {
    let mut flow: Value = serde_json::from_slice(ORDER_INTAKE).unwrap();
    flow["revision"] = (flow["revision"].as_u64().unwrap() + 1).into();
    for node in flow["nodes"].as_array_mut().unwrap() {
        match node["id"].as_str() {
            Some(CLOUD) if nodes.contains(&CLOUD) => node["system"] = "Another text.".into(),
            Some(EDGE) if nodes.contains(&EDGE) => node["timeout_ms"] = 16_000.into(),
            _ => {}
        }
    }
    serde_json::to_vec(&flow).unwrap()
}
