//! A bucket that the server names: whole installs come from there, and from the server whatever the bucket does. It is told
//! nothing, and believed as little as anybody.

use serde_json::{Value, json};

use crate::bundles::{Agent, Bundle, Run, TOKEN, Tenant, bundle, large_bundle};
use crate::server::{Fault, Server};

/// What makes the URL good.
const SIGNED: &str = "X-Amz-Expires=900&X-Amz-Signature=c0ffee";

/// A tenant whose bundle lies in a bucket too, and an agent that has nothing yet.
struct Scene {
    tenant: Tenant,
    bucket: Server,
    agent: Agent,
    bundle: Bundle,
}

impl Scene {
    fn new() -> Self {
        let (tenant, bucket, bundle) = (Tenant::new(), Server::start(), large_bundle(1));
        tenant.publish(1, std::slice::from_ref(&bundle));
        let agent = Agent::enrolled(&tenant);
        let scene = Self { tenant, bucket, agent, bundle };
        scene.bucket.put(scene.path(), scene.bundle.zip.clone());
        scene.names(&format!("{}{}?{SIGNED}", scene.bucket.url, scene.path()));
        scene
    }

    fn path(&self) -> String {
        format!("/edge-artifacts/acme/{}.zip", self.bundle.file.sha256)
    }

    /// Has the server name this URL.
    fn names(&self, url: &str) {
        let location = json!({"url": url, "url_expires": "2026-11-30T12:00:00Z"});
        self.tenant.server.put(self.location(), location.to_string());
    }

    fn location(&self) -> String {
        format!("/v1/t/acme/bundles/{}/location.json", self.bundle.file.sha256)
    }

    /// Installs, which must come from the server because the bucket did not give it; returns why, and how often the
    /// bucket was asked.
    #[track_caller]
    fn falls_back(&self) -> (String, usize) {
        let run = self.agent.expect(&["apply", "--stall-timeout", "1s"], 0);
        let stages = run.json[0]["stages"].as_array().unwrap().clone();
        assert_eq!(stages[0]["via"], "bucket", "{stages:#?}");
        let problem = stages[0]["problem"].as_str().unwrap().to_owned();
        assert_ne!(run.json[0]["via"], "bucket");
        assert_eq!(self.agent.active_file("main.py"), "print('hello')\n");
        assert!(!problem.contains("c0ffee"), "what makes the URL good is printed: {problem}");
        (problem, self.bucket.requests("").len())
    }
}

fn via(run: &Run) -> &Value {
    &run.json[0]["via"]
}

/// The bucket gets one plain request, without token, and the server is not asked for any of the bundle.
#[test]
fn a_whole_install_comes_from_the_bucket_which_is_told_nothing() {
    let scene = Scene::new();
    let run = scene.agent.expect(&["apply"], 0);
    assert_eq!(via(&run), "bucket");
    assert_eq!(run.json[0]["downloaded"], scene.bundle.zip.len());
    assert_eq!(scene.agent.active_file("main.py"), "print('hello')\n");
    let asked = scene.bucket.requests("");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, format!("{}?{SIGNED}", scene.path()));
    let names = asked[0].headers.iter().map(|line| line.split(':').next().unwrap());
    let mut names: Vec<String> = names.map(str::to_ascii_lowercase).collect();
    names.sort();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
    assert!(!asked[0].headers.join("\n").contains(TOKEN));
    let of_server = scene.tenant.server.requests("");
    assert!(of_server.iter().all(|request| request.authorization.is_some()), "the server knows us");
    for part in ["/pack/", "/blob/", "/targets/"] {
        assert!(of_server.iter().all(|request| !request.path.contains(part)), "{part}");
    }
}

