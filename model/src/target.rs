//! Where generated code runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where an output runs. The order is the order of tags and of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The cloud runner.
    Cloud,
    /// An agent on a customer's PC.
    Edge,
}

impl Target {
    /// Every target, in order.
    pub const ALL: [Self; 2] = [Self::Cloud, Self::Edge];

    /// The word used in tags, JSON and telemetry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Edge => "edge",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The language an edge bundle is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeRuntime {
    /// Python with Playwright.
    Python,
    /// AutoHotkey v2.
    Ahk,
    /// Windows PowerShell 5.1, and PowerShell 7.
    Ps1,
}

impl EdgeRuntime {
    /// The word used in paths and manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Ahk => "ahk",
            Self::Ps1 => "ps1",
        }
    }
}

impl fmt::Display for EdgeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
