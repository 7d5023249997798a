//! Memory of whoever reads an export: bounded whatever the size of a blob. The program runs on exports with blobs each of
//! which is larger than what a check may take, and two of which are larger than what an import may.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use colophon::export::envelope::{Identity, Opener, Sealer};
use colophon::export::layout;
use colophon_model::{Digest, Sha256};
use serde_json::json;

use crate::support::export::{export, seal};
use crate::support::forge::Forge;
use crate::support::process::{run_measured, told};
use crate::support::{TestServer, small_flow};

/// Of one blob, in bytes.
const SIZE: usize = 64 << 20;
/// Blobs of a plain export. They are holes for the most part: files that take no room on the disk.
const PLAIN: u8 = 8;
/// Blobs of a sealed one, which take room.
const SEALED: u8 = 4;
/// What is enough beside what the program takes for an export without large blobs, in MiB: not one blob is read whole.
const PIECES: u64 = 32;
/// The same where a blob has to be whole to be stored: room for one, and not for two.
const ONE: u64 = 2 * (SIZE as u64 >> 20) - 1;

/// An export in one bag that was changed, of a server that is gone on with.
struct Site {
    server: TestServer,
    forge: Forge,
    /// The tenant's key, when it is sealed.
    identity: Option<(Identity, PathBuf)>,
}

impl Site {
    fn plain() -> Self {
        Self::of(TestServer::start(), |_| None)
    }

    fn sealed() -> Self {
        let operator = Identity::generate().unwrap();
        Self::of(TestServer::with(|config| seal(config, &operator)), |server| {
            let file = server.path("tenant.key");
            let out = file.display().to_string();
            told(&server.data(), &["export", "identity", "--tenant", "acme-inc", "--out", &out]);
            let identity = Identity::parse_all(&fs::read_to_string(&file).unwrap()).unwrap();
            Some((identity[0].clone(), file))
        })
    }

    fn of(
        server: TestServer,
        identity: impl FnOnce(&TestServer) -> Option<(Identity, PathBuf)>,
    ) -> Self {
        let tenant = server.tenant("acme-inc");
        assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "a")).status, 201);
        let from = server.path("evidence");
        export(&server, &format!("file://{}", from.display()), "acme-inc");
        let forge = Forge::copy(&server, &from, &server.path("forged"));
        let identity = identity(&server);
        Self { server, forge, identity }
    }

    /// Puts `count` large blobs into the export, and into its only build as files of its branch.
    fn enlarge(&self, count: u8) {
        let files: Vec<(Digest, String)> = (0..count).map(|number| self.blob(number)).collect();
        let lists = files.iter().map(|(_, line)| format!("{line}\n")).collect::<Vec<_>>().concat();
        self.edit(layout::BLOB_LIST, |text| text + &lists);
        if self.identity.is_some() {
            self.forge.edit(layout::OBJECTS, |text| {
                let objects = lists.lines().map(|line| {
                    let parts: Vec<&str> = line.split(' ').collect();
                    format!("{} {} {}\n", parts[0], parts[1], parts[3])
                });
                text + &objects.collect::<Vec<_>>().concat()
            });
        }
        self.edit(layout::BUILDS, |text| {
            let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
            let branch = record["outputs"][0]["files"].as_array_mut().unwrap();
            for (number, (digest, _)) in files.iter().enumerate() {
                let path = format!("large/{number}");
                let digest = digest.to_string();
                branch.push(json!({"digest": digest, "mode": branch[0]["mode"], "path": path, "size": SIZE}));
            }
            format!("{record}\n")
        });
        self.forge.seal(&[]);
    }

    fn key(&self) -> String {
        self.identity.as_ref().map_or_else(|| "-".to_owned(), |(key, _)| key.id().to_string())
    }

    /// Writes a large blob; returns its digest, and its line in the list.
    fn blob(&self, number: u8) -> (Digest, String) {
        let mut plain = vec![0; SIZE];
        plain[SIZE - 1] = number;
        let object = match &self.identity {
            Some((identity, _)) => Sealer::new(identity).seal(&plain).to_vec(),
            None => plain.clone(),
        };
        let (digest, sha256) = (Digest::of(&plain), Sha256::of(&object));
        let at = self.forge.folder.join(layout::blob(&sha256));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        if self.identity.is_some() {
            fs::write(&at, &object).unwrap();
        } else {
            hole(&at, number);
        }
        let line =
            format!("{sha256} {} {digest} {} trees/large/{number}", object.len(), self.key());
        (digest, line)
    }

    /// Changes a file of the bag, sealed or not.
    fn edit(&self, path: &str, change: impl FnOnce(String) -> String) {
        let Some((identity, _)) = &self.identity else { return self.forge.edit(path, change) };
        let at = self.forge.bag.join(format!("{path}{}", layout::SEALED));
        let opened = Opener::new([identity.clone()]).open(&fs::read(&at).unwrap()).unwrap();
        let changed = change(String::from_utf8(opened.to_vec()).unwrap());
        fs::write(at, Sealer::new(identity).seal(changed.as_bytes())).unwrap();
    }

    fn verify(&self) -> (Output, u64) {
        self.run(&["export", "verify"], &self.server.data())
    }

    /// With an empty data directory.
    fn import(&self) -> (Output, u64) {
        let data = tempfile::tempdir().unwrap();
        self.run(&["import", "--key-as-found", "--new-master", "--tenant", "acme-inc"], data.path())
    }

    fn run(&self, command: &[&str], data: &Path) -> (Output, u64) {
        let from = format!("file://{}", self.server.path("forged").display());
        let mut args = [command, &[&from]].concat();
        let file = self.identity.as_ref().map(|(_, file)| file.display().to_string());
        args.extend(file.iter().flat_map(|file| ["--identity", file]));
        run_measured(data, &args)
    }
}

