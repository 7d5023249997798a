//! The console in Chromium, as people use it: with the keyboard, in light and dark, with scripts and without.

use std::process::Command;

use colophon::units::Span;
use serde_json::json;

use crate::outbound::{endpoint, may_send_here};
use crate::support::clients::client_file;
use crate::support::programs::{cache, must_be_marked_unavailable};
use crate::support::receiver::{Receiver, Reply};
use crate::support::s3::with_key;
use crate::support::upstream::until;
use crate::support::{ORDER_INTAKE, TestServer};

/// Logs in, watches a build come in, reads changes, runs a delivery again; axe finds nothing serious on any page, and
/// the browser has nothing to say, about the pages' policy least of all. `COLOPHON_SCREENSHOTS=DIR` keeps pictures.
#[test]
fn people_find_their_way() {
    let modules = cache().join("console-browser/node_modules");
    if !modules.exists() {
        must_be_marked_unavailable("console-browser");
        return;
    }
    let server = TestServer::with(|config| {
        may_send_here(config);
        config.export.to = ["memory://evidence", "s3://compliance-evidence/colophon/production"]
            .map(|to| to.parse().unwrap())
            .into();
        // Nobody is there.
        config.export.endpoint = Some("http://127.0.0.1:9".to_owned());
        config.export.after_builds = true;
        config.export.settle = Span::seconds(0);
        config.export.attempts = 1;
        with_key(config, ("id", "secret"));
    });
    let tenant = server.tenant("acme-inc");
    let other = server.tenant("globex");
    let (well, ill) = (Receiver::start(), Receiver::always(Reply::Status(503, "")));
    for receiver in [&well, &ill] {
        endpoint(&server, &other, &receiver.url, &["build.succeeded"]);
    }
    let built = server.build(&other, ORDER_INTAKE).json();
    // What was answered is in the list once it was asked for.
    for receiver in [&well, &ill] {
        receiver.take(1);
    }
    let report = json!({"device": "a".repeat(32), "name": "till-1", "version": "0.1.0", "os": "linux", "arch": "x86_64",
        "flows": [{"flow": "order_intake", "seq": 1, "tree": "0".repeat(64), "state": "active", "since": 1_000}]});
    let bearer = format!("Bearer {}", other.edge);
    server.post(
        "/v1/t/globex/edge/report",
        &[("authorization", &bearer)],
        report.to_string().as_bytes(),
    );
    let there = format!("{}/console/t/globex", server.url);
    let page = format!("{there}/builds/{}", built["id"].as_str().unwrap());
    let by_hand = json!({"to": format!("file://{}", server.path("evidence").display()), "tenants": ["globex"]});
    for (path, body) in [
        ("/v1/maintenance/export", by_hand.to_string()),
        ("/v1/tenants/globex/hold", String::new()),
    ] {
        assert_eq!(server.operator("POST", path, &body).status, 200, "{path}");
    }
    // The one that cannot be reached says why.
    until("an export fails", || {
        let all = server.operator("GET", "/v1/tenants/globex/exports", "").json();
        all["exports"].as_array().unwrap().iter().any(|export| export["phase"] == "failing")
    });
    let more = json!({"dual-build": page, "dual-graph": format!("{page}/graph"), "one-agent": format!("{there}/agents"),
        "webhooks": format!("{there}/webhooks"), "exported": there});
    let profile = server.path("profile");
    let shots = std::env::var("COLOPHON_SCREENSHOTS").ok();
    let operator = server.app.press.keys.operator_token();
    let output = Command::new("node")
        .arg(client_file("browser/console.cjs"))
        .args([server.url.as_str(), profile.to_str().unwrap()])
        .args(shots)
        .env("NODE_PATH", modules)
        .env("OPERATOR_TOKEN", operator.reveal())
        .env("API_TOKEN", &tenant.api)
        .env("MORE", more.to_string())
        .output()
        .expect("node is there when what it runs is");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
