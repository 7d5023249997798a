//! `GET /v1/operator/proof/{nonce}`: proof that this server holds its data's master key;
//! `GET /v1/keys/operator`: the key that signs its statements.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::ApiError;
use super::path::Segments;
use crate::app::SharedApp;
use crate::keys::Nonce;

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
#[derive(Debug, Serialize)]
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
