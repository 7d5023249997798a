//! What is written down about requests that change nothing: who read what, and who was not let in.

use axum::http::StatusCode;
use colophon_model::audit::{Action, Chain, Subject};

use super::{By, Window};
use crate::pipeline::Press;
use crate::telemetry::request::About;

/// Routes that give a tenant's content away: blobs, bundles and what is told of them, the repository, builds and their
/// files, deliveries, and what was told of builds.
const CONTENT: [&str; 15] = [
    "/v1/t/{slug}/blob/",
    "/v1/t/{slug}/tree/",
    "/v1/t/{slug}/pack/",
    "/v1/t/{slug}/delta/",
    "/v1/t/{slug}/targets/",
    "/v1/t/{slug}/bundles/",
    "/v1/t/{slug}/edge/sync",
    "/v1/t/{slug}/edge/{flow}/{document}",
    "/v1/t/{slug}/builds",
    "/v1/t/{slug}/deliveries",
    "/v1/t/{slug}/events",
    "/v1/builds/{id}",
    "/console/t/{slug}/builds",
    "/console/t/{slug}/deliveries",
    "/git/{repo}/git-upload-pack",
];

impl Press {
    /// Notes a request that was answered, when it is one that the log tells of.
    pub fn note_request(&self, about: &About, (method, route): (&str, &str), status: StatusCode) {
        let subject = || Subject::new("route", format!("{method} {route}"));
        let (chain, act) = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let act = By::request(about).was_refused(
                    Action::AccessRefuse,
                    subject(),
                    status.as_str(),
                );
                (Chain::System, act)
            }
            // What is answered with nothing (204: there is no news) was not read.
            _ if !status.is_success() || status == StatusCode::NO_CONTENT => return,
            _ => {
                let reads = method == "GET" || route.ends_with("/git-upload-pack");
                let is_log = route.contains("/audit");
                let is_content = CONTENT.iter().any(|prefix| route.starts_with(prefix));
                let tenant = about.caller().and_then(|caller| caller.tenant);
                let chain = tenant.map_or(Chain::System, Chain::Tenant);
                match (reads && is_log, reads && is_content && tenant.is_some()) {
                    (true, _) => (chain, By::request(about).did(Action::AuditRead, subject())),
                    (_, true) => (chain, By::request(about).did(Action::ContentRead, subject())),
                    _ => return,
                }
            }
        };
        self.gathered.add(chain, act, Window::Minute, self.clock.now());
    }
}
