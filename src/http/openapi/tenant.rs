//! What tenants and their builders ask for.

use serde_json::json;

use super::op::{By, Is, Op, op};
use crate::agents::{AgentList, Report};
use crate::audit::Page;
use crate::builds::{BuildFiles, BuildLog, BuildPage, Diff};
use crate::feed::environment::{EnvRemoved, EnvSet, EnvStatus};
use crate::http::build_view::{BuildView, DryRunView};
use crate::http::deliveries::{DeliveryList, DeliveryView};
use crate::http::flows::{Deleted, FlowList, FlowView, GoBack, Reverted};
use crate::http::hooks::EventView;
use crate::http::prefer::Accepted;
use crate::tenants::overview::Quota;

const RECORDS: By = By::Owner("records");
const READ: By = By::Owner("read");
const BUILD: By = By::Owner("build");
const TARGETS: Is = Is::Word(&["cloud", "edge"]);

/// Deliveries of flows, and their log.
pub(super) fn deliveries() -> Vec<Op> {
    let deliver = |path| {
        op("post", path, By::Sender, "Deliver a flow")
            .header("X-Tenant-Slug", "the tenant; checked against the credential")
            .header("Idempotency-Key", "an id: the same one again gets the build of the first")
            .header("Prefer", "`wait=N`: answer 202 after so many seconds")
            .query(
                "dry_run",
                Is::Word(&["0", "1"]),
                "say what would become of it, and write nothing",
            )
            .free("the flow, in the format of its builder", true, flow())
            .json::<BuildView>(201)
            .either::<BuildView, DryRunView>(200)
            .json::<Accepted>(202)
            .problem(&[422, 429])
    };
    vec![
        deliver("/build"),
        deliver("/v1/builds"),
        op("post", "/v1/hooks/{id}", By::Sender, "Deliver a flow, or an event, at a hook")
            .free("the flow or event", true, flow())
            .json::<BuildView>(201)
            .either::<BuildView, EventView>(200)
            .json::<EventView>(202)
            .problem(&[422, 429]),
        op("get", "/v1/t/{slug}/deliveries", READ, "List deliveries, newest first")
            .paged(200)
            .query("outcome", Is::Text, "those of which this became")
            .query("code", Is::Text, "those that were refused with this code")
            .query("flow", Is::Text, "those of one flow")
            .json::<DeliveryList>(200),
        op("get", "/v1/t/{slug}/deliveries/{id}", READ, "Show a delivery")
            .json::<DeliveryView>(200),
        op("post", "/v1/t/{slug}/deliveries/{id}/replay", BUILD, "Run a delivery's body again")
            .json::<DeliveryView>(200),
    ]
}

fn flow() -> serde_json::Value {
    json!({
        "schema_version": "1.0", "id": "n-1", "slug": "greeting", "name": "Greeting",
        "nodes": [
            {"id": "start", "kind": "trigger.manual"},
            {"id": "greet", "kind": "data.map", "fields": {"text": "hello"}}
        ],
        "edges": [{"from": "start", "to": "greet"}]
    })
}

