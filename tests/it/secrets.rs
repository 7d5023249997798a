//! Where the server's secrets are found: a real OpenBao, real SOPS with age, systemd's folder, files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use colophon::config::{SecretsConfig, SopsConfig};
use colophon::secrets::{SecretRef, Secrets};
use serde_json::{Value, json};

use crate::support::TestClock;
use crate::support::bao::{Bao, ROOT_TOKEN, peer};
use crate::support::process::ServerProcess;
use crate::support::programs::{need, program};

fn place(text: &str) -> SecretRef {
    text.parse().unwrap()
}

/// Values come from the vault, are remembered for a moment and no longer, and nothing that is secret
/// stands in an error.
#[test]
fn secrets_are_read_from_a_vault() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bao) = Bao::start(dir.path()) else { return };
    let token = dir.path().join("token");
    std::fs::write(&token, format!("{ROOT_TOKEN}\n")).unwrap();
    let clock = Arc::new(TestClock::new());
    let secrets = Secrets::new(&bao.config(&token, None), clock.clone());
    let from = place("vault:secret/colophon/acme#token");
    let said = |from: &str| secrets.read(&place(from)).unwrap_err().to_string();
    assert!(said("vault:secret/colophon/acme#token").contains("has no secret at"));

    bao.write("colophon/acme", &json!({"token": "first-value", "number": 7, "user": "robot"}));
    assert_eq!(secrets.read(&from).unwrap().reveal(), "first-value");
    bao.write("colophon/acme", &json!({"token": "second-value"}));
    assert_eq!(secrets.read(&from).unwrap().reveal(), "first-value", "remembered");
    clock.advance(29_999);
    assert_eq!(secrets.read(&from).unwrap().reveal(), "first-value");
    clock.advance(1);
    assert_eq!(secrets.read(&from).unwrap().reveal(), "second-value", "for 30 s");
    bao.write("colophon/acme", &json!({"token": "third-value", "number": 7}));
    assert_eq!(secrets.read_anew(&from).unwrap().reveal(), "third-value", "after a refusal");

    for (wrong, expected) in [
        ("vault:secret/colophon/acme#password", "has no text `password`"),
        ("vault:secret/colophon/acme#number", "has no text `number`"),
        ("vault:secret/nobody#token", "has no secret at"),
        ("vault:cubbyhole/x#token", "has no secret at"),
        ("vault:nowhere/x#token", "has no secret at"),
    ] {
        let said = said(wrong);
        assert!(said.contains(expected), "{wrong}: {said}");
        assert!(!said.contains("-value") && !said.contains(ROOT_TOKEN), "{said}");
    }
    std::fs::write(&token, "hvs.not-the-token").unwrap();
    let refused = secrets.read_anew(&from).unwrap_err().to_string();
    assert!(refused.contains("does not let this server read"), "{refused}");
    assert!(!refused.contains("not-the-token"), "{refused}");
    std::fs::remove_file(&token).unwrap();
    assert!(secrets.read_anew(&from).unwrap_err().to_string().contains("cannot be read"));
    assert_eq!(secrets.read(&from).unwrap().reveal(), "third-value", "it is still remembered");
    drop(bao);
    clock.advance(30_000);
    std::fs::write(&token, ROOT_TOKEN).unwrap();
    let gone = secrets.read(&from).unwrap_err().to_string();
    assert!(gone.contains("did not answer") && !gone.contains(ROOT_TOKEN), "{gone}");
}

/// A namespace is one of its own, with engines of its own.
#[test]
fn secrets_are_read_from_a_namespace() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bao) = Bao::start(dir.path()) else { return };
    bao.post("sys/namespaces/team", "", &json!({}));
    bao.post("sys/mounts/kv", "team", &json!({"type": "kv", "options": {"version": "2"}}));
    bao.post("kv/data/acme", "team", &json!({"data": {"token": "of-the-team"}}));
    let token = dir.path().join("token");
    std::fs::write(&token, ROOT_TOKEN).unwrap();
    let from = place("vault:kv/acme#token");
    let read = |namespace| {
        let clock = Arc::new(TestClock::new());
        Secrets::new(&bao.config(&token, namespace), clock).read(&from)
    };
    assert_eq!(read(Some("team")).unwrap().reveal(), "of-the-team");
    assert!(read(None).is_err());
}

