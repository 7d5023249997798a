//! What is written down about requests that change nothing: who read what, and who was not let in.

use axum::http::StatusCode;
use colophon_model::audit::{Action, Chain, Subject};

use super::{By, Window};
use crate::pipeline::Press;
use crate::telemetry::request::About;

/// Routes that give a tenant's content away: blobs, bundles and what is told of them, the repository, a build's
/// files, and the log itself.
const CONTENT: [&str; 10] = [
    "/v1/t/{slug}/blob/",
    "/v1/t/{slug}/tree/",
    "/v1/t/{slug}/pack/",
    "/v1/t/{slug}/delta/",
    "/v1/t/{slug}/targets/",
    "/v1/t/{slug}/bundles/",
    "/v1/t/{slug}/builds",
    "/v1/t/{slug}/deliveries",
    "/console/t/{slug}/builds",
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
            _ if !status.is_success() => return,
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
