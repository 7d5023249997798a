//! The console: pages for people, rendered here from what the store says. Requests come in through
//! `http/console.rs`; nothing here knows HTTP.

pub mod agents;
pub mod attempts;
pub mod audit;
pub mod build;
pub mod code;
pub mod deliveries;
pub mod diff;
pub mod flows;
pub mod graph;
pub mod health;
pub mod pages;
pub mod session;
pub mod tenant;
pub mod tenants;
pub mod webhooks;
mod words;

use attempts::Attempts;
use pages::Pages;
use session::Sessions;

/// What the console keeps while the server runs.
pub struct Console {
    /// The templates.
    pub pages: Pages,
    /// Who is logged in.
    pub sessions: Sessions,
    /// Who tried to log in and could not.
    pub attempts: Attempts,
}

impl Console {
    /// A console that nobody is logged in to.
    pub fn new() -> Self {
        Self { pages: Pages::new(), sessions: Sessions::default(), attempts: Attempts::default() }
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}
