//! The API as an OpenAPI 3.1 document, and as a page for people: `GET /v1/openapi.json`, `GET /v1/docs`.
//!
//! What is sent and answered are the types that are sent and answered, by utoipa's derive. Which routes there
//! are, who may ask and what may come of it is told in the tables below this file. A test compares them
//! with `router.rs`, and docs/openapi.json with what is served.

mod endpoints;
mod op;
mod operator;
mod page;
mod tenant;

use std::sync::LazyLock;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use colophon_model::Digest;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ComponentsBuilder, InfoBuilder, OpenApi, Paths};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::error::Body as Problem;
use super::etag::is_known;
use op::Op;

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let text = document().to_pretty_json();
    // Of these types nothing can fail to be JSON; an empty document would fail the tests.
    text.map_or_else(|_| String::new(), |text| text + "\n")
});
static TAG: LazyLock<String> = LazyLock::new(|| format!("\"{}\"", Digest::of(TEXT.as_bytes())));

/// The document.
pub(super) async fn json(headers: HeaderMap) -> Response {
    let described = [(header::ETAG, TAG.as_str()), (header::CACHE_CONTROL, "public, max-age=300")];
    if is_known(&headers, &TAG) {
        return (StatusCode::NOT_MODIFIED, described).into_response();
    }
    (described, [(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// The document as a page without a script.
pub(super) async fn docs() -> Response {
    page::show(&TEXT)
}

/// Operations by what they are about.
fn groups() -> Vec<(&'static str, Vec<Op>)> {
    vec![
        ("Deliveries", tenant::deliveries()),
        ("Builds", tenant::builds()),
        ("Flows", tenant::flows()),
        ("Endpoints", endpoints::all()),
        ("Edge", tenant::edge()),
        ("Git", tenant::git()),
        ("Audit", tenant::audit()),
        ("Tenants", operator::tenants()),
        ("Credentials", operator::credentials()),
        ("Outward", operator::outward()),
        ("Maintenance", operator::maintenance()),
        ("Open", operator::open()),
    ]
}

/// The whole document.
fn document() -> OpenApi {
    let (mut paths, mut components) = (Paths::new(), securities());
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    components.responses.extend(op::problems().map(|(name, answer)| (name, answer.into())));
    let mut used = Vec::new();
    Problem::schemas(&mut used);
    for (tag, operations) in groups() {
        for mut operation in operations {
            used.append(&mut operation.schemas);
            let path = operation.path.replace("{*", "{");
            let method = operation.method.clone();
            paths.add_path_operation(path, vec![method], operation.build(tag));
        }
    }
    components.schemas.extend(used);
    let info = InfoBuilder::new()
        .title("colophon")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Flows in, builds out. docs/api.md tells the same in prose. Lists come by the page: `limit`, \
             `cursor`, and `next` in the answer. What is refused is a problem (RFC 9457) with a stable `code`.",
        ))
        .build();
    let mut document = OpenApi::new(info, paths);
    document.components = Some(components);
    document
}

fn securities() -> Components {
    let bearer = |about: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        SecurityScheme::Http(scheme.description(Some(about)).build())
    };
    let signature = ApiKeyValue::with_description(
        "X-Ap-Signature",
        "HMAC-SHA256 of the body; docs/intake.md has the other schemes",
    );
    ComponentsBuilder::new()
        .security_scheme("token", bearer("a token of a tenant, `clp_…`"))
        .security_scheme("operator", bearer("the operator's token"))
        .security_scheme("signature", SecurityScheme::ApiKey(ApiKey::Header(signature)))
        .build()
}
