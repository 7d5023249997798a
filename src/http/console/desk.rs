//! Who is at the console, and what they get to see.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use colophon_model::audit::Chain;
use colophon_model::{BuildRecord, TenantSlug};
use colophon_store::View;
use colophon_store::rows::TenantRow;
use serde::Serialize;

use super::super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::caller::{Caller, Who};
use crate::console::build::Place;
use crate::console::pages::{Frame, Link};
use crate::console::session::{Holder, LONGEST, Session, Use};
use crate::tasks::Tasks;
use crate::telemetry::request::asked_by;
use crate::tokens::Scope;

/// The cookie's name over TLS: the prefix ties it to this host and to TLS (RFC 6265bis §4.1.3.2).
const SECURE: &str = "__Host-colophon-session";
const PLAIN: &str = "colophon-session";

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody is logged in, or not any more.
    Login,
    /// It is refused, or failed.
    Refused(ApiError),
}

impl<E: Into<ApiError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// Somebody who is logged in, with one view of the store.
pub(super) struct Desk {
    pub(super) app: SharedApp,
    pub(super) view: View,
    pub(super) session: Session,
    /// The tenant that an auditor sees; none: the operator, who sees all.
    auditor: Option<Auditor>,
}

struct Auditor {
    name: String,
    tenant: TenantRow,
    reads_audit: bool,
}

/// Answers with what `work` makes for whoever is logged in.
pub(super) async fn show(
    app: SharedApp,
    headers: HeaderMap,
    work: impl FnOnce(&Desk) -> Result<Response, Stop> + Send + 'static,
) -> Response {
    run(app, headers, |app| &app.reads, Use::ByPerson, work).await
}

/// The same among other `tasks`.
pub(super) async fn run(
    app: SharedApp,
    headers: HeaderMap,
    tasks: fn(&App) -> &Tasks,
    by: Use,
    work: impl FnOnce(&Desk) -> Result<Response, Stop> + Send + 'static,
) -> Response {
    let at = app.clone();
    let answer = move || {
        let told = Desk::open(at.clone(), &headers, by).and_then(|desk| {
            let told = work(&desk);
            if desk.is_operator() {
                asked_by(&Caller::OPERATOR, None); // about no tenant, unless that was said before
            }
            told
        });
        told.unwrap_or_else(|stop| stop.answer(&at))
    };
    let told = tasks(&app).run(answer).await;
    told.unwrap_or_else(|error| Stop::from(error).answer(&app))
}

impl Desk {
    /// Whoever the request's cookie is of.
    pub(super) fn open(app: SharedApp, headers: &HeaderMap, by: Use) -> Result<Self, Stop> {
        let now = app.press.clock.now();
        let cookie = cookie(headers, session_cookie(&app)).ok_or(Stop::Login)?;
        let session = app.console.sessions.find(cookie, now, by).ok_or(Stop::Login)?;
        let view = app.press.store.view()?;
        let auditor = match session.holder {
            Holder::Operator => None,
            Holder::Token { .. } => {
                let auditor = Auditor::known(&app, &view, session.holder)?;
                if auditor.is_none() {
                    app.console.sessions.end(cookie);
                }
                Some(auditor.ok_or(Stop::Login)?)
            }
        };
        Ok(Self { app, view, session, auditor })
    }

    /// Lets the operator on.
    pub(super) fn operator(&self) -> Result<(), Stop> {
        if self.auditor.is_some() { Err(ApiError::not_found().into()) } else { Ok(()) }
    }

    pub(super) const fn is_operator(&self) -> bool {
        self.auditor.is_none()
    }

    /// The only tenant that the viewer sees, if there is but one.
    pub(super) fn own(&self) -> Option<&TenantSlug> {
        self.auditor.as_ref().map(|auditor| &auditor.tenant.slug)
    }

    /// The tenant with this name, if the viewer may see it. Foreign and absent are the same. What an operator reads
    /// of a tenant is for that tenant's log.
    pub(super) fn tenant(&self, slug: &str) -> Result<TenantRow, Stop> {
        match &self.auditor {
            Some(auditor) if auditor.tenant.slug.as_str() == slug => Ok(auditor.tenant.clone()),
            Some(_) => Err(ApiError::not_found().into()),
            None => {
                let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
                let tenant = self.view.get::<TenantRow>(&slug)?.ok_or_else(ApiError::not_found)?;
                asked_by(&Caller::of(Who::Operator, tenant.uid), Some(&tenant.slug));
                Ok(tenant)
            }
        }
    }

    /// Lets whoever may read the audit log on.
    pub(super) fn audits(&self) -> Result<(), Stop> {
        if self.reads_audit() { Ok(()) } else { Err(ApiError::not_found().into()) }
    }

    fn reads_audit(&self) -> bool {
        self.auditor.as_ref().is_none_or(|auditor| auditor.reads_audit)
    }

    /// A build of `tenant`.
    pub(super) fn build(&self, tenant: &TenantRow, id: &str) -> Result<BuildRecord, Stop> {
        let id = id.parse().map_err(|_| ApiError::not_found())?;
        Ok(self.view.get::<BuildRecord>(&(tenant.uid, id))?.ok_or_else(ApiError::not_found)?)
    }

