//! What the operator asks for, and what is open to anyone.

use serde_json::json;

use super::op::{By, Is, Op, op};
use crate::feed::status::EdgeStatus;
use crate::http::audit::AuditKey;
use crate::http::evidence::KeysView;
use crate::http::exports::ExportList;
use crate::http::health::Health;
use crate::http::mirrors::MirrorList;
use crate::http::operator::{GitKey, OperatorKey};
use crate::http::tenants::{CreateTenant, CreatedTenant};
use crate::http::tokens::{CreateToken, CreatedToken, Revoked, RotateToken};
use crate::http::webhooks::SetWebhook;
use crate::intake::hooks::{CreateHook, HookList, HookView};
use crate::intake::secrets::{NewSecret, Rotate, WebhookView};
use crate::mirror::{MirrorStatus, SetMirror};
use crate::tenants::overview::{TenantDetails, TenantPage};
use crate::tokens::{TokenList, TokenView};

const OPERATOR: By = By::Operator;

/// Tenants and what they have.
pub(super) fn tenants() -> Vec<Op> {
    let step = |path, summary| op("post", path, OPERATOR, summary).json::<TenantDetails>(200);
    vec![
        op("get", "/v1/tenants", OPERATOR, "List tenants").paged(1000).json::<TenantPage>(200),
        op("post", "/v1/tenants", OPERATOR, "Create a tenant")
            .body::<CreateTenant>(true, json!({"slug": "acme-inc", "tokens": ["api", "git"]}))
            .json::<CreatedTenant>(201),
        op("get", "/v1/tenants/{slug}", OPERATOR, "Show a tenant").json::<TenantDetails>(200),
        op("delete", "/v1/tenants/{slug}", OPERATOR, "Erase a tenant")
            .query("confirm", Is::Text, "the tenant's name again")
            .query("approved_by", Is::Text, "who approved it: told in the report and the record")
            .query(
                "leave_keys",
                Is::Flag,
                "go on when copies of the export's key cannot be destroyed",
            )
            .bytes(200, "application/x-ndjson"),
        step("/v1/tenants/{slug}/suspend", "Refuse every credential of a tenant"),
        step("/v1/tenants/{slug}/resume", "End a suspension"),
        step("/v1/tenants/{slug}/archive", "Make a tenant read-only"),
        step("/v1/tenants/{slug}/restore", "Make an archived tenant writable"),
        step("/v1/tenants/{slug}/hold", "Keep a tenant from being erased (legal hold)"),
        step("/v1/tenants/{slug}/release", "Lift a legal hold"),
    ]
}

/// Tokens and webhook secrets, hooks.
pub(super) fn credentials() -> Vec<Op> {
    let (tokens, token) = ("/v1/tenants/{slug}/tokens", "/v1/tenants/{slug}/tokens/{id}");
    let (hooks, webhook) = ("/v1/tenants/{slug}/hooks", "/v1/tenants/{slug}/webhook");
    vec![
        op("get", tokens, OPERATOR, "List a tenant's tokens").json::<TokenList>(200),
        op("post", tokens, OPERATOR, "Create a token")
            .body::<CreateToken>(true, json!({"kind": "api", "label": "builder", "days": 30}))
            .json::<CreatedToken>(201),
        op("delete", tokens, OPERATOR, "Revoke every token of a tenant").json::<Revoked>(200),
        op("get", token, OPERATOR, "Show a token").json::<TokenView>(200),
        op("delete", token, OPERATOR, "Revoke a token").empty(204),
        op("post", "/v1/tenants/{slug}/tokens/{id}/rotate", OPERATOR, "Replace a token")
            .body::<RotateToken>(false, json!({"overlap": "24h"}))
            .json::<CreatedToken>(201),
        op("get", hooks, OPERATOR, "List a tenant's hooks").json::<HookList>(200),
        op("post", hooks, OPERATOR, "Make a hook")
            .body::<CreateHook>(true, json!({"scheme": "static", "label": "builder"}))
            .json::<HookView>(201),
        op("delete", "/v1/tenants/{slug}/hooks/{id}", OPERATOR, "Take a hook away").empty(204),
        op("get", webhook, OPERATOR, "Show how deliveries are checked").json::<WebhookView>(200),
        op("put", webhook, OPERATOR, "Set how deliveries are checked")
            .body::<SetWebhook>(true, json!({"repeats": false}))
            .json::<WebhookView>(200),
        op("post", "/v1/tenants/{slug}/webhook/secrets", OPERATOR, "Make a webhook secret")
            .body::<Rotate>(false, json!({"overlap": "24h"}))
            .json::<NewSecret>(201),
        op(
            "delete",
            "/v1/tenants/{slug}/webhook/secrets/{generation}",
            OPERATOR,
            "End a webhook secret",
        )
        .json::<WebhookView>(200),
    ]
}

/// Mirrors and edge repositories.
pub(super) fn outward() -> Vec<Op> {
    let mirror = "/v1/tenants/{slug}/mirror";
    vec![
        op("get", mirror, OPERATOR, "Show a tenant's mirror").json::<MirrorStatus>(200).tagged(),
        op("put", mirror, OPERATOR, "Set a tenant's mirror")
            .body::<SetMirror>(true, json!({"url": "https://forge.example.com/acme.git"}))
            .conditional()
            .json::<MirrorStatus>(200)
            .tagged(),
        op("delete", mirror, OPERATOR, "Take a mirror away").conditional().empty(204),
        op("post", "/v1/tenants/{slug}/mirror/retry", OPERATOR, "Let a mirror try again at once")
            .json::<MirrorStatus>(200),
        op("get", "/v1/mirrors", OPERATOR, "List mirrors").json::<MirrorList>(200),
        op("get", "/v1/exports", OPERATOR, "List exports for auditors").json::<ExportList>(200),
        op("get", "/v1/tenants/{slug}/exports", OPERATOR, "List a tenant's exports")
            .json::<ExportList>(200),
        op("get", "/v1/edge", OPERATOR, "List edge repositories").list::<EdgeStatus>(200),
    ]
}

