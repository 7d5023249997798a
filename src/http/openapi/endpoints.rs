//! Endpoints, and what they were told.

use serde_json::json;

use super::op::{By, Is, Op, op};
use crate::intake::secrets::Rotate;
use crate::outbound::{
    AttemptList, CreatedEndpoint, EndpointList, EndpointView, EventList, EventView,
    NewEndpointSecret, Queued, Replay, SetEndpoint,
};

const RECORDS: By = By::Owner("records");
const BUILD: By = By::Owner("build");

/// Every operation.
pub(super) fn all() -> Vec<Op> {
    let (endpoints, endpoint) = ("/v1/t/{slug}/endpoints", "/v1/t/{slug}/endpoints/{endpoint}");
    let example = || json!({"url": "https://runner.example/hooks", "events": ["build.succeeded"]});
    vec![
        op("get", endpoints, RECORDS, "List endpoints").json::<EndpointList>(200),
        op("post", endpoints, BUILD, "Make an endpoint")
            .body::<SetEndpoint>(true, example())
            .json::<CreatedEndpoint>(201),
        op("get", endpoint, RECORDS, "Show an endpoint").json::<EndpointView>(200).tagged(),
        op("put", endpoint, BUILD, "Set an endpoint anew")
            .body::<SetEndpoint>(true, example())
            .conditional()
            .json::<EndpointView>(200)
            .tagged(),
        op("delete", endpoint, BUILD, "Take an endpoint away").conditional().empty(204),
        op("post", "/v1/t/{slug}/endpoints/{endpoint}/secrets", BUILD, "Rotate the secret")
            .body::<Rotate>(false, json!({"overlap": "24h"}))
            .json::<NewEndpointSecret>(201),
        op(
            "delete",
            "/v1/t/{slug}/endpoints/{endpoint}/secrets/{generation}",
            BUILD,
            "End a secret of an endpoint",
        )
        .json::<EndpointView>(200),
        op("post", "/v1/t/{slug}/endpoints/{endpoint}/test", BUILD, "Send a test event")
            .json::<Queued>(202),
        op("post", "/v1/t/{slug}/endpoints/{endpoint}/replay", BUILD, "Send events again")
            .body::<Replay>(true, json!({"since": "2026-11-30T08:00:00Z"}))
            .json::<Queued>(202),
        op("get", "/v1/t/{slug}/endpoints/{endpoint}/attempts", RECORDS, "List attempts")
            .paged(200)
            .query("event", Is::Text, "those of one event")
            .query(
                "outcome",
                Is::Word(&["delivered", "failed", "gave-up"]),
                "those of which this became",
            )
            .json::<AttemptList>(200),
        op("get", "/v1/t/{slug}/events", RECORDS, "List events that were sent, newest first")
            .paged(200)
            .query("type", Is::Text, "those of one type")
            .query("flow", Is::Text, "those of one flow")
            .json::<EventList>(200),
        op("get", "/v1/t/{slug}/events/{event}", RECORDS, "Show an event and its attempts")
            .json::<EventView>(200),
    ]
}