/// What changes little is told by the server in a few bytes; nobody asks where the bucket is.
#[test]
fn an_update_does_not_go_there() {
    let scene = Scene::new();
    scene.agent.expect(&["apply"], 0);
    let next = bundle(2, &[("main.py", "print('new')\n")]);
    scene.tenant.publish(2, std::slice::from_ref(&next));
    let old = scene.bundle.file.custom.tree;
    let files = |list: &[(&str, &str)]| {
        let file = |text: &str| {
            colophon_model::Artifact::new(
                colophon_model::FileMode::Regular,
                text.as_bytes().to_vec(),
            )
        };
        let files = list.iter().map(|(path, text)| (path.parse().unwrap(), file(text)));
        colophon_model::FileSet::new(files.collect()).unwrap()
    };
    let noise = scene.agent.active_file("data/noise.txt");
    let before = files(&[("main.py", "print('hello')\n"), ("data/noise.txt", &noise)]);
    let delta =
        colophon_trust::delta::encode(Some(&before), &files(&[("main.py", "print('new')\n")]));
    let path = format!("/v1/t/acme/delta/{old}..{}", next.file.custom.tree);
    scene.tenant.server.put(path, delta.unwrap());
    scene.bucket.requests("");
    scene.tenant.server.requests("");
    assert_eq!(via(&scene.agent.expect(&["apply"], 0)), "delta");
    assert!(scene.tenant.server.requests("location.json").is_empty());
    assert!(scene.bucket.requests("").is_empty());
}

/// Whatever the bucket answers, the bundle comes from the server in the same run, and the bucket is asked once.
#[test]
fn what_the_bucket_refuses_comes_from_the_server() {
    for (fault, why) in [
        (Fault::Status(403), "status 403"),
        (Fault::Status(404), "status 404"),
        (Fault::Status(503), "status 503"),
        (Fault::Busy(60), "status 429"),
        (Fault::CutAfter(40_000), "broke off after 40000 bytes"),
        (Fault::StallAfter(40_000), "broke off after 40000 bytes"),
        (Fault::Page, "web page"),
        (Fault::PageOf(100), "web page"),
        (Fault::Gzip, "gzip"),
        (Fault::Endless(1), "sends more than the signed"),
        (Fault::SendOn("/edge-artifacts/nowhere"), "status 404"),
    ] {
        let scene = Scene::new();
        scene.bucket.fault("/edge-artifacts/", fault);
        let (problem, requests) = scene.falls_back();
        assert!(problem.contains(why), "{fault:?}: {problem}");
        assert!(requests <= 2, "{fault:?}: {requests} requests");
        // Nothing of what was begun there is left.
        assert!(scene.agent.tree("partial").is_empty(), "{fault:?}");
    }
}

/// A host that is not there at all.
#[test]
fn a_bucket_that_is_gone_is_passed_over() {
    let scene = Scene::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    scene.names(&format!("http://{nobody}/edge-artifacts/x.zip?{SIGNED}"));
    let (problem, requests) = scene.falls_back();
    assert!(problem.contains("connection failed") && requests == 0, "{problem}");
}

/// Other bytes of the right length, or another length, are not the bundle, wherever they come from.
#[test]
fn wrong_bytes_are_not_believed() {
    let scene = Scene::new();
    let mut wrong = scene.bundle.zip.clone();
    wrong[50_000] ^= 1;
    for bytes in [wrong, scene.bundle.zip[1..].to_vec(), Vec::new()] {
        let scene = Scene::new();
        scene.bucket.put(scene.path(), bytes);
        scene.falls_back();
    }
}

/// A store may send on to where the bucket is, a few times, and nothing of ours goes along.
#[test]
fn redirects_are_bounded_and_told_nothing() {
    let scene = Scene::new();
    let region = Server::start();
    region.put("/here", scene.bundle.zip.clone());
    let to: &'static str = Box::leak(format!("{}/here", region.url).into_boxed_str());
    scene.bucket.fault("/edge-artifacts/", Fault::SendOn(to));
    assert_eq!(via(&scene.agent.expect(&["apply"], 0)), "bucket");
    let asked = region.requests("");
    assert!(asked.len() == 1 && !asked[0].headers.join("\n").contains(TOKEN), "{asked:?}");

    let scene = Scene::new();
    for _ in 0..10 {
        scene.bucket.fault("/edge-artifacts/", Fault::SendOn("/edge-artifacts/again"));
    }
    let (problem, requests) = scene.falls_back();
    assert!(problem.contains("sent on") && requests == 4, "{requests}: {problem}");
}

