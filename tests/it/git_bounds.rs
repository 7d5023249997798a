//! What the Git facade shows at once, and what it lets one client and one tenant take.

use std::io::{Read as _, Write as _};

use axum::http::StatusCode;
use colophon::units::Span;

use crate::support::programs::git_output;
use crate::support::raw::{connect, packets};
use crate::support::{TestServer, TestTenant, noise, small_flow};

fn git(tenant: &TestTenant, args: &[&str]) -> String {
    let header = format!("http.extraHeader=Authorization: Bearer {}", tenant.git);
    let output = git_output(&[&["-c", &header], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every fetch that asks for tags gets the list, so it is short; what is not in it is still there.
#[test]
fn the_newest_tags_are_listed_and_all_are_found() {
    let server = TestServer::with(|config| config.git.tags = 2);
    let tenant = server.tenant("acme-inc");
    for n in 0..5 {
        assert_eq!(server.build(&tenant, &small_flow("one", None, &n.to_string())).status, 201);
    }
    let url = server.git_url(&tenant);
    let all_url = url.replace(".git", "+all.git");
    let list = |url: &str| git(&tenant, &["ls-remote", "--tags", "--refs", url]);
    let (few, all) = (list(&url), list(&all_url));
    let lines: Vec<_> = all.lines().collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(few.lines().collect::<Vec<_>>(), lines[3..], "the newest two, by name");
    for version in ["0", "1", "2"] {
        let option = format!("protocol.version={version}");
        let few = git(&tenant, &["-c", &option, "ls-remote", "--tags", "--refs", &url]);
        assert_eq!(few.lines().count(), 2);
    }
    let oldest = lines[0].split('\t').nth(1).unwrap();
    let clone = server.path("clone");
    let clone = clone.to_str().unwrap();
    git(&tenant, &["clone", "-q", &url, clone]);
    git(&tenant, &["-C", clone, "fetch", "-q", "origin", oldest]);
    let name = oldest.trim_start_matches("refs/tags/");
    git(&tenant, &["clone", "-q", "-b", name, &all_url, &format!("{clone}-of-tag")]);
}

/// An agent asks often whether the branch moved, and seldom gets more than three lines.
#[test]
fn a_branch_says_whether_it_moved() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme-inc"), server.tenant("other-inc"));
    let path = "/branches/tenant/acme-inc";
    for token in [&tenant.git, &tenant.edge] {
        assert_eq!(server.get_with(path, token).status, StatusCode::OK);
    }
    let first = server.get_with(path, &tenant.git);
    let tag = first.header("etag").to_owned();
    let tip = git(&tenant, &["ls-remote", &server.git_url(&tenant), "HEAD"]);
    assert_eq!(format!("\"{}\"", &tip[..40]), tag);
    assert_eq!(first.json()["oid"], tip[..40]);
    assert_eq!(first.json()["ref"], "refs/heads/tenant/acme-inc");
    let bearer = format!("Bearer {}", tenant.git);
    let again =
        |tag: &str| server.get(path, &[("Authorization", &bearer), ("If-None-Match", tag)]).status;
    assert_eq!(again(&tag), StatusCode::NOT_MODIFIED);
    assert_eq!(again(&format!("\"x\", W/{tag}")), StatusCode::NOT_MODIFIED);
    assert_eq!(server.build(&tenant, &small_flow("one", None, "one")).status, 201);
    assert_eq!(again(&tag), StatusCode::OK);
    let foreign = server.get_with(path, &other.git);
    let unknown = server.get_with("/branches/tenant/nobody", &other.git);
    assert_eq!((foreign.status, &foreign.bytes), (unknown.status, &unknown.bytes));
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!(server.get(path, &[]).status, StatusCode::UNAUTHORIZED);
}

/// A client that asks for much and takes nothing is cut off, and the tenant's next one is served: with
/// one place, it waits for the first to end.
#[test]
fn a_client_that_takes_nothing_makes_room() {
    let server = TestServer::with(|config| {
        config.git.idle = Span::seconds(1);
        config.git.per_tenant = 1;
        config.limits.body_bytes = 32 << 20;
    });
    let tenant = server.tenant("acme-inc");
    // More than sockets and buffers hold.
    for n in 0..80 {
        let text = noise(n, 130_000);
        let built = server.build(&tenant, &small_flow(&format!("flow{n}"), None, &text));
        assert_eq!(built.status, 201, "{}", String::from_utf8_lossy(&built.bytes));
    }
    let tip = git(&tenant, &["ls-remote", &server.git_url(&tenant), "HEAD"]);
    let want = format!("want {}", &tip[..40]);
    let body = packets(&["command=fetch", "0001", "ofs-delta", &want, "done", "0000"]);
    let mut sleeper = connect(&server.url);
    let head = format!(
        "POST /git/acme-inc.git/git-upload-pack HTTP/1.1\r\nHost: x\r\nGit-Protocol: version=2\r\n\
         Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        tenant.git,
        body.len()
    );
    sleeper.write_all(head.as_bytes()).unwrap();
    sleeper.write_all(&body).unwrap();
    // The answer has begun, so the only place is taken.
    sleeper.read_exact(&mut [0; 15]).unwrap();
    let clone = server.path("clone");
    git(&tenant, &["clone", "-q", &server.git_url(&tenant), clone.to_str().unwrap()]);
    let mut rest = Vec::new();
    let ended = sleeper.read_to_end(&mut rest);
    assert!(ended.is_err() || !rest.ends_with(b"0\r\n\r\n"), "it cannot take the pack for whole");
}
