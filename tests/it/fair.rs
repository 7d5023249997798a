//! One tenant's storm is its own. Nothing here goes by time: a tenant's builds are held up in its lane, so what
//! waits, what is turned away and what goes on is counted.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use colophon_model::TenantUid;
use colophon_store::rows::TenantRow;

use crate::support::raw::connect;
use crate::support::{Answer, TestServer, TestTenant, small_flow};

/// Waits for `is`, which comes without fail unless something is broken.
fn until(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_mins(3), "{what} did not come");
        sleep(Duration::from_millis(5));
    }
}

fn uid(server: &TestServer, tenant: &TestTenant) -> TenantUid {
    let view = server.app.press.store.view().unwrap();
    view.get::<TenantRow>(&tenant.slug.parse().unwrap()).unwrap().unwrap().uid
}

/// Holds a tenant's lane until the sender is dropped.
fn hold(server: &TestServer, tenant: &TestTenant) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let (store, uid) = (server.app.press.store.clone(), uid(server, tenant));
    let (release, released) = mpsc::channel::<()>();
    let (held, is_held) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _lane = store.lane(uid);
        held.send(()).unwrap();
        let _ = released.recv();
    });
    is_held.recv().unwrap();
    (release, thread)
}

fn small(change: impl FnOnce(&mut colophon::config::Config)) -> TestServer {
    TestServer::with(|config| {
        config.limits.builds = 4;
        config.limits.builds_per_tenant = 2;
        config.limits.waiting = 6;
        config.limits.waiting_per_tenant = 3;
        change(config);
    })
}

/// A tenant with two builds that run, three that wait and more that come is told to wait, with the time that it
/// takes; another's build goes through as ever. What was admitted is built in the end.
#[test]
fn a_storm_is_turned_away_and_nobody_else_is() {
    let server = small(|config| config.limits.waiting = 100);
    let (storm, quiet) = (server.tenant("storm"), server.tenant("quiet"));
    let lane = hold(&server, &storm);
    let tasks = || server.app.builds.load().state;
    std::thread::scope(|scope| {
        let build = |n: u32| {
            let flow = small_flow(&format!("flow_{n}"), None, "x");
            let (server, storm) = (&server, &storm);
            scope.spawn(move || server.build(storm, &flow))
        };
        // One after the other: how many bodies are read at a time is bounded too.
        let mut admitted = Vec::new();
        for n in 0..5 {
            admitted.push(build(n));
            until("one more", || tasks().running + tasks().waiting == admitted.len());
        }
        assert_eq!((tasks().running, tasks().waiting), (2, 3));
        assert_eq!(tasks().waiting_shares, 1, "one storms");
        for n in 5..8 {
            let refused = build(n).join().unwrap();
            assert_eq!((refused.status, refused.code().as_str()), (429, "busy"));
            let seconds: u64 = refused.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&seconds), "{seconds}");
        }
        for n in 0..4 {
            let flow = small_flow("mine", Some(n), &n.to_string());
            assert_eq!(server.build(&quiet, &flow).status, 201);
            assert_eq!(server.build(&quiet, &flow).status, 200);
        }
        assert_eq!(tasks().refused_share, 3);
        drop(lane.0);
        let ends =
            |thread: std::thread::ScopedJoinHandle<'_, Answer>| thread.join().unwrap().status;
        assert!(admitted.into_iter().map(ends).all(|status| status == 201));
    });
    lane.1.join().unwrap();
    until("the end", || (tasks().running, tasks().waiting) == (0, 0));
}

/// When all that may wait in total waits, everybody is told to come again, and when.
#[test]
fn a_full_server_says_when_to_come_again() {
    let server = small(|config| config.limits.builds = 2);
    let tenants: Vec<_> = (0..4).map(|n| server.tenant(&format!("storm-{n}"))).collect();
    let lanes: Vec<_> = tenants.iter().map(|tenant| hold(&server, tenant)).collect();
    let tasks = || server.app.builds.load().state;
    std::thread::scope(|scope| {
        let mut admitted = Vec::new();
        for n in 0..8 {
            let (server, tenant) = (&server, &tenants[n % 4]);
            let flow = small_flow(&format!("flow_{n}"), None, "x");
            admitted.push(scope.spawn(move || server.build(tenant, &flow).status));
            until("one more", || tasks().running + tasks().waiting == admitted.len());
        }
        assert_eq!((tasks().running, tasks().waiting), (2, 6));
        let refused = server.build(&tenants[0], &small_flow("more", None, "x"));
        assert_eq!((refused.status, refused.code().as_str()), (503, "busy"));
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
        drop(lanes);
        assert!(admitted.into_iter().all(|thread| thread.join().unwrap() == 201));
    });
}