/// Builds, after they were made.
pub(super) fn builds() -> Vec<Op> {
    let list = |op: Op| {
        op.paged(200)
            .query("outcome", Is::Word(&["built", "failed"]), "those of which this became")
            .query("target", TARGETS, "those that made something for it")
            .query("flow", Is::Text, "those of one flow")
            .json::<BuildPage>(200)
    };
    let stages = |path, by| {
        stream(op(
            "get",
            path,
            by,
            "Hear of the stages of a build, or of a delivery that may become one",
        ))
    };
    vec![
        op("get", "/v1/builds/{id}", By::Scope("records"), "Show a build").json::<BuildView>(200),
        stages("/v1/builds/{id}/events", By::Scope("records")),
        list(op("get", "/v1/t/{slug}/builds", RECORDS, "List builds, newest first")),
        stream(op("get", "/v1/t/{slug}/builds/events", RECORDS, "Hear of builds as they are made"))
            .query("after", Is::Number, "number of the last build that is known")
            .query("follow", Is::Flag, "whether to wait for more, which is so by default"),
        op("get", "/v1/t/{slug}/builds/{id}", RECORDS, "Show a build").json::<BuildView>(200),
        stages("/v1/t/{slug}/builds/{id}/events", RECORDS),
        op("get", "/v1/t/{slug}/builds/{id}/log", RECORDS, "Show how a build went")
            .json::<BuildLog>(200),
        op("get", "/v1/t/{slug}/builds/{id}/files", RECORDS, "List a build's files")
            .json::<BuildFiles>(200),
        op("get", "/v1/t/{slug}/builds/{id}/files/{*path}", READ, "Read a file of a build")
            .ranged("application/octet-stream"),
        op("get", "/v1/t/{slug}/builds/{id}/diff/{to}", RECORDS, "Compare two builds")
            .query("unified", Is::Flag, "compare lines too, which asks for the scope `read`")
            .query("context", Is::Range(0, 100), "lines around a change")
            .json::<Diff>(200),
        op("get", "/v1/t/{slug}/quota", RECORDS, "Show what is used of the quota")
            .json::<Quota>(200),
        list(op("get", "/v1/t/{slug}/flows/{flow}/history", RECORDS, "List a flow's builds")),
        op("get", "/v1/t/{slug}/blob/{digest}", By::Scope("read"), "Read a blob")
            .query("tree", Is::Text, "a bundle that it is a file of, for the scope `edge`")
            .ranged("application/octet-stream"),
    ]
}

/// Answers with server-sent events (WHATWG HTML §9.2), or 204 when there is nothing to come.
fn stream(op: Op) -> Op {
    op.header("Last-Event-ID", "id of the last event that was seen")
        .bytes(200, "text/event-stream")
        .empty(204)
        .problem(&[429])
}

/// Flows.
pub(super) fn flows() -> Vec<Op> {
    vec![
        op("get", "/v1/t/{slug}/flows", RECORDS, "List the flows that stand")
            .paged(1000)
            .json::<FlowList>(200),
        op("get", "/v1/t/{slug}/flows/{flow}", RECORDS, "Show a flow")
            .json::<FlowView>(200)
            .tagged(),
        op("delete", "/v1/t/{slug}/flows/{flow}", BUILD, "Delete a flow")
            .conditional()
            .json::<Deleted>(200)
            .problem(&[422]),
        op("post", "/v1/t/{slug}/flows/{flow}/rollback", BUILD, "Go back to an earlier build")
            .conditional()
            .body::<GoBack>(false, json!({"to": "0123456789abcdef0123456789abcdef"}))
            .json::<Reverted>(201)
            .problem(&[422]),
        op("get", "/v1/t/{slug}/manifest.json", By::Scope("records"), "Show every flow's outputs")
            .object(200, "the branch's manifest: docs/git-layout.md"),
    ]
}

