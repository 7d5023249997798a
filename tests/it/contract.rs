//! The API document is what is answered, is checked in, and lists every route; and schemathesis, which makes
//! requests from it, finds no fault of the server and no answer that the document does not have.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::programs::{cache, must_be_marked_unavailable};
use crate::support::{ORDER_INTAKE, TestServer};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

/// Drift is a mistake or a decision: `UPDATE_OPENAPI=1` makes it the latter.
#[test]
fn the_document_that_is_served_is_checked_in() {
    let server = TestServer::start();
    let answered = server.get("/v1/openapi.json", &[]);
    assert_eq!((answered.status, answered.header("content-type")), (200, "application/json"));
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(DOCUMENT, &answered.bytes).unwrap();
    }
    let checked_in = std::fs::read(DOCUMENT).unwrap_or_default();
    assert!(
        checked_in == answered.bytes,
        "docs/openapi.json is not what is served: UPDATE_OPENAPI=1 cargo test --test it contract"
    );
    assert_eq!(answered.json()["openapi"], "3.1.0");
    let tag = answered.header("etag");
    assert_eq!(server.get("/v1/openapi.json", &[("if-none-match", tag)]).status, 304);
}

/// A route without an operation is one that nobody is told of, and an operation without a route is a lie.
#[test]
fn the_document_has_every_route_and_no_other() {
    let server = TestServer::start();
    let document = server.get("/v1/openapi.json", &[]).json();
    let routes: BTreeSet<(String, String)> = colophon::http::ROUTES
        .iter()
        .map(|(method, path)| ((*method).to_owned(), path.replace("{*", "{")))
        .collect();
    let paths = document["paths"].as_object().unwrap().iter();
    let told: BTreeSet<(String, String)> = paths
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
        })
        .collect();
    let missing: Vec<_> = routes.difference(&told).collect();
    let invented: Vec<_> = told.difference(&routes).collect();
    assert!(missing.is_empty() && invented.is_empty(), "{missing:?} {invented:?}");
    let text = document.to_string();
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "{name} is of no use");
    }
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(!document["components"]["schemas"][name].is_null(), "{name} is not there");
    }
}

/// The page for people loads nothing and runs nothing.
#[test]
fn the_document_is_browsed_without_a_script() {
    let server = TestServer::start();
    let page = server.get("/v1/docs", &[]);
    let html = String::from_utf8(page.bytes.clone()).unwrap();
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'; style-src 'sha256-")
    );
    for (_, path) in colophon::http::ROUTES {
        let path = path.replace("{*", "{");
        assert!(html.contains(&format!("<code>{path}</code>")), "{path}");
    }
    for outside in ["<script", "src=", "http://", "https://cdn"] {
        let found = html.replace("https://forge.example.com", "");
        assert!(!found.contains(outside), "{outside}");
    }
}

/// How many requests schemathesis makes of each kind for each operation.
fn examples() -> String {
    std::env::var("COLOPHON_SCHEMATHESIS").unwrap_or_else(|_| "15".to_owned())
}

/// As a tenant and as the operator, who may do everything: jobs that write outside of the data directory
/// are left out.
#[test]
fn schemathesis_finds_nothing() {
    let program = cache().join("schemathesis/bin/st");
    if !program.exists() {
        must_be_marked_unavailable("schemathesis");
        return;
    }
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let build = server.build(&tenant, ORDER_INTAKE).json();
    let config = config(&build);
    std::fs::write(server.path("schemathesis.toml"), config).unwrap();
    let operator = server.app.press.keys.operator_token();
    for token in [tenant.api.as_str(), tenant.edge.as_str(), operator.reveal()] {
        fuzz(&program, &server, token);
    }
    assert_eq!(server.get("/healthz", &[]).status, 200);
}

/// Names that are there, so that more than 404 is seen.
fn config(build: &Value) -> String {
    let (id, flow) = (build["id"].as_str().unwrap(), build["flow"].as_str().unwrap());
    let digest = build["outputs"][0]["files"][0]["digest"].as_str().unwrap();
    format!(
        "[parameters]\n\"path.slug\" = \"acme-inc\"\n\"path.repo\" = \"acme-inc.git\"\n\
         \"path.flow\" = \"{flow}\"\n\"path.digest\" = \"{digest}\"\n\"path.to\" = \"{id}\"\n\
         \"path.document\" = \"sbom.json\"\n\"query.follow\" = \"false\"\n\"header.X-Tenant-Slug\" = \"acme-inc\"\n\n\
         [[operations]]\ninclude-path-regex = \"/builds/\"\nparameters = {{ \"path.id\" = \"{id}\" }}\n"
    )
}

fn fuzz(program: &Path, server: &TestServer, token: &str) {
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,\
                  response_headers_conformance,response_schema_conformance";
    let output = Command::new(program)
        .current_dir(server.dir.path())
        .args(["--config-file", "schemathesis.toml", "run", "--no-color", "--workers", "2"])
        .args(["--seed", "1", "--generation-deterministic", "--no-shrink", "--warnings", "off"])
        .args(["--phases", "examples,fuzzing", "--max-examples", &examples(), "--checks", checks])
        // Its own patience of 10 s is for machines that do nothing else.
        .args(["--request-timeout", "180"])
        .args(["--continue-on-failure", "--suppress-health-check", "all"])
        .args(["--exclude-path-regex", "/maintenance/(backup|export|import|git/export|git/bundle)"])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .arg(format!("{}/v1/openapi.json", server.url))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
