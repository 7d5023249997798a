//! A-22 with a disk that is really full: a small tmpfs, which only root can mount.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bundles::{Agent, Tenant, bundle, large_bundle};

/// A file system of so many bytes on a folder, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where it cannot be mounted.
    fn mount(folder: &Path, bytes: u32) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let size = format!("size={bytes}");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder);
        command.status().is_ok_and(|status| status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

#[test]
fn a_disk_that_is_really_full() {
    let tenant = Tenant::new();
    let agent = Agent::new();
    let Some(_disk) = SmallDisk::mount(&agent.home(), 1 << 20) else {
        eprintln!("NOT RUN: no tmpfs can be mounted here");
        return;
    };
    tenant.publish(1, &[bundle(1, &[("main.py", "one")])]);
    assert_eq!(agent.enroll(&tenant.server.url, "acme", &tenant.root()).code, 0);
    agent.expect(&["apply"], 0);
    tenant.publish(2, &[large_bundle(2)]);
    // Less and less room: the download, the objects and the generation meet the end of the disk.
    for left in [0, 4, 40, 120, 200] {
        fill(&agent.home().join("ballast"), left << 10);
        let run = agent.run(&["apply"]);
        assert_eq!(run.code, 14, "{left} KiB left: {}", run.stderr);
        assert_eq!(agent.active_file("main.py"), "one");
        agent.expect(&["verify"], 0);
    }
    std::fs::remove_file(agent.home().join("ballast")).unwrap();
    agent.expect(&["apply"], 0);
    assert_eq!(agent.active_file("main.py"), "print('hello')\n");
}

/// Fills the disk but for `left` bytes, which are a multiple of a page.
fn fill(ballast: &Path, left: u64) {
    use std::io::Write;
    let mut file = std::fs::File::create(ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(left)).unwrap();
}
