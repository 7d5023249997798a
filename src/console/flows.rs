//! The page of a tenant's flows.

use colophon_store::rows::{FlowHead, TenantRow};
use colophon_store::{Error, View};
use serde::Serialize;

/// Flows of one page.
const PAGE: usize = 200;

/// The page.
#[derive(Debug, Serialize)]
pub struct FlowsPage {
    flows: Vec<Line>,
    next_href: Option<String>,
}

#[derive(Debug, Serialize)]
struct Line {
    flow: String,
    name: String,
    source: String,
    revision: Option<u64>,
    edge: Option<String>,
    href: String,
    graph_href: String,
}

/// The flows of `tenant` that stand, from `from` on.
///
/// # Errors
/// When the store cannot be read.
pub fn page(view: &View, tenant: &TenantRow, from: Option<&str>) -> Result<FlowsPage, Error> {
    let mut rows = view.scan::<FlowHead>(&tenant.uid);
    if let Some(from) = from.and_then(|from| from.parse().ok()) {
        rows = rows.starting_at(&(tenant.uid, from));
    }
    let mut page = FlowsPage { flows: Vec::new(), next_href: None };
    for row in rows {
        let ((_, flow), head) = row?;
        if page.flows.len() == PAGE {
            page.next_href = Some(format!("/console/t/{}/flows?from={flow}", tenant.slug));
            break;
        }
        let href = format!("/console/t/{}/builds/{}", tenant.slug, head.build);
        page.flows.push(Line {
            flow: flow.to_string(),
            name: head.manifest.name,
            source: head.manifest.source.to_string(),
            revision: head.revision,
            edge: head.edge.map(|edge| crate::feed::version(edge.output.seq)),
            graph_href: format!("{href}/graph"),
            href,
        });
    }
    Ok(page)
}
