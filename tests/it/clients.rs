//! Git clients that are large or rare, against the real server: `make test-clients` builds them and
//! runs this.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::ffi::OsString;
use std::path::Path;

use support::clients::{Client, exercise};
use support::programs::{cache, must_be_marked_unavailable};

#[test]
fn gix_reads_a_tenant() {
    let program = cache().join("gix/debug/gix-client");
    assert!(program.exists(), "`{}` is missing: run `make test-clients`", program.display());
    let mut client = Client::new(&[&program]);
    // gix sends no password without TLS, but what its settings name.
    client.header = true;
    exercise(&client);
}

#[test]
fn jgit_reads_a_tenant() {
    let jars = cache().join("jgit/usr/share/java");
    if !jars.exists() {
        must_be_marked_unavailable("jgit");
        return;
    }
    let mut client = Client::new(&[Path::new("java"), Path::new("Client")]);
    let mut path = OsString::from(cache().join("jgit/classes"));
    for jar in ["org.eclipse.jgit", "slf4j-api", "slf4j-nop", "javaewah", "jsch"] {
        path.push(":");
        path.push(jars.join(format!("{jar}.jar")));
    }
    client.env.push(("CLASSPATH", path));
    // JGit 4 has no way to ask for a part of the history.
    exercise(&Client { shallow: false, ..client });
}
