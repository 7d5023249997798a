//! `colophon checkout --watch` on bad lines, over restarts of the server, and under kills.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use colophon::intake::legacy_signature;

use crate::support::checkout::{Listing, Place, listed, walked};
use crate::support::process::{ServerProcess, colophon};
use crate::support::programs::{clone, git_in};
use crate::support::{TestServer, agent, noise, small_flow};

/// Passes on to a server that may be exchanged, and cuts answers.
struct Line {
    url: String,
    server: Arc<Mutex<String>>,
    /// Every answer ends after so many bytes.
    cut: Arc<AtomicUsize>,
}

impl Line {
    fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            server: Arc::new(Mutex::new(server.replace("http://", ""))),
            cut: Arc::new(AtomicUsize::new(usize::MAX)),
        };
        let (server, cut) = (line.server.clone(), line.cut.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&*server.lock().unwrap()) else { continue };
                let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || pass(up, down, &AtomicUsize::new(usize::MAX)));
                let cut = cut.clone();
                std::thread::spawn(move || pass(server, client, &cut));
            }
        });
        line
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, most: &AtomicUsize) {
    let (mut buffer, mut passed) = ([0; 16 * 1024], 0);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let left = most.load(Ordering::Relaxed).saturating_sub(passed).min(read);
        passed += read;
        if to.write_all(&buffer[..left]).is_err() || left < read {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn post(url: &str, slug: &str, secret: &str, body: &[u8]) -> String {
    let request = agent().post(format!("{url}/build")).header("x-tenant-slug", slug);
    let answer = request.header("x-ap-signature", legacy_signature(secret, body)).send(body);
    let answer = crate::support::read(answer.unwrap());
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["commit"].as_str().unwrap().to_owned()
}

/// The server dies and comes back elsewhere, with every answer cut for a while: the folder stays whole, and
/// is at the tip soon after.
#[test]
fn a_watch_survives_restarts_and_answers_that_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let made = colophon(&data, &["tenant", "create", "acme-inc", "--token", "git"]);
    let secret = made["webhook_secret"].as_str().unwrap().to_owned();
    let token = made["tokens"][0]["token"].as_str().unwrap().to_owned();
    let mut server = ServerProcess::start(&data);
    let line = Line::to(&server.url);
    let place = Place {
        server: line.url.clone(),
        tenant: "acme-inc".to_owned(),
        token,
        dir: dir.path().join("flows"),
    };
    let watcher = place.watch(&["--interval", "100ms"]);
    watcher.event("switched");
    server.kill();
    assert_eq!(watcher.event("failed")["code"], "network");
    let server = ServerProcess::start(&data);
    *line.server.lock().unwrap() = server.url.replace("http://", "");
    watcher.event("recovered");
    let mut last = String::new();
    // Within the tip, within the trees, within the blobs.
    for (n, cut) in [100, 600, 1_500, 3_000].into_iter().enumerate() {
        line.cut.store(cut, Ordering::Relaxed);
        let flow = small_flow("orders", None, &format!("{n} {}", noise(n as u64, 6_000)));
        last = post(&server.url, "acme-inc", &secret, &flow);
        assert_eq!(watcher.event("failed")["code"], "network", "{cut}");
        let before = place.commit();
        assert_ne!(before.as_ref(), Some(&last));
        line.cut.store(usize::MAX, Ordering::Relaxed);
        place.wait_for(&last);
    }
    let copy = dir.path().join("clone");
    clone(&format!("{}/git/acme-inc.git", server.url), &place.token, &copy);
    assert_eq!(walked(&place.dir), Some((last.clone(), listed(&copy, &last))));
}

/// Enters the folder again and again. Every version that it sees, it sees whole: the same files each time,
/// and in the end, those that git has for that commit.
fn read_on(dir: &Path, stop: &AtomicBool) -> BTreeMap<String, Listing> {
    let mut seen: BTreeMap<String, Listing> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let Some((commit, files)) = walked(dir) else { continue };
        let known = seen.entry(commit).or_insert_with(|| files.clone());
        assert_eq!(*known, files, "a version changed while it was read");
    }
    seen
}

/// 200 random builds, and the watcher killed at random moments: a reader never sees anything but a commit.
#[test]
fn readers_see_whole_versions_through_builds_and_kills() {
    let server = TestServer::with(|c| c.quota.builds_per_day = 1_000.try_into().unwrap());
    let tenant = server.tenant("acme-inc");
    let place = Place {
        server: server.url.clone(),
        tenant: tenant.slug.clone(),
        token: tenant.git.clone(),
        dir: server.path("flows"),
    };
    let random = |n: usize| u64::from_str_radix(&noise(n as u64 * 7 + 1, 12), 16).unwrap();
    let (stop, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let (seen, kills, last) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_on(&place.dir, &stop));
        let killer = scope.spawn(|| {
            let mut kills = 0;
            while !done.load(Ordering::Relaxed) {
                let mut watcher = place.watch(&["--interval", "100ms", "--grace", "10m"]);
                std::thread::sleep(Duration::from_millis(20 + random(kills) % 400));
                watcher.kill();
                kills += 1;
            }
            kills
        });
        let mut last = String::new();
        for n in 0..200 {
            let flow = format!("flow{}", random(n) % 6);
            let text = format!("{n} {}", noise(n as u64, (random(n + 500) % 4_000) as usize));
            let answer = server.build(&tenant, &small_flow(&flow, None, &text));
            assert_eq!(answer.status, 201, "{answer:?}");
            last = answer.json()["commit"].as_str().unwrap().to_owned();
            if random(n) % 9 == 0 {
                let bearer = format!("Bearer {}", tenant.api);
                let url = format!("{}/v1/t/acme-inc/flows/{flow}", server.url);
                let gone = agent().delete(url).header("authorization", bearer).call();
                last = crate::support::read(gone.unwrap()).json()["commit"]
                    .as_str()
                    .unwrap()
                    .to_owned();
            }
        }
        done.store(true, Ordering::Relaxed);
        let kills = killer.join().unwrap();
        place.told(&["--grace", "10m"]);
        stop.store(true, Ordering::Relaxed);
        (reader.join().unwrap(), kills, last)
    });
    assert_eq!(place.commit(), Some(last));
    place.told(&["--status", "--verify"]);
    let copy = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &copy);
    let history = git_in(&copy, &["log", "--format=%H"]);
    for (commit, files) in &seen {
        assert!(history.contains(commit.as_str()), "{commit} is no commit of the branch");
        assert_eq!(*files, listed(&copy, commit), "{commit}");
    }
    assert!(seen.len() > 5 && kills > 5, "{} versions, {kills} kills", seen.len());
    eprintln!("{} versions were read through {kills} kills", seen.len());
}