/// SOPS decrypts with age; what is encrypted anew is read anew; and its own words are not repeated.
#[test]
fn secrets_are_read_from_files_that_sops_encrypted() {
    let Some(sops) = peer("sops") else { return };
    need("age-keygen");
    let dir = tempfile::tempdir().unwrap();
    let (key, file) = (dir.path().join("age.key"), dir.path().join("secrets.enc.json"));
    let made = Command::new("age-keygen").arg("-o").arg(&key).output().unwrap();
    assert!(made.status.success());
    let text = std::fs::read_to_string(&key).unwrap();
    let recipient = text.split("public key: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    // The server's environment would say where the key is; here a script does.
    let program = script(
        dir.path(),
        &format!("SOPS_AGE_KEY_FILE='{}' exec '{}' \"$@\"", key.display(), sops.display()),
    );
    let encrypt = |value: &Value| {
        let plain = dir.path().join("plain.json");
        std::fs::write(&plain, value.to_string()).unwrap();
        let made = Command::new(&sops)
            .args(["encrypt", "--age", &recipient, "--output"])
            .args([&file, &plain])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::remove_file(&plain).unwrap();
    };
    let config = |program: PathBuf| SecretsConfig {
        sops: SopsConfig { program },
        ..SecretsConfig::default()
    };
    let secrets = Secrets::new(&config(program), Arc::new(TestClock::new()));
    let from = |key: &str| place(&format!("sops:{}#{key}", file.display()));
    encrypt(&json!({"plain": "first-value", "mirror": {"acme": "within"}}));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("first-value"));
    assert_eq!(secrets.read(&from("plain")).unwrap().reveal(), "first-value");
    assert_eq!(secrets.read(&from("mirror.acme")).unwrap().reveal(), "within");
    encrypt(&json!({"plain": "second-value"}));
    assert_eq!(secrets.read(&from("plain")).unwrap().reveal(), "second-value");

    let missing = secrets.read(&from("nothing")).unwrap_err().to_string();
    assert!(missing.contains("failed") && !missing.contains("value"), "{missing}");
    let keyless = script(dir.path(), &format!("exec '{}' \"$@\"", sops.display()));
    let secrets = Secrets::new(&config(keyless), Arc::new(TestClock::new()));
    let refused = secrets.read(&from("plain")).unwrap_err().to_string();
    assert!(refused.contains("failed"), "{refused}");
    let loud = script(dir.path(), "echo hunter2 >&2; echo hunter2; exit 3");
    let secrets = Secrets::new(&config(loud), Arc::new(TestClock::new()));
    let refused = secrets.read(&from("plain")).unwrap_err().to_string();
    assert!(refused.contains("failed") && !refused.contains("hunter2"), "{refused}");
    let endless = script(dir.path(), "exec yes hunter2");
    let secrets = Secrets::new(&config(endless), Arc::new(TestClock::new()));
    let refused = secrets.read(&from("plain")).unwrap_err().to_string();
    assert!(!refused.contains("hunter2"), "{refused}");
    let absent = Secrets::new(&config(dir.path().join("absent")), Arc::new(TestClock::new()));
    assert!(absent.read(&from("plain")).unwrap_err().to_string().contains("cannot be started"));
}

/// A program of one line.
fn script(dir: &Path, line: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let mut name = String::from("script");
    while dir.join(&name).exists() {
        name.push('x');
    }
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// `colophon` with a configuration file and a folder of credentials.
fn colophon(data: &Path, config: &Path, credentials: &Path, args: &[&str]) -> Output {
    Command::new(program("colophon"))
        .args(args)
        .args([Path::new("--data"), data, Path::new("--config"), config])
        .env("COLOPHON_GATES_SMOKE", "off")
        .env("COLOPHON_SPACE_LOW", "0")
        .env("CREDENTIALS_DIRECTORY", credentials)
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

/// The master key comes from systemd or a vault and is nowhere in the data directory; the command line
/// finds it too, and a server runs on it.
#[test]
fn the_master_key_may_be_kept_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (dir.path().join("data"), dir.path().join("colophon.toml"));
    let credentials = dir.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(&config, "[keys]\nmaster = \"systemd:colophon.master\"\n").unwrap();
    let run = |args: &[&str]| colophon(&data, &config, &credentials, args);
    let create = ["tenant", "create", "acme", "--token", "git"];
    let refused = run(&create);
    assert!(!refused.status.success());
    assert!(told(&refused).contains("the master key cannot be read"), "{}", told(&refused));
    assert!(!run(&["check-config"]).status.success(), "that is told before the start too");

    let digits = hex_digits(5);
    std::fs::write(credentials.join("colophon.master"), format!("{digits}\n")).unwrap();
    let made = run(&create);
    assert!(made.status.success(), "{}", told(&made));
    let keys: Vec<_> =
        std::fs::read_dir(data.join("keys")).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(keys, ["master.id"], "no key in the data directory");
    assert!(!told(&run(&["check-config"])).contains(&digits));

    let (config_arg, credentials_arg) =
        (config.display().to_string(), credentials.display().to_string());
    let mut server = ServerProcess::spawn(
        &data,
        &["--config", &config_arg],
        &[("CREDENTIALS_DIRECTORY", credentials_arg.as_str())],
        Stdio::inherit(),
    );
    let shown = run(&["tenant", "show", "acme"]);
    assert!(told(&shown).contains("state        active"), "{}", told(&shown));
    assert!(server.terminate().success());

    std::fs::write(credentials.join("colophon.master"), hex_digits(6)).unwrap();
    let other = run(&["tenant", "list"]);
    assert!(told(&other).contains("is not the master key of"), "{}", told(&other));
    assert!(!told(&other).contains(&hex_digits(6)), "{}", told(&other));

    let Some(bao) = Bao::start(dir.path()) else { return };
    bao.write("colophon", &json!({"master": digits}));
    let token = dir.path().join("token");
    std::fs::write(&token, ROOT_TOKEN).unwrap();
    let mut text = String::from("[keys]\nmaster = \"vault:secret/colophon#master\"\n");
    write!(
        text,
        "[secrets.vault]\naddress = \"{}\"\ntoken = \"file:{}\"\n",
        bao.url,
        token.display()
    )
    .unwrap();
    std::fs::write(&config, text).unwrap();
    let listed = run(&["tenant", "list"]);
    assert!(told(&listed).contains("acme"), "{}", told(&listed));
}

/// 64 digits of a key.
fn hex_digits(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}
