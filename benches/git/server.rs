//! The server that is measured: the product's routes, and the same repository through stock git.

use std::process::Command;
use std::sync::Arc;

use colophon::app::App;
use colophon::clock::SystemClock;

use crate::content::{Place, config};
use crate::peers;
use crate::served;
pub(crate) use crate::served::Server;

/// Serves what was made at `place`.
pub(crate) fn serve(place: &Place) -> anyhow::Result<()> {
    served::serve(|| {
        let app = Arc::new(App::open(config(place), Arc::new(SystemClock))?);
        Ok(colophon::http::router(app).merge(peers::routes(&place.bare())))
    })
}

/// The same, as a child.
pub(crate) fn start(place: &Place) -> anyhow::Result<Server> {
    Server::start(Command::new(std::env::current_exe()?).arg("--serve").arg(&place.0))
}
