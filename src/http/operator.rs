//! `GET /v1/operator/proof/{nonce}`: proof that this server holds its data's master key;
//! `GET /v1/keys/operator`: the key that signs its statements; `GET /v1/keys/git`: the one that signs
//! commits and tags.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use colophon_trust::sshsig;
use serde::Serialize;

use super::ApiError;
use super::path::Segments;
use crate::app::SharedApp;
use crate::keys::Nonce;
use crate::projection::COMMITTER;

/// The command line asks before it sends the operator's token, so that nothing else on its port
/// can collect it. The answer is of no use to anyone who does not hold the key.
pub(super) async fn proof(
    State(app): State<SharedApp>,
    Segments(nonce): Segments<String>,
) -> Result<String, ApiError> {
    let nonce = Nonce::from_hex(&nonce).ok_or_else(ApiError::not_found)?;
    Ok(app.press.keys.proof(&nonce))
}

/// The public key of the server's statements, for anyone.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct OperatorKey {
    /// The id under which envelopes name it.
    keyid: String,
    keytype: &'static str,
    /// The raw 32 bytes in hex.
    public: String,
    pem: String,
}

/// What verifies the statements of this server, such as the report of an erasure.
pub(super) async fn key(State(app): State<SharedApp>) -> Json<OperatorKey> {
    let key = app.press.keys.statement_key().public();
    Json(OperatorKey {
        keyid: key.id(),
        keytype: "ed25519",
        public: hex::encode(key.as_bytes()),
        pem: key.to_pem(),
    })
}

/// The public key of commits and tags, for anyone.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct GitKey {
    /// The name that the commits carry.
    principal: &'static str,
    /// What it signs, in the words of SSH.
    namespace: &'static str,
    keytype: &'static str,
    /// The key as in a `.pub` file.
    public: String,
    fingerprint: String,
    /// A line for `gpg.ssh.allowedSignersFile`.
    allowed_signers: String,
}

/// What verifies the commits and tags of every tenant: the line of an allowed-signers file, or all
/// there is to know as JSON.
pub(super) async fn git_key(State(app): State<SharedApp>, headers: HeaderMap) -> Response {
    let key = app.press.signer.0.public();
    let public = key.line();
    let allowed_signers = format!("{COMMITTER} namespaces=\"{}\" {public}\n", sshsig::NAMESPACE);
    let vary = [(header::VARY, "Accept")];
    if !wants_json(&headers) {
        return (vary, allowed_signers).into_response();
    }
    let key = GitKey {
        principal: COMMITTER,
        namespace: sshsig::NAMESPACE,
        keytype: "ed25519",
        fingerprint: key.fingerprint(),
        public,
        allowed_signers,
    };
    (vary, Json(key)).into_response()
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|one| {
        one.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    })
}
