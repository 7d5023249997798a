//! The section `telemetry`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::has_scheme;
use crate::secrets::SecretRef;
use crate::units::Span;

/// Where traces and logs go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`. None: no export.
    pub otlp_endpoint: Option<String>,
    /// Headers of each export, by name: where the value is found, as `env:NAME` or `file:/path`.
    pub otlp_headers: BTreeMap<String, String>,
    /// Longest time of one export, retries with it, and of the last one at shutdown.
    pub otlp_timeout: Span,
    /// Share of the traces that begin here which are kept. One that began elsewhere is kept when its
    /// beginner keeps it.
    pub sampling: Fraction,
    /// The project that Arize Phoenix files the traces under.
    pub project: Option<String>,
    /// Filter of what is logged to stderr, in `tracing`'s syntax; default `info`.
    pub log: Option<String>,
    /// The form of the log.
    pub log_format: LogFormat,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_headers: BTreeMap::new(),
            otlp_timeout: Span::seconds(5),
            sampling: Fraction::ALL,
            project: None,
            log: None,
            log_format: LogFormat::Text,
        }
    }
}

impl Telemetry {
    /// The log filter.
    pub fn filter(&self) -> Result<EnvFilter, ParseError> {
        EnvFilter::try_new(self.log.as_deref().unwrap_or("info"))
    }

    /// What types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let endpoint = self.otlp_endpoint.as_deref();
        if endpoint.is_some_and(|u| !has_scheme(u, &["http://", "https://"])) {
            let text = "`telemetry.otlp_endpoint` must begin with http:// or https://";
            problems.push(text.to_owned());
        }
        if self.otlp_timeout.get().is_zero() {
            problems.push("`telemetry.otlp_timeout` must be more than 0".to_owned());
        }
        for (name, place) in &self.otlp_headers {
            if axum::http::HeaderName::from_str(name).is_err() {
                problems.push(format!("`telemetry.otlp_headers`: `{name}` is no header's name"));
            }
            if let Err(error) = place.parse::<SecretRef>() {
                problems.push(format!("`telemetry.otlp_headers.{name}`: {error}"));
            }
        }
        if let Err(error) = self.filter() {
            problems.push(format!("`telemetry.log` is not a filter: {error}"));
        }
        problems
    }
}

/// A share of everything: 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Fraction(f64);

/// It is never NaN.
impl Eq for Fraction {}

/// A number that is no fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fraction is a number from 0 to 1")]
pub struct InvalidFraction;

impl Fraction {
    /// All.
    pub const ALL: Self = Self(1.0);

    /// As a number, 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Fraction {
    type Error = InvalidFraction;
    fn try_from(number: f64) -> Result<Self, InvalidFraction> {
        if (0.0..=1.0).contains(&number) { Ok(Self(number)) } else { Err(InvalidFraction) }
    }
}

impl From<Fraction> for f64 {
    fn from(fraction: Fraction) -> Self {
        fraction.0
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_nothing_else() {
        for bad in ["-0.1", "1.1", "nan"] {
            let text = format!("sampling = {bad}");
            let error = toml::from_str::<Telemetry>(&text).unwrap_err().to_string();
            assert!(error.contains("from 0 to 1"), "{bad}: {error}");
        }
        let half: Telemetry = toml::from_str("sampling = 0.5").unwrap();
        assert!((half.sampling.get() - 0.5).abs() < f64::EPSILON);
    }

    /// A secret in the file would be printed by `check-config`.
    #[test]
    fn a_header_says_where_its_value_is_and_not_what_it_is() {
        let mut telemetry = Telemetry::default();
        telemetry.otlp_headers.insert("authorization".to_owned(), "Bearer abc".to_owned());
        telemetry.otlp_headers.insert("not a name".to_owned(), "env:X".to_owned());
        let problems = telemetry.problems().join("\n");
        assert!(problems.contains("otlp_headers.authorization"), "{problems}");
        assert!(problems.contains("no header's name"), "{problems}");
        assert!(!problems.contains("abc"), "{problems}");
    }
}
