//! Git clients that are not Git, against the real server.

use std::path::Path;

use crate::support::clients::{Client, client_file, exercise};
use crate::support::programs::{cache, must_be_marked_unavailable, python};

fn python_client(script: &str) -> Client {
    let mut client = Client::new(&[&python(), &client_file("python").join(script)]);
    client.env.push(("PYTHONDONTWRITEBYTECODE", "1".into()));
    client
}

#[test]
fn dulwich_reads_a_tenant_in_version_2() {
    exercise(&python_client("with_dulwich.py"));
}

#[test]
fn dulwich_reads_a_tenant_in_version_0() {
    let mut client = python_client("with_dulwich.py");
    client.env.push(("COLOPHON_PROTOCOL", "0".into()));
    exercise(&client);
}

#[test]
fn libgit2_reads_a_tenant() {
    exercise(&python_client("with_pygit2.py"));
}

#[test]
fn gitpython_reads_a_tenant() {
    exercise(&python_client("with_gitpython.py"));
}

#[test]
fn isomorphic_git_reads_a_tenant() {
    let modules = cache().join("isomorphic-git/node_modules");
    if !modules.exists() {
        must_be_marked_unavailable("isomorphic-git");
        return;
    }
    let mut client = Client::new(&[Path::new("node"), &client_file("isomorphic/client.cjs")]);
    client.env.push(("NODE_PATH", modules.into()));
    exercise(&client);
}