/// Whoever plays the server cannot send the agent to a URL that is none of a bucket's.
#[test]
fn a_location_that_cannot_be_is_passed_over() {
    for (url, why) in [
        ("http://192.0.2.1/x.zip", "less safe"),
        ("file:///etc/passwd", "cannot be used"),
        ("not a url", "cannot be used"),
    ] {
        let scene = Scene::new();
        scene.names(url);
        let (problem, requests) = scene.falls_back();
        assert!(problem.contains(why) && requests == 0, "{url}: {problem}");
    }
    let scene = Scene::new();
    scene.tenant.server.put(scene.location(), "<html>");
    assert!(scene.falls_back().0.contains("does not say where"));
}

/// A token that the server refuses ends the run as ever: the bucket is no way around it.
#[test]
fn a_refused_token_is_told() {
    let scene = Scene::new();
    scene.tenant.server.fault("location.json", Fault::Status(403));
    scene.agent.expect(&["apply"], 5);
    assert!(scene.bucket.requests("").is_empty());
}

/// Where buckets are not to be reached, nobody asks for one.
#[test]
fn no_bucket_when_told() {
    let scene = Scene::new();
    assert_eq!(via(&scene.agent.expect(&["fetch", "--no-bucket"], 0)), "zip");
    assert!(scene.tenant.server.requests("location.json").is_empty());
    let scene = Scene::new();
    std::fs::write(scene.agent.home().join("edge-fetch.toml"), "no_bucket = true\n").unwrap();
    assert_eq!(via(&scene.agent.expect(&["fetch"], 0)), "zip");
    assert!(scene.bucket.requests("").is_empty());
}

/// A server that says that there is no bucket is not asked where it is. One that says nothing, as older ones do, or what
/// nobody understands, is asked; and whatever is said, the bundle is the one that was signed.
#[test]
fn nobody_asks_where_a_bucket_is_that_is_not_there() {
    for (header, asks) in [
        ("Colophon-Bucket: ?0", false),
        ("Colophon-Bucket: ?1", true),
        ("Colophon-Bucket: none", true),
        ("Other: ?0", true),
    ] {
        let mut scene = Scene::new();
        scene.agent.expect(&["check"], 10);
        scene.agent.syncs = true;
        scene.tenant.server.requests("");
        scene.tenant.server.fault("edge/sync", Fault::NoNews(header));
        let run = scene.agent.expect(&["apply"], 0);
        assert_eq!(via(&run) == "bucket", asks, "{header}: {:#?}", run.json);
        let asked = scene.tenant.server.requests("");
        let asked = asked.iter().filter(|request| request.path.ends_with("location.json"));
        assert_eq!(asked.count(), usize::from(asks), "{header}");
        assert_eq!(scene.agent.active_file("main.py"), "print('hello')\n");
    }
}

/// A download that was cut, at the bucket and then at the server, goes on at the bucket where it stopped.
#[test]
fn a_cut_download_goes_on_there() {
    let scene = Scene::new();
    scene.bucket.fault("/edge-artifacts/", Fault::CutAfter(40_000));
    for _ in 0..3 {
        scene.tenant.server.fault("/targets/", Fault::Status(500));
    }
    scene.agent.expect(&["apply"], 3);
    scene.bucket.requests("");
    let run = scene.agent.expect(&["apply"], 0);
    assert_eq!((via(&run), &run.json[0]["resumed_from"]), (&"bucket".into(), &40_000.into()));
    assert_eq!(scene.bucket.requests("")[0].range.as_deref(), Some("bytes=40000-"));
}
