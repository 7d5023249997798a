//! Coming and going: `/console/login` and `/console/logout`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use colophon_model::audit::{Action, Subject};
use serde::Serialize;
use subtle::ConstantTimeEq as _;

use super::super::ApiError;
use super::desk::{self, LIFE, Stop, cookie, is_secure, session_cookie, set_cookie};
use super::form::Fields;
use crate::app::{App, SharedApp};
use crate::audit::By;
use crate::console::pages::Frame;
use crate::console::session::{Holder, Use, secret};
use crate::telemetry::request;
use crate::tokens::{Token, TokenKind};

/// The cookie that the login's form must agree with: nobody can be logged in by another site.
const FORM: &str = "colophon-login";
/// The same over TLS: the prefix keeps other hosts of the domain from setting it.
const FORM_SECURE: &str = "__Host-colophon-login";
/// How long the form may stay open, in seconds: an hour.
const OPEN: u64 = 60 * 60;

/// What the login's page says.
#[derive(Debug, Serialize)]
struct LoginPage {
    problem: Option<String>,
}

/// The form.
pub(super) async fn form(State(app): State<SharedApp>) -> Response {
    page(&app, StatusCode::OK, None)
}

fn page(app: &App, status: StatusCode, problem: Option<String>) -> Response {
    let told = secret().map_err(|error| ApiError::internal(&error)).and_then(|form_key| {
        let cookie = set_cookie(app, form_cookie(app), &form_key, OPEN);
        let frame = Frame { title: "Log in".to_owned(), form_key, ..Frame::default() };
        let page = desk::render(app, "login.html", &frame, &LoginPage { problem })?;
        Ok((status, [(header::SET_COOKIE, cookie)], page).into_response())
    });
    told.unwrap_or_else(|error| Stop::from(error).answer(app))
}

/// Begins a session for whoever has posted a good token.
pub(super) async fn login(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (from, now) = (request::remote(), app.press.clock.now());
    if let Some(seconds) = app.console.attempts.wait(from, now) {
        let text = format!("Too many attempts failed. Try again in {seconds} seconds.");
        let told = page(&app, StatusCode::TOO_MANY_REQUESTS, Some(text));
        return ([(header::RETRY_AFTER, seconds.to_string())], told).into_response();
    }
    let fields = match posted(&app, &headers, body).await {
        Ok(fields) => fields,
        Err(error) => return page(&app, StatusCode::FORBIDDEN, Some(error.detail().to_owned())),
    };
    let at = app.clone();
    let enter = move || -> Result<Option<Holder>, Stop> {
        let Some(holder) = holder(&at, fields.text("token").trim()) else { return Ok(None) };
        let Some(chain) = desk::may_enter(&at, holder)? else { return Ok(None) };
        let act = By::here().did(Action::ConsoleLogin, Subject::new("console", ""));
        at.press.write_down_or_keep(chain, act);
        Ok(Some(holder))
    };
    match app.reads.run(enter).await {
        Ok(Ok(Some(holder))) => begin(&app, &headers, holder),
        Ok(Ok(None)) => {
            app.console.attempts.failed(from, now);
            let text = "This is neither the operator's token nor a good token of an auditor.";
            page(&app, StatusCode::FORBIDDEN, Some(text.to_owned()))
        }
        Ok(Err(stop)) => stop.answer(&app),
        Err(error) => Stop::from(error).answer(&app),
    }
}

fn form_cookie(app: &App) -> &'static str {
    if is_secure(app) { FORM_SECURE } else { FORM }
}

async fn posted(app: &App, headers: &HeaderMap, body: Body) -> Result<Fields, ApiError> {
    let fields = Fields::posted(app, headers, body).await?;
    fields.check(cookie(headers, form_cookie(app)).unwrap_or_default())?;
    Ok(fields)
}

/// By what token somebody wants in, if it is of a kind that may.
fn holder(app: &App, text: &str) -> Option<Holder> {
    let token: Token = text.parse().ok()?;
    let (digest, operator) = (token.digest(), app.press.keys.operator_token().digest());
    if bool::from(digest.as_bytes().ct_eq(operator.as_bytes())) {
        return Some(Holder::Operator);
    }
    let kind = token.kind().filter(|kind| *kind == TokenKind::Auditor)?;
    Some(Holder::Token { digest, kind })
}

fn begin(app: &App, headers: &HeaderMap, holder: Holder) -> Response {
    let (sessions, name) = (&app.console.sessions, session_cookie(app));
    if let Some(before) = cookie(headers, name) {
        sessions.end(before);
    }
    match sessions.begin(holder, app.press.clock.now()) {
        Ok(session) => {
            let cookies =
                [set_cookie(app, name, &session, LIFE), set_cookie(app, form_cookie(app), "", 0)];
            let cookies = AppendHeaders(cookies.map(|cookie| (header::SET_COOKIE, cookie)));
            (cookies, Redirect::to("/console")).into_response()
        }
        Err(error) => Stop::from(ApiError::internal(&error)).answer(app),
    }
}

/// Ends the session.
pub(super) async fn logout(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let fields = match Fields::posted(&app, &headers, body).await {
        Ok(fields) => fields,
        Err(error) => return Stop::from(error).answer(&app),
    };
    let name = session_cookie(&app);
    let (now, sessions) = (app.press.clock.now(), &app.console.sessions);
    if let Some(cookie) = cookie(&headers, name)
        && let Some(session) = sessions.find(cookie, now, Use::ByPerson)
    {
        if let Err(error) = fields.check(&session.form_key) {
            return Stop::from(error).answer(&app);
        }
        sessions.end(cookie);
    }
    let gone = [(header::SET_COOKIE, set_cookie(&app, name, "", 0))];
    (gone, Redirect::to("/console/login")).into_response()
}