/// Begins a delivery of which the body never comes.
fn endless(server: &TestServer, slug: &str, from: &str) -> TcpStream {
    let mut stream = connect(&server.url);
    let head = format!(
        "POST /build HTTP/1.1\r\nHost: x\r\nX-Tenant-Slug: {slug}\r\nX-Forwarded-For: {from}\r\n\
         Content-Length: 1000\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Whoever claims to be a tenant and proves nothing takes no place of that tenant's: not for its builds, and
/// not for bodies from its own address. With many names it takes no more than half of what there is.
#[test]
fn a_claimed_name_takes_nothing_from_whoever_has_it() {
    let server = small(|config| {
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config.limits.waiting = 12;
    });
    let victim = server.tenant("victim");
    let bodies = || server.app.bodies.state();
    let mut open: Vec<_> = (0..3).map(|_| endless(&server, "victim", "192.0.2.66")).collect();
    until("the attack", || bodies().running == 3);
    assert_eq!(server.build(&victim, &small_flow("one", None, "x")).status, 201);
    open.extend((0..10).map(|n| endless(&server, &format!("name-{n}"), "192.0.2.66")));
    until("more of it", || bodies().running == 6 && bodies().refused_share == 7);
    assert_eq!(server.build(&victim, &small_flow("two", None, "x")).status, 201);
    assert_eq!(server.app.builds.load().state.running, 0, "no build waits for a body");
    drop(open);
    until("its end", || bodies().running == 0);
}

/// Builds, deletions and ways back of one tenant share its lane and one turn on a processor with another
/// tenant: whoever waits for the one must not hold the other.
#[test]
fn lanes_and_turns_do_not_wait_for_each_other() {
    let server = TestServer::with(|config| {
        config.limits.computing = 1;
        config.limits.computing_per_tenant = 1;
    });
    let tenants = [server.tenant("one"), server.tenant("two")];
    std::thread::scope(|scope| {
        for n in 0..12 {
            let (server, tenant) = (&server, &tenants[n % 2]);
            scope.spawn(move || {
                let (slug, flow) = (&tenant.slug, format!("flow_{n}"));
                for text in ["a", "b"] {
                    assert_eq!(server.build(tenant, &small_flow(&flow, None, text)).status, 201);
                }
                let path = format!("/v1/t/{slug}/flows/flow_{n}");
                let back = server.operator("POST", &format!("{path}/rollback"), "");
                assert_eq!(back.status, 201, "{}", back.json());
                assert_eq!(server.operator("DELETE", &path, "").status, 200);
            });
        }
    });
    let state = server.app.processors.state();
    assert_eq!((state.running, state.waiting), (0, 0));
    assert!(state.waits > 0, "there was something to wait for");
}

/// Reads of one tenant wait for each other, and leave the rest to others; one that is known by its token
/// is not counted among strangers.
#[test]
fn reads_of_one_tenant_leave_places_to_others() {
    let server = TestServer::with(|config| {
        // The server itself reads now and then.
        config.limits.reads = 8;
        config.limits.reads_per_tenant = 1;
        config.limits.waiting = 10;
        config.limits.waiting_per_tenant = 0;
    });
    let (storm, quiet) = (server.tenant("storm"), server.tenant("quiet"));
    let list = |tenant: &TestTenant| {
        server.get_with(&format!("/v1/t/{}/flows", tenant.slug), &tenant.api).status
    };
    assert_eq!((list(&storm), list(&quiet)), (200, 200), "known from now on");
    let share = colophon::fair::Share::Tenant(uid(&server, &storm));
    let (release, wait) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = server.app.clone();
    let reads = runtime.spawn(async move {
        let read = move || {
            started.send(()).unwrap();
            let _ = wait.recv();
        };
        app.reads.resume_for(share, read).await.unwrap();
    });
    running.recv().unwrap();
    assert_eq!(list(&storm), 429);
    assert_eq!(list(&quiet), 200);
    drop(release);
    runtime.block_on(reads).unwrap();
    assert_eq!(list(&storm), 200);
}

/// Who holds a lane may wait for a turn on a processor; who waited for a lane in a turn would keep both for ever.
/// So lanes are taken by `Press::lane`, which puts the turn aside, but for what never runs in a turn: the files
/// named here work for mirrors, webhooks and maintenance, or put it aside themselves.
#[test]
fn lanes_are_not_waited_for_in_a_turn() {
    let allowed = [
        "exporter/ledger.rs",
        "intake/log.rs",
        "mirror/ledger.rs",
        "outbound/ledger.rs",
        "pipeline.rs",
        "projection/rebuild.rs",
    ];
    let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut found = std::collections::BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path).is_ok_and(|text| text.contains("store.lane("))
            {
                found.insert(path.strip_prefix(&src).unwrap().display().to_string());
            }
        }
    }
    assert_eq!(found, allowed.into_iter().map(str::to_owned).collect());
}