/// What [`Site::blob`] makes, but for its last byte a hole.
fn hole(at: &Path, number: u8) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::create(at).unwrap();
    file.write_all_at(&[number], SIZE as u64 - 1).unwrap();
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

/// Checks the export before and after blobs were put into it, each of which is larger than the memory that the check may
/// take for all of them.
fn check_takes_no_blob_whole(site: &Site, count: u8) {
    let (output, little) = site.verify();
    assert!(output.status.success(), "{}", said(&output));
    site.enlarge(count);
    let (output, most) = site.verify();
    assert!(output.status.success(), "{}", said(&output));
    assert!(most < little + PIECES, "{most} MiB, and {little} MiB without large blobs");
}

#[test]
fn a_check_reads_plain_blobs_in_pieces() {
    check_takes_no_blob_whole(&Site::plain(), PLAIN);
}

#[test]
fn a_check_reads_and_opens_sealed_blobs_in_pieces() {
    check_takes_no_blob_whole(&Site::sealed(), SEALED);
}

/// A list is read whole, up to a bound. Of one that is longer nothing passes unseen behind the bound.
#[test]
fn a_list_that_is_too_long_is_told_and_not_cut() {
    let site = Site::plain();
    let list = fs::File::create(site.forge.bag.join(layout::OMITTED)).unwrap();
    list.set_len((64 << 20) + 1).unwrap();
    drop(list);
    site.forge.seal(&[]);
    let (output, _) = site.verify();
    let said = said(&output);
    assert!(!output.status.success() && said.contains("may have 67108864"), "{said}");
}

/// An import has blobs of no more than 48 MiB in memory, or one that is larger: all of these at once would be more.
#[test]
fn an_import_holds_one_large_blob_at_a_time() {
    for (site, count) in [(Site::plain(), PLAIN), (Site::sealed(), SEALED)] {
        let (output, little) = site.import();
        assert!(output.status.success(), "{}", said(&output));
        site.enlarge(count);
        let (output, most) = site.import();
        // The tree of that output is another one; that is seen once its files are stored.
        assert!(said(&output).contains("not those of its tree"), "{}", said(&output));
        assert!(most < little + ONE, "{most} MiB, and {little} MiB without large blobs");
    }
}
