//! Exports, and the auditor who follows VERIFY.md.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use colophon::config::{Config, ExportConfig};
use colophon::export::envelope::{Identity, Opener};
use colophon::export::{Options, Place, PlaceUrl, Verified, VerifyOptions, verify_all};
use colophon::maintenance::{Erase, ErasureReport, Export, ExportReport, JobError, Site, perform};
use colophon_store::rows::TenantRow;

use super::TestServer;

/// Has a server seal exports, with copies of the keys for `operator` in the folder `wrapped` beside its data.
pub(crate) fn seal(config: &mut Config, operator: &Identity) {
    let keys = config.data.with_file_name("wrapped");
    config.export.encrypt = true;
    config.export.keys = Some(format!("file://{}", keys.display()).parse().unwrap());
    config.export.recipients = vec![operator.id().into()];
}

/// Erases the tenant `acme-inc`.
pub(crate) fn erase(server: &TestServer, leave_keys: bool) -> Result<ErasureReport, JobError> {
    let job = Erase {
        slug: "acme-inc".parse().unwrap(),
        confirm: "acme-inc".to_owned(),
        approved_by: Some("the data protection officer".to_owned()),
        leave_keys,
    };
    perform(&job, Site { press: &server.app.press, config: &server.app.config }, &|_| {})
}

/// What exports `slug` to `to`.
pub(crate) fn job(to: &str, slug: &str) -> Export {
    Export {
        to: to.parse().unwrap(),
        tenants: vec![slug.parse().unwrap()],
        options: Options::default(),
        dry_run: false,
        allow_unconditional: false,
        anew: false,
    }
}

/// Does a job with the server's own configuration.
pub(crate) fn run(server: &TestServer, job: &Export) -> Result<ExportReport, JobError> {
    perform(job, Site { press: &server.app.press, config: &server.app.config }, &|_| {})
}

/// Exports, which must work; returns the number of bags that were made.
pub(crate) fn export(server: &TestServer, to: &str, slug: &str) -> usize {
    run(server, &job(to, slug)).unwrap_or_else(|error| panic!("{error}")).tenants[0].bags.len()
}

/// Checks an export by the program, with the server's key.
pub(crate) fn check(server: &TestServer, to: &str, slug: &str) -> Verified {
    let options = Options::default();
    check_at(server, to, slug, &server.app.config.export, &options)
}

/// The same with other settings.
pub(crate) fn check_at(
    server: &TestServer,
    to: &str,
    slug: &str,
    config: &ExportConfig,
    options: &Options,
) -> Verified {
    let url: PlaceUrl = to.parse().unwrap();
    let place = Place::open(&url, config, options, &server.app.press.secrets).unwrap();
    let key = Some(server.app.press.keys.export_key().public());
    let opener = opener(server, slug);
    let how = VerifyOptions { key, percent: 100, concurrency: 4, opener };
    verify_all(&place, Some(&slug.parse().unwrap()), config, &how, &|_| {}).unwrap().remove(0)
}

/// Opens what the server has sealed, as long as it has the key.
pub(crate) fn opener(server: &TestServer, slug: &str) -> Opener {
    let view = server.app.press.store.view().unwrap();
    let Some(tenant) = view.get::<TenantRow>(&slug.parse().unwrap()).unwrap() else {
        return Opener::default();
    };
    let file = colophon::export::identity_file(&server.app.press, &tenant, None).unwrap();
    let keys = file.map(|file| Identity::parse_all(&file.text).unwrap());
    Opener::new(keys.unwrap_or_default())
}

/// The commands of the VERIFY.md that the newest bag names, of an export that was fetched to `folder`: every block of `sh`.
pub(crate) fn commands(folder: &Path) -> String {
    let head = std::fs::read(folder.join("HEAD.json")).unwrap();
    let head: serde_json::Value = serde_json::from_slice(&head).unwrap();
    let bag = folder.join("exports").join(head["export"].as_str().unwrap());
    let info = std::fs::read_to_string(bag.join("bag-info.txt")).unwrap();
    let named = info.lines().find_map(|line| line.strip_prefix("Guide: ")).unwrap();
    let (_, path) = named.split_once("  ").unwrap();
    let guide = std::fs::read_to_string(folder.join(path)).unwrap();
    let blocks = guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let script: String = blocks.collect();
    assert!(script.lines().count() > 60, "{script}");
    script
}

/// Follows them with bash, in a folder for temporary files of its own.
pub(crate) fn follow(folder: &Path, script: &str) -> Output {
    let temporary = tempfile::tempdir().unwrap();
    Command::new("bash")
        .args(["-c", script])
        .current_dir(folder)
        .env("TMPDIR", temporary.path())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap()
}

/// Every file below a folder, by its path there.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    fn add(root: &Path, at: &Path, all: &mut Vec<String>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                add(root, &path, all);
            } else {
                all.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut all = Vec::new();
    add(folder, folder, &mut all);
    all.sort();
    all
}
