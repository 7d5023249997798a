//! `GET /v1/operator/proof/{nonce}`: proof that this server holds its data's master key.

use axum::extract::State;

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
