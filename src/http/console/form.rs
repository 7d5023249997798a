//! Forms and queries of the console.

use std::collections::HashMap;
use std::str::FromStr;

use axum::body::Body;
use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};
use subtle::ConstantTimeEq as _;

use super::super::ApiError;
use super::super::body::read_body;
use crate::app::App;

/// Largest form, in bytes.
const LIMIT: usize = 4 * 1024;

/// The fields of a form or a query, by name. A name that is there twice counts once.
#[derive(Debug, Default)]
pub(super) struct Fields(HashMap<String, String>);

impl Fields {
    /// The fields of a query.
    pub(super) fn of_query(uri: &Uri) -> Result<Self, ApiError> {
        let fields = Query::try_from_uri(uri);
        fields.map(|Query(fields)| Self(fields)).map_err(|_| invalid())
    }

    /// The fields of a form that a page of ours has posted. A browser says so itself, if it is not an old one.
    pub(super) async fn posted(
        app: &App,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Self, ApiError> {
        let is = |name: &str, wanted: &str| {
            headers.get(name).is_none_or(|value| value.as_bytes().starts_with(wanted.as_bytes()))
        };
        let media = "application/x-www-form-urlencoded";
        if !is("sec-fetch-site", "same-origin") || !is(header::CONTENT_TYPE.as_str(), media) {
            return Err(ApiError::forbidden("the form was not posted by a page of this console"));
        }
        let body = read_body(app, body, LIMIT).await?;
        let text = String::from_utf8(body.into()).map_err(|_| invalid())?;
        // A form is written like a query.
        Self::of_query(&format!("/?{text}").parse().map_err(|_| invalid())?)
    }

    /// The text of a field; empty when it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The value of a field, if it is there.
    pub(super) fn value<T: FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let text = self.0.get(name).filter(|text| !text.is_empty());
        text.map(|text| text.parse().map_err(|_| invalid())).transpose()
    }

    /// Refuses a form that does not carry `key`: another site has posted it, or the session is a new one.
    pub(super) fn check(&self, key: &str) -> Result<(), ApiError> {
        let same: bool = self.text("form_key").as_bytes().ct_eq(key.as_bytes()).into();
        if same && !key.is_empty() {
            return Ok(());
        }
        Err(ApiError::forbidden("the form is of another session; open the page again"))
    }
}

fn invalid() -> ApiError {
    ApiError::bad_request("invalid-query", "the address or the form cannot be read")
}
