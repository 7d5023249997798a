//! Exports that somebody changes with the right key in hand.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use colophon_model::Sha256;
use colophon_trust::detached::DetachedKey;
use data_encoding::BASE64;
use serde_json::Value;

use super::TestServer;
use super::export::files;

/// An export in one bag, and the key that signed it.
pub(crate) struct Forge {
    /// The tenant's.
    pub(crate) folder: PathBuf,
    /// The bag's.
    pub(crate) bag: PathBuf,
    pub(crate) key: Rc<DetachedKey>,
}

impl Forge {
    /// Of an export of the tenant `acme-inc` in a folder, in another one.
    pub(crate) fn copy(server: &TestServer, from: &Path, to: &Path) -> Self {
        for file in files(from) {
            let path = to.join(&file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(from.join(&file), path).unwrap();
        }
        let folder = to.join("v1/acme-inc");
        let bag = fs::read_dir(folder.join("exports")).unwrap().next().unwrap().unwrap().path();
        Self { folder, bag, key: Rc::new(server.app.press.keys.export_key()) }
    }

    /// Changes a file of the bag.
    pub(crate) fn edit(&self, path: &str, change: impl FnOnce(String) -> String) {
        let at = self.bag.join(path);
        let text = fs::read_to_string(&at).unwrap();
        let changed = change(text.clone());
        assert_ne!(changed, text, "{path} was to be changed");
        fs::write(at, changed).unwrap();
    }

    /// Makes every checksum, signature and `HEAD.json` fit what lies there now.
    pub(crate) fn seal(&self, more: &[(&str, &str)]) {
        let sum = |path: &str| Sha256::of(&fs::read(self.bag.join(path)).unwrap());
        let payload: Vec<String> =
            files(&self.bag).into_iter().filter(|path| path.starts_with("data/")).collect();
        let octets: u64 =
            payload.iter().map(|path| fs::metadata(self.bag.join(path)).unwrap().len()).sum();
        let line = |path: &String| format!("{}  {path}\n", sum(path));
        let mut manifest: String = payload.iter().map(line).collect();
        for (path, content) in more {
            let sum = Sha256::of(content.as_bytes());
            let _ = writeln!(manifest, "{sum}  {path}");
        }
        fs::write(self.bag.join("manifest-sha256.txt"), manifest).unwrap();
        let info = fs::read_to_string(self.bag.join("bag-info.txt")).unwrap();
        let oxum = format!("Payload-Oxum: {octets}.{}", payload.len() + more.len());
        let info: Vec<String> = info
            .lines()
            .map(
                |line| {
                    if line.starts_with("Payload-Oxum") { oxum.clone() } else { line.to_owned() }
                },
            )
            .collect();
        fs::write(self.bag.join("bag-info.txt"), info.join("\n") + "\n").unwrap();
        let tags = ["bag-info.txt", "bagit.txt", "manifest-sha256.txt"];
        let list: String = tags.map(|path| format!("{}  {path}\n", sum(path))).concat();
        fs::write(self.bag.join("tagmanifest-sha256.txt"), &list).unwrap();
        fs::write(self.bag.join("tagmanifest-sha256.txt.sig"), self.key.sign(list.as_bytes()))
            .unwrap();
        self.head(|head| head["tagmanifest"] = Sha256::of(list.as_bytes()).to_string().into());
    }

    /// Changes `HEAD.json`, and signs it.
    pub(crate) fn head(&self, change: impl FnOnce(&mut Value)) {
        let at = self.folder.join("HEAD.json");
        let mut head: Value = serde_json::from_slice(&fs::read(&at).unwrap()).unwrap();
        head.as_object_mut().unwrap().remove("signature");
        change(&mut head);
        head["signature"] = BASE64.encode(&self.key.sign(head.to_string().as_bytes())).into();
        fs::write(at, format!("{head}\n")).unwrap();
    }

    /// Changes the first record that `wanted` takes.
    pub(crate) fn record(&self, wanted: impl Fn(&Value) -> bool, change: impl FnOnce(&mut Value)) {
        self.edit("data/builds.jsonl", |text| {
            let mut lines: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            change(lines.iter_mut().find(|line| wanted(line)).unwrap());
            lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat()
        });
    }
}
