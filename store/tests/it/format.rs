//! The promise about formats: a store that an older version wrote keeps opening.

use std::fs;
use std::path::Path;

use colophon_model::{BuildRecord, UnixMillis};
use colophon_store::rows::{TenantHead, TenantRow};
use colophon_store::{FsckOptions, GcOptions, Options, Pace, Store};

use crate::world::Tenant;

/// A store as version 0.1 wrote it: two tenants, five builds, blobs in the metadata and in a
/// segment. Never made anew.
const FORMAT_1: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/stores/format-1.tar.zst");

fn unpack(archive: &str, to: &Path) {
    let packed = fs::File::open(archive).unwrap();
    let tar = zstd::stream::read::Decoder::new(packed).unwrap();
    tar::Archive::new(tar).unpack(to).unwrap();
}

#[test]
fn a_store_of_format_1_opens_whole_and_is_raised() {
    let dir = tempfile::tempdir().unwrap();
    unpack(FORMAT_1, dir.path());
    let data = dir.path().join("data");
    assert_eq!(fs::read_to_string(data.join("FORMAT")).unwrap(), "colophon store 1\n");
    let store = Store::open(&data, &Options::default()).unwrap();
    assert_eq!(fs::read_to_string(data.join("FORMAT")).unwrap(), "colophon store 3\n");

    let options = FsckOptions { read_blobs: true, repair: false, pace: Pace::FULL };
    let report = store.fsck(&options, None, &|_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.tenants, report.blobs, report.rows), (2, 67, 517));

    let view = store.view().unwrap();
    let tenants: Vec<TenantRow> = view.scan::<TenantRow>(&()).map(|row| row.unwrap().1).collect();
    let slugs: Vec<&str> = tenants.iter().map(|tenant| tenant.slug.as_str()).collect();
    assert_eq!(slugs, ["acme-inc", "beta-co"]);
    let head = view.get::<TenantHead>(&tenants[0].uid).unwrap().unwrap();
    assert_eq!(head.builds, 4);
    let ids: Vec<String> = view
        .scan::<BuildRecord>(&tenants[1].uid)
        .map(|row| row.unwrap().1.id.to_string())
        .collect();
    assert_eq!(ids, ["7a0a247758ed57aa96a1a72a7ad821e2"]);
}

/// Old tenants and new ones live together: a collection takes nothing that the old ones name.
#[test]
fn a_raised_store_is_collected_and_written_to() {
    let dir = tempfile::tempdir().unwrap();
    unpack(FORMAT_1, dir.path());
    let store = Store::open(&dir.path().join("data"), &Options::default()).unwrap();
    let now = UnixMillis::new(1_900_000_000_000);
    let tenant = Tenant::create(&store, 9, now);
    tenant.build(&store, b"new", now);
    let options = GcOptions { grace_millis: 0, ..GcOptions::at(now) };
    store.gc(&options, &|_| {}).unwrap();
    // Superseded versions of `timestamp.json` and a zip that was stored, of each tenant.
    assert_eq!(store.gc(&options, &|_| {}).unwrap().deleted, 4);
    let options = FsckOptions { read_blobs: true, repair: false, pace: Pace::FULL };
    let report = store.fsck(&options, None, &|_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}
