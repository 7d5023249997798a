//! What lies between the server and others: its certificate, its address, the collector.

use std::sync::Arc;
use std::time::Duration;

use super::Doctor;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::export::{ExportError, Options, Place, PlaceUrl, reach, try_recipient};
use crate::http::chain;
use crate::outgoing;
use crate::secrets::{SecretRef, Secrets};
use crate::serve::Tls;
use crate::units::Span;

/// How long anybody may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// From when on the end of a certificate is worth a word, in milliseconds: two weeks.
const SOON: u64 = 14 * 24 * 60 * 60 * 1000;

pub(super) fn look(doctor: &mut Doctor, config: &Config) {
    certificate(doctor, config);
    public_url(doctor, config);
    collector(doctor, config);
    exports(doctor, config);
    recipients(doctor, config);
}

fn certificate(doctor: &mut Doctor, config: &Config) {
    let tls = match Tls::load(&config.tls) {
        Ok(Some(tls)) => tls,
        Ok(None) => {
            if !config.listen.ip().is_loopback() {
                let detail = format!("plain HTTP on `{}`", config.listen);
                doctor.warn("tls", detail, "set `tls.cert`, or put a TLS proxy in front");
            }
            return;
        }
        Err(error) => {
            return doctor.fail("tls", chain(error.as_ref()), "the server will not start");
        }
    };
    let (now, end) = (SystemClock.now().get(), tls.end());
    let detail = format!("the certificate ends at {}", end.rfc3339_seconds());
    if end.get() <= now {
        doctor.fail("tls", detail, "put a new one in its place; the server takes it by itself");
    } else if end.get() < now + SOON {
        doctor.warn("tls", detail, "put a new one in its place; the server takes it by itself");
    } else {
        doctor.ok("tls", detail);
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.tls_config(outgoing::tls()).timeout_global(Some(PATIENCE)).build().new_agent()
}

/// Clients are told this address; whether it leads here shows from outside only, so it is no failure.
fn public_url(doctor: &mut Doctor, config: &Config) {
    let url = config.public_url();
    if config.public_url.is_none() && config.listen.ip().is_unspecified() {
        let detail = format!("clients are told `{url}`, which leads nowhere");
        return doctor.fail("public url", detail, "set `public_url`");
    }
    match agent().get(format!("{url}/healthz")).call() {
        Ok(answer) if answer.status().is_success() => doctor.ok("public url", url),
        Ok(answer) => {
            let detail = format!("`{url}` answers {}", answer.status());
            doctor.warn("public url", detail, "does the proxy lead to this server?");
        }
        Err(error) => {
            let detail = format!("`{url}` does not answer: {error}");
            doctor.warn("public url", detail, "fine while no server runs");
        }
    }
}

/// Places that the server exports to. Nothing is written there.
fn exports(doctor: &mut Doctor, config: &Config) {
    let secrets = Secrets::new(&config.secrets, Arc::new(SystemClock));
    let mut settings = config.export.clone();
    settings.request_timeout = Span::seconds(PATIENCE.as_secs());
    for to in &config.export.to {
        if let PlaceUrl::File(folder) = to
            && !folder.is_dir()
        {
            let detail = format!("there is no folder `{}`", folder.display());
            doctor.warn("exports", detail, "the first export makes it");
            continue;
        }
        let place = Place::open(to, &settings, &Options::default(), &secrets);
        match place.map_err(ExportError::from).and_then(|place| reach(&place)) {
            Ok(()) => doctor.ok("exports", format!("`{to}` answers")),
            Err(error) => {
                let hint = error.hint().unwrap_or("exports wait meanwhile; builds go on");
                doctor.fail("exports", chain(&error), hint);
            }
        }
    }
}

/// Services that copies of keys are encrypted by. A few bytes that are no key are.
fn recipients(doctor: &mut Doctor, config: &Config) {
    let secrets = Secrets::new(&config.secrets, Arc::new(SystemClock));
    let mut settings = config.export.clone();
    settings.request_timeout = Span::seconds(PATIENCE.as_secs());
    for recipient in &config.export.recipients {
        match try_recipient(recipient, &settings, &secrets) {
            Ok(()) => doctor.ok("key copies", format!("`{recipient}` encrypts")),
            Err(error) => {
                let hint = error.hint().unwrap_or("sealed exports of new keys wait meanwhile");
                doctor.fail("key copies", chain(&error), hint);
            }
        }
    }
}

/// An export of nothing: a collector that takes it takes traces too.
fn collector(doctor: &mut Doctor, config: &Config) {
    let Some(endpoint) = &config.telemetry.otlp_endpoint else { return };
    let mut request = agent().post(endpoint).header("content-type", "application/x-protobuf");
    let secrets = Secrets::new(&config.secrets, Arc::new(SystemClock));
    for (name, place) in &config.telemetry.otlp_headers {
        let place = place.parse::<SecretRef>().map_err(|e| e.to_string());
        match place.and_then(|place| secrets.read(&place).map_err(|e| e.to_string())) {
            Ok(value) => request = request.header(name, value.reveal()),
            Err(why) => return doctor.fail("collector", why, "the server will not start"),
        }
    }
    let hint = "traces are lost meanwhile; builds go on";
    match request.send_empty() {
        Ok(answer) if answer.status().is_success() => doctor.ok("collector", endpoint),
        Ok(answer) => {
            doctor.warn("collector", format!("`{endpoint}` answers {}", answer.status()), hint);
        }
        Err(error) => {
            doctor.warn("collector", format!("`{endpoint}` does not answer: {error}"), hint);
        }
    }
}