/// Jobs.
pub(super) fn maintenance() -> Vec<Op> {
    let job = |path, summary, example| {
        op("post", path, OPERATOR, summary)
            .free("the job's options: docs/api.md", false, example)
            .bytes(200, "application/x-ndjson")
            .problem(&[404, 422])
    };
    let one = || json!({"tenant": "acme-inc"});
    vec![
        job("/v1/maintenance/audit/verify", "Check the audit log", json!({})),
        job("/v1/maintenance/audit/checkpoint", "Sign the audit log's end", json!({})),
        job("/v1/maintenance/gc", "Delete blobs that nothing names", json!({"dry_run": true})),
        job("/v1/maintenance/fsck", "Check the store", json!({"quick": true})),
        job("/v1/maintenance/purge", "Delete expired tags and bundles", json!({"dry_run": true})),
        job("/v1/maintenance/backup", "Copy the data directory", json!({"dir": "/backups/today"})),
        job(
            "/v1/maintenance/export",
            "Export what tenants built for auditors",
            json!({"to": "s3://evidence/colophon", "tenants": ["acme-inc"]}),
        ),
        job(
            "/v1/maintenance/export/drill",
            "Restore an export for trial",
            json!({"from": "s3://evidence/colophon", "tenants": ["acme-inc"]}),
        ),
        job(
            "/v1/maintenance/import",
            "Make tenants again from an export",
            json!({"from": "s3://evidence/colophon", "tenants": ["acme-inc"], "verify": true}),
        ),
        job(
            "/v1/maintenance/export/identity",
            "Hand out the keys of a tenant's sealed exports",
            json!({"tenant": "acme-inc"}),
        ),
        job(
            "/v1/maintenance/export/rotate-key",
            "Replace the key of a tenant's sealed exports",
            json!({"tenant": "acme-inc"}),
        ),
        job("/v1/maintenance/rebuild", "Compile flows again", json!({"dry_run": true})),
        job("/v1/maintenance/edge/resign", "Sign what would end", json!({"tenants": []})),
        job(
            "/v1/maintenance/edge/rotate",
            "Replace a role's key",
            json!({"tenant": "acme-inc", "role": "timestamp"}),
        ),
        job(
            "/v1/maintenance/edge/rollback",
            "Give agents an older bundle",
            json!({"tenant": "acme-inc", "flow": "order_intake"}),
        ),
        job(
            "/v1/maintenance/edge/archive",
            "Tell agents to remove a tenant's flows",
            json!({"tenant": "acme-inc", "archived": true}),
        ),
        job("/v1/maintenance/keys/request", "Ask for a ceremony", json!({"count": 1})),
        job(
            "/v1/maintenance/keys/import",
            "Take what a ceremony made",
            json!({"format": 1, "roots": []}),
        ),
        job("/v1/maintenance/git/rebuild", "Make a tenant's Git objects anew", one()),
        job(
            "/v1/maintenance/git/export",
            "Write a bare repository",
            json!({"tenant": "acme-inc", "bare": "/exports/acme.git"}),
        ),
        job(
            "/v1/maintenance/git/bundle",
            "Write a Git bundle",
            json!({"tenant": "acme-inc", "file": "/exports/acme.bundle"}),
        ),
        op("get", "/v1/maintenance/blobs/{digest}", OPERATOR, "Say why a blob is kept")
            .object(200, "`digest`, `size`, `codec`, `place`, `damaged`, `tenants`: docs/api.md"),
    ]
}

/// What anybody may read.
pub(super) fn open() -> Vec<Op> {
    let anyone = By::Anyone;
    vec![
        op("get", "/healthz", anyone, "Is the process as it should be")
            .json::<Health>(200)
            .json::<Health>(503),
        op("get", "/readyz", anyone, "Are builds taken").json::<Health>(200).json::<Health>(503),
        op("get", "/v1/openapi.json", anyone, "This document")
            .bytes(200, "application/json")
            .cached(),
        op("get", "/v1/docs", anyone, "This document for people").bytes(200, "text/html"),
        op("get", "/v1/schema/flow.json", anyone, "The JSON Schema of Builder flows")
            .bytes(200, "application/schema+json")
            .cached(),
        op("get", "/v1/operator/proof/{nonce}", anyone, "Proof that the server holds its key")
            .bytes(200, "text/plain"),
        op("get", "/v1/keys/operator", anyone, "The key of the server's statements")
            .json::<OperatorKey>(200),
        op("get", "/v1/keys/git", anyone, "The key of commits and tags")
            .json::<GitKey>(200)
            .also(200, "text/plain"),
        op("get", "/v1/keys/attestation", anyone, "The keys of bundles").json::<KeysView>(200),
        op("get", "/v1/keys/attestation/{name}", anyone, "A key of bundles as a file")
            .bytes(200, "text/plain"),
        op("get", "/v1/keys/audit", anyone, "The key of audit logs").json::<AuditKey>(200),
    ]
}
