//! The schema of Builder flows, as the service publishes it.

use axum::http::StatusCode;

use crate::support::TestServer;

/// A builder checks flows before it sends them, with no credential, and asks again at no cost.
#[test]
fn the_schema_of_flows_is_public() {
    let server = TestServer::start();
    let path = "/v1/schema/flow.json";
    let first = server.get(path, &[]);
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.header("content-type"), "application/schema+json");
    assert_eq!(first.json()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(first.json()["properties"]["schema_version"]["const"], "1.0");
    let tag = first.header("etag");
    let again = server.get(path, &[("If-None-Match", tag)]);
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert!(again.bytes.is_empty());
    assert_eq!(again.header("etag"), tag);
    let other = server.get(path, &[("If-None-Match", "\"other\"")]);
    assert_eq!(other.status, StatusCode::OK);
}