    /// Where a build of `tenant` is shown. Auditors read records and no blobs.
    pub(super) fn place<'a>(&'a self, tenant: &'a TenantRow) -> Place<'a> {
        let (reads_code, public_url) = (self.is_operator(), self.app.public_url.as_str());
        Place { view: &self.view, tenant, reads_code, public_url }
    }

    /// The frame of a page about `tenant`, or about the server.
    pub(super) fn frame(
        &self,
        title: &str,
        here: &'static str,
        tenant: Option<&TenantRow>,
    ) -> Frame {
        let viewer = self.auditor.as_ref().map_or("operator", |auditor| &auditor.name);
        let crumbs = tenant.map(|tenant| {
            Link::new(format!("/console/t/{}", tenant.slug), tenant.slug.to_string())
        });
        Frame {
            title: title.to_owned(),
            operator: self.is_operator(),
            viewer: Some(viewer.to_owned()),
            form_key: self.session.form_key.clone(),
            tenant: tenant.map(|tenant| tenant.slug.to_string()),
            here,
            crumbs: crumbs.into_iter().collect(),
            reads_code: self.is_operator(),
            reads_audit: self.reads_audit(),
        }
    }

    /// A page.
    pub(super) fn page(
        &self,
        template: &str,
        frame: &Frame,
        page: &impl Serialize,
    ) -> Result<Response, Stop> {
        render(&self.app, template, frame, page).map_err(Stop::Refused)
    }
}

impl Auditor {
    /// The auditor whose token began the session; none when it is good no longer.
    fn known(app: &App, view: &View, holder: Holder) -> Result<Option<Self>, Stop> {
        let Holder::Token { digest, kind } = holder else { return Ok(None) };
        let (press, now) = (&app.press, app.press.clock.now());
        let Some(grant) = press.recall.grant(&press.store, view, digest)? else { return Ok(None) };
        let Some(tenant) = grant.allows(Scope::Records, now) else { return Ok(None) };
        auth::awake(tenant)?;
        app.usage.note(digest, tenant.uid, now);
        let caller = grant.caller(kind);
        asked_by(&caller, Some(&tenant.slug));
        let name = format!("auditor of {}", tenant.slug);
        let reads_audit = grant.allows(Scope::Audit, now).is_some();
        Ok(Some(Self { name, tenant: tenant.clone(), reads_audit }))
    }
}

/// Whose log says that whoever holds a token like this has logged in; none: they may not.
pub(super) fn may_enter(app: &App, holder: Holder) -> Result<Option<Chain>, Stop> {
    match holder {
        Holder::Operator => {
            asked_by(&Caller::OPERATOR, None);
            Ok(Some(Chain::System))
        }
        Holder::Token { .. } => {
            let auditor = Auditor::known(app, &app.press.store.view()?, holder)?;
            Ok(auditor.map(|auditor| Chain::Tenant(auditor.tenant.uid)))
        }
    }
}

/// A page as an answer.
pub(super) fn render(
    app: &App,
    template: &str,
    frame: &Frame,
    page: &impl Serialize,
) -> Result<Response, ApiError> {
    let html = app.console.pages.render(template, frame, page);
    html.map(|html| Html(html).into_response()).map_err(|error| ApiError::internal(&error))
}

/// What a page says that says why there is none.
#[derive(Debug, Serialize)]
struct Told<'a> {
    status: u16,
    detail: &'a str,
    hint: Option<&'a str>,
}

impl Stop {
    /// The way to the login, or a page that says why.
    pub(super) fn answer(self, app: &App) -> Response {
        match self {
            Self::Login => Redirect::to("/console/login").into_response(),
            Self::Refused(error) => refusal(app, &error),
        }
    }
}

fn refusal(app: &App, error: &ApiError) -> Response {
    let title = if error.status() == 404 { "Not found" } else { "Not possible" };
    let frame = Frame { title: title.to_owned(), ..Frame::default() };
    let told = Told { status: error.status(), detail: error.detail(), hint: error.told_hint() };
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match render(app, "error.html", &frame, &told) {
        Ok(page) => (status, page).into_response(),
        Err(error) => error.into_response(),
    }
}

/// The value of a cookie (RFC 6265 §4.2.1).
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lists = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs =
        lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// The name of the session's cookie.
pub(super) fn session_cookie(app: &App) -> &'static str {
    if is_secure(app) { SECURE } else { PLAIN }
}

/// A `Set-Cookie` header: for this host alone, out of reach of scripts, and not sent along from other sites.
pub(super) fn set_cookie(app: &App, name: &str, value: &str, seconds: u64) -> String {
    let secure = if is_secure(app) { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

/// A session's life in a browser, in seconds.
pub(super) const LIFE: u64 = LONGEST / 1000;

/// Whether people come here over TLS.
pub(super) fn is_secure(app: &App) -> bool {
    app.public_url.starts_with("https://")
}
