//! The section `admin`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The listener for operators: metrics and health, without a credential.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Its address. None: there is no such listener.
    pub listen: Option<SocketAddr>,
    /// Whether builds are counted by tenant: a time series more for each.
    pub tenant_label: bool,
}
