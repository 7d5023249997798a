//! Pages about one build.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use colophon_model::BuildRecord;
use colophon_store::rows::TenantRow;

use super::super::ApiError;
use super::super::path::Segments;
use super::desk::{Desk, Stop, show as shown};
use crate::app::SharedApp;
use crate::console::build::{self, document as read_document};
use crate::console::graph;
use crate::console::pages::{Frame, Link};

type Named = Segments<(String, String)>;

/// What is known of a build.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, id)): Named,
    headers: HeaderMap,
) -> Response {
    shown(app, headers, move |desk| {
        let tenant = desk.tenant(&slug)?;
        let record = desk.build(&tenant, &id)?;
        let page = desk.place(&tenant).page(&record)?;
        let title = format!("Build {} of {}", record.number, record.flow);
        desk.page("build.html", &desk.frame(&title, "builds", Some(&tenant)), &page)
    })
    .await
}

/// A page below a build's, for whoever may read code.
fn below(
    desk: &Desk,
    slug: &str,
    id: &str,
    title: &str,
) -> Result<(TenantRow, BuildRecord, Frame), Stop> {
    let tenant = desk.tenant(slug)?;
    if !desk.is_operator() {
        return Err(ApiError::not_found().into()); // records and no blobs
    }
    let record = desk.build(&tenant, id)?;
    let mut frame = desk.frame(title, "builds", Some(&tenant));
    let href = format!("/console/t/{slug}/builds/{}", record.id);
    frame.crumbs.push(Link::new(href, format!("Build {}", record.number)));
    Ok((tenant, record, frame))
}

/// What changed since the flow's build before.
pub(super) async fn diff(
    State(app): State<SharedApp>,
    Segments((slug, id)): Named,
    headers: HeaderMap,
) -> Response {
    shown(app, headers, move |desk| {
        let (tenant, record, frame) = below(desk, &slug, &id, "Changes")?;
        let before =
            build::previous(&desk.view, &tenant, &record)?.ok_or_else(ApiError::not_found)?;
        let page = build::diff_page(&desk.place(&tenant), &before, &record)?;
        desk.page("diff.html", &frame, &page)
    })
    .await
}

/// The flow, drawn.
pub(super) async fn graph(
    State(app): State<SharedApp>,
    Segments((slug, id)): Named,
    headers: HeaderMap,
) -> Response {
    shown(app, headers, move |desk| {
        let (tenant, record, frame) = below(desk, &slug, &id, "Graph")?;
        let page = graph::page(&desk.place(&tenant), &record)?.ok_or_else(ApiError::not_found)?;
        desk.page("graph.html", &frame, &page)
    })
    .await
}

/// One file.
pub(super) async fn file(
    State(app): State<SharedApp>,
    Segments((slug, id, target, path)): Segments<(String, String, String, String)>,
    headers: HeaderMap,
) -> Response {
    shown(app, headers, move |desk| {
        let (tenant, record, frame) = below(desk, &slug, &id, &path)?;
        let page = build::code_page(&desk.place(&tenant), &record, (&target, &path))?;
        desk.page("code.html", &frame, &page.ok_or_else(ApiError::not_found)?)
    })
    .await
}

/// A document, to be kept as a file.
pub(super) async fn document(
    State(app): State<SharedApp>,
    Segments((slug, id, name)): Segments<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    shown(app, headers, move |desk| {
        let tenant = desk.tenant(&slug)?;
        let record = desk.build(&tenant, &id)?;
        let bytes = read_document(&desk.place(&tenant), &record, &name)?;
        let bytes = bytes.ok_or_else(ApiError::not_found)?;
        let kept = format!("attachment; filename=\"{}-{name}\"", record.flow);
        let described = [
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::CONTENT_DISPOSITION, kept),
        ];
        Ok((described, bytes).into_response())
    })
    .await
}