/// What edge agents ask for.
pub(super) fn edge() -> Vec<Op> {
    let edge = By::Scope("edge");
    let (octets, zstd) = ("application/octet-stream", "application/zstd");
    let about = |op: Op| {
        op.bytes(200, "application/vnd.dsse.envelope.v1+json")
            .also(200, "application/vnd.cyclonedx+json")
            .cached()
    };
    let sync = op("get", "/v1/t/{slug}/edge/sync", edge, "Get all that is new in one frame");
    let names = ["root", "timestamp", "snapshot", "targets", "with", "trees"];
    let sync = names.iter().fold(sync, |op, name| op.query(name, Is::Text, "what the agent has"));
    vec![
        sync.bytes(200, zstd).empty(204),
        op("get", "/v1/t/{slug}/edge/{flow}/manifest.json", edge, "Show a flow's bundle")
            .object(200, "the bundle's manifest: docs/edge-protocol.md")
            .cached(),
        op("get", "/v1/t/{slug}/tuf/{file}", edge, "Read TUF metadata")
            .bytes(200, "application/json")
            .cached(),
        op("get", "/v1/t/{slug}/targets/{name}", By::Url, "Read a bundle")
            .ranged("application/zip"),
        op("get", "/v1/t/{slug}/tree/{tree}", edge, "List a bundle's files").ranged("text/plain"),
        op("get", "/v1/t/{slug}/pack/{tree}", edge, "Read a bundle as one frame").ranged(zstd),
        op("get", "/v1/t/{slug}/delta/{pair}", edge, "Read what leads from a bundle to another")
            .ranged(zstd),
        about(op("get", "/v1/t/{slug}/edge/{flow}/{document}", edge, "Read about a flow's bundle")),
        about(op("get", "/v1/t/{slug}/bundles/{sha256}/{document}", edge, "Read about a bundle")),
        op("post", "/v1/t/{slug}/edge/report", edge, "Report what an agent runs")
            .body::<Report>(true, report())
            .empty(204),
        op("get", "/v1/t/{slug}/edge/agents", RECORDS, "List agents").json::<AgentList>(200),
        op("get", "/v1/t/{slug}/edge/{flow}/env", RECORDS, "Show a flow's encrypted environment")
            .json::<EnvStatus>(200)
            .tagged(),
        op("put", "/v1/t/{slug}/edge/{flow}/env", BUILD, "Set a flow's encrypted environment")
            .takes(octets)
            .conditional()
            .json::<EnvSet>(200)
            .tagged()
            .problem(&[422]),
        op(
            "delete",
            "/v1/t/{slug}/edge/{flow}/env",
            BUILD,
            "Remove a flow's encrypted environment",
        )
        .conditional()
        .json::<EnvRemoved>(200),
    ]
}

fn report() -> serde_json::Value {
    json!({
        "device": "0123456789abcdef0123456789abcdef", "name": "till 3", "version": "0.1.0",
        "os": "windows", "arch": "x86_64", "flows": []
    })
}

/// Git, and the audit log of a tenant.
pub(super) fn git() -> Vec<Op> {
    let git = By::Scope("git");
    let post = |path, summary| op("post", path, git, summary).takes("application/octet-stream");
    vec![
        op("get", "/branches/tenant/{slug}", git, "Show the branch's tip")
            .object(200, "`ref` and `oid`")
            .cached(),
        op("get", "/git/{repo}/info/refs", git, "Begin a clone or fetch")
            .query("service", Is::Text, "`git-upload-pack`")
            .bytes(200, "application/x-git-upload-pack-advertisement"),
        post("/git/{repo}/git-upload-pack", "Clone or fetch")
            .bytes(200, "application/x-git-upload-pack-result")
            .problem(&[429]),
        post("/git/{repo}/git-receive-pack", "Pushing is refused").bytes(403, "text/plain"),
    ]
}

/// Audit logs.
pub(super) fn audit() -> Vec<Op> {
    let page = |path, by| {
        op("get", path, by, "Read entries of the audit log")
            .query("from", Is::Number, "number of the first entry")
            .query("limit", Is::Range(1, 1000), "how many at most")
            .query("order", Is::Word(&["asc", "desc"]), "`desc`, the newest first, is usual")
            .json::<Page>(200)
    };
    let lines = |path, by| {
        op("get", path, by, "Read lines of the audit log as they were written")
            .query("from", Is::Number, "number of the first entry")
            .query("limit", Is::Range(1, 1000), "not heeded")
            .query("order", Is::Word(&["asc", "desc"]), "not heeded")
            .bytes(200, "application/x-ndjson")
    };
    let note = |path, by| {
        op("get", path, by, "Read the newest signed note").bytes(200, "text/plain").problem(&[404])
    };
    vec![
        page("/v1/audit", By::Operator),
        lines("/v1/audit/lines", By::Operator),
        note("/v1/audit/checkpoint", By::Operator),
        page("/v1/t/{slug}/audit", READ),
        lines("/v1/t/{slug}/audit/lines", READ),
        note("/v1/t/{slug}/audit/checkpoint", READ),
    ]
}
