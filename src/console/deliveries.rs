//! The page of a tenant's deliveries.

use colophon_store::rows::{DeliveryKey, TenantRow};
use serde::Serialize;

use super::words::Badge;
use crate::app::App;
use crate::http::deliveries::{DeliveryList, DeliveryView, Filter};

/// The page.
#[derive(Debug, Serialize)]
pub struct DeliveriesPage {
    deliveries: Vec<Line>,
    older_href: Option<String>,
    /// The delivery that came of a replay a moment ago.
    replayed: Option<Line>,
    /// Whether there are buttons.
    replays: bool,
}

#[derive(Debug, Serialize)]
struct Line {
    id: String,
    at: String,
    by: String,
    from: Option<String>,
    state: Badge,
    status: u16,
    code: Option<String>,
    flow: Option<String>,
    build_href: Option<String>,
    replay_of: Option<String>,
    millis: f64,
    size: String,
    /// Where to post for another run; none when the body is gone.
    replay_href: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Deliveries before this one.
    pub before: Option<DeliveryKey>,
    /// The delivery that came of a replay.
    pub replayed: Option<DeliveryKey>,
    /// Whether the viewer may run deliveries again.
    pub replays: bool,
}

/// The deliveries of `tenant`.
///
/// # Errors
/// When the store cannot be read.
pub fn page(
    app: &App,
    tenant: &TenantRow,
    asked: Asked,
) -> Result<DeliveriesPage, colophon_store::Error> {
    let filter = Filter { before: asked.before, ..Filter::default() };
    let list = DeliveryList::read(&app.press, tenant, &filter)?;
    let view = app.press.store.view()?;
    let mut deliveries = Vec::with_capacity(list.deliveries.len());
    for delivery in list.deliveries {
        let replays = asked.replays && view.has_blob(tenant.uid, &delivery.body)?;
        deliveries.push(line(tenant, delivery, replays));
    }
    let replayed = match asked.replayed {
        Some(key) => crate::http::deliveries::show(&app.press, tenant, key)?,
        None => None,
    };
    let here = format!("/console/t/{}/deliveries", tenant.slug);
    Ok(DeliveriesPage {
        deliveries,
        older_href: list.next.map(|before| format!("{here}?before={before}")),
        replayed: replayed.map(|delivery| line(tenant, delivery, false)),
        replays: asked.replays,
    })
}

fn line(tenant: &TenantRow, delivery: DeliveryView, replays: bool) -> Line {
    let here = format!("/console/t/{}", tenant.slug);
    let id = delivery.delivery.to_string();
    let state = match delivery.outcome.as_str() {
        "built" => Badge::good("built"),
        "refused" => Badge::bad("refused"),
        other => Badge::plain(other),
    };
    Line {
        at: super::words::people(&delivery.at),
        by: delivery.by,
        from: delivery.from,
        state,
        status: delivery.status,
        code: delivery.code,
        flow: delivery.flow.map(|flow| flow.to_string()),
        build_href: delivery.build.map(|build| format!("{here}/builds/{build}")),
        replay_of: delivery.replay_of.map(|key| key.to_string()),
        millis: delivery.millis,
        size: super::words::bytes(delivery.size),
        replay_href: replays.then(|| format!("{here}/deliveries/{id}/replay")),
        id,
    }
}
