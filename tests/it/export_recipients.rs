//! Copies of a tenant's key for services: a real OpenBao, and AWS KMS as moto has it. What the server has wrapped is opened by the
//! commands of docs/export.md, run as they stand there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use colophon::export::envelope::Identity;
use colophon::maintenance::{Erase, Site, perform};
use serde_json::{Value, json};

use crate::support::bao::{Bao, ROOT_TOKEN, peer};
use crate::support::export::{check, export, files, job, run};
use crate::support::programs::{cache, need, program};
use crate::support::s3::{self, Store};
use crate::support::{TestServer, agent, read, small_flow};

const GUIDE: &str = include_str!("../../docs/export.md");

/// The block of commands in the guide that has `word` in it.
fn commands(word: &str) -> &'static str {
    let mut blocks = GUIDE.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains(word)).unwrap()
}

/// Runs them in a folder with `copy.json` in it, with `before` before them.
fn follow(dir: &Path, before: &str, script: &str, env: &[(&str, String)]) -> Output {
    let script = format!("set -euo pipefail\n{before}\n{script}");
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(dir).envs(env.iter().cloned());
    command.output().unwrap()
}

/// The copies in a folder that end so, by name.
fn copies(folder: &Path, end: &str) -> Vec<PathBuf> {
    let found = files(folder).into_iter().filter(|name| name.ends_with(end));
    found.map(|name| folder.join(name)).collect()
}

fn document(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A vault with keys of each kind, and a token that may encrypt with them and do nothing else.
fn vault(dir: &Path) -> Option<(Bao, PathBuf)> {
    let bao = Bao::start(dir)?;
    bao.post("sys/mounts/transit", "", &json!({"type": "transit"}));
    bao.post("transit/keys/plain", "", &json!({}));
    bao.post("transit/keys/derived", "", &json!({"derived": true}));
    bao.post("transit/keys/rsa", "", &json!({"type": "rsa-2048"}));
    let policy = "path \"transit/encrypt/*\" { capabilities = [\"update\"] }";
    bao.post("sys/policies/acl/wrap", "", &json!({"policy": policy}));
    let token = bao.post("auth/token/create", "", &json!({"policies": ["wrap"]}));
    let file = dir.join("token");
    fs::write(&file, token["auth"]["client_token"].as_str().unwrap()).unwrap();
    Some((bao, file))
}

/// A copy for each key of the engine becomes the tenant's identity by the guide's commands, for whoever the vault lets decrypt; the
/// server may not. Taken for another tenant's it does not open. Shredding destroys it.
#[test]
fn a_vault_wraps_copies_that_its_own_tool_opens() {
    let dir = tempfile::tempdir().unwrap();
    let Some((bao, token)) = vault(dir.path()) else { return };
    need("jq");
    let server = TestServer::with(|config| {
        let wrapped = config.data.with_file_name("wrapped");
        config.secrets = bao.config(&token, None);
        config.export.encrypt = true;
        config.export.keys = Some(format!("file://{}", wrapped.display()).parse().unwrap());
        config.export.recipients = ["plain", "derived", "rsa"]
            .map(|key| format!("vault:transit/{key}").parse().unwrap())
            .into();
    });
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "a")).status, 201);
    let to = format!("file://{}", server.path("evidence").display());
    assert_eq!(export(&server, &to, "acme-inc"), 1);
    let (found, wrapped) = (check(&server, &to, "acme-inc"), server.path("wrapped"));
    let key = found.sealed[0].to_string();
    let all = copies(&wrapped, ".json");
    assert_eq!(all.len(), 3, "{:?}", files(&wrapped));
    let tool = format!("vault() {{ '{}' \"$@\"; }}", peer("bao").unwrap().display());
    let env = |token: &str| {
        let path = std::env::var("PATH").unwrap();
        [
            ("BAO_ADDR", bao.url.clone()),
            ("BAO_TOKEN", token.to_owned()),
            ("HOME", "/nonexistent".to_owned()),
            ("PATH", path),
        ]
    };
    let own = fs::read_to_string(&token).unwrap();
    for copy in &all {
        let said = document(copy);
        let name = said["key"].as_str().unwrap().strip_prefix("transit/").unwrap().to_owned();
        assert_eq!(
            (&said["format"], &said["provider"], said["id"].as_str()),
            (&json!(1), &json!("vault-transit"), Some(key.as_str()))
        );
        assert_eq!(
            said.get("context").is_some(),
            name != "rsa",
            "an RSA key binds nothing: {said}"
        );
        let mut script =
            commands("vault write").replace("decrypt/colophon", &format!("decrypt/{name}"));
        if name == "rsa" {
            script = script.replace("context=\"$bound\" associated_data=\"$bound\" ", "");
        }
        let at = dir.path().join(&name);
        fs::create_dir(&at).unwrap();
        fs::copy(copy, at.join("copy.json")).unwrap();
        assert!(!follow(&at, &tool, &script, &env(&own)).status.success(), "the server's token");
        let output = follow(&at, &tool, &script, &env(ROOT_TOKEN));
        assert!(output.status.success(), "{name}: {output:?}");
        let text = fs::read_to_string(at.join("tenant.key")).unwrap();
        assert_eq!(Identity::parse_all(&text).unwrap()[0].id().to_string(), key);
        if name != "rsa" {
            let mut other = said.clone();
            other["context"]["colophon-tenant"] = json!("another");
            fs::write(at.join("copy.json"), other.to_string()).unwrap();
            assert!(!follow(&at, &tool, &script, &env(ROOT_TOKEN)).status.success(), "{name}");
        }
    }
    an_engine_that_refuses_is_told(&server, &to);
    let job = Erase {
        slug: "acme-inc".parse().unwrap(),
        confirm: "acme-inc".to_owned(),
        approved_by: None,
        leave_keys: false,
    };
    let site = Site { press: &server.app.press, config: &server.app.config };
    let report = perform(&job, site, &|_| {}).unwrap();
    assert_eq!(files(&wrapped), Vec::<String>::new());
    assert_eq!(report.statement.shredded.unwrap().keys[0].deleted, 3);
}

/// What the server may not, or there is not, ends the export before anything is sealed, with the vault's name and no secret.
fn an_engine_that_refuses_is_told(server: &TestServer, to: &str) {
    let bags = check(server, to, "acme-inc").bags;
    for (recipient, expected) in [
        ("vault:transit/never-made", "does not let this server encrypt"),
        ("vault:elsewhere/key", "does not let this server encrypt"),
    ] {
        let mut config = server.app.config.clone();
        config.export.recipients = vec![recipient.parse().unwrap()];
        let site = Site { press: &server.app.press, config: &config };
        let error = perform(&job(to, "acme-inc"), site, &|_| {}).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("AGE-SECRET"), "{recipient}: {error}");
    }
    assert_eq!(check(server, to, "acme-inc").bags, bags);
    assert!(run(server, &job(to, "acme-inc")).is_ok(), "as it was before");
}

/// A settings file, and a folder for a store of its own.
struct Press {
    dir: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
}

impl Press {
    fn colophon(&self, args: &[&str]) -> Output {
        Command::new(program("colophon"))
            .args(args)
            .arg("--config")
            .arg(self.dir.path().join("c.toml"))
            .arg("--data")
            .arg(self.dir.path().join("data"))
            .envs(self.env.iter().cloned())
            .env("COLOPHON_SPACE_LOW", "0")
            .output()
            .unwrap()
    }

    fn settings(&self, recipients: &[&str]) {
        let keys = self.dir.path().join("wrapped");
        let text = format!(
            "[export]\nencrypt = true\nattempts = 2\nkeys = \"file://{}\"\nrecipients = {}\n",
            keys.display(),
            json!(recipients)
        );
        fs::write(self.dir.path().join("c.toml"), text).unwrap();
    }

    fn must(&self, args: &[&str]) -> String {
        let output = self.colophon(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Somebody who may use KMS alone; from here on the store checks signatures and rights.
fn user(store: &Store) -> (String, String) {
    let rights =
        json!({"Effect": "Allow", "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*"});
    let policy = json!({"Version": "2012-10-17", "Statement": [rights]}).to_string();
    store.must(&["iam", "create-user", "--user-name", "press"]);
    let put = ["iam", "put-user-policy", "--user-name", "press", "--policy-name", "kms"];
    store.must(&[&put[..], &["--policy-document", &policy]].concat());
    let made = store.must(&["iam", "create-access-key", "--user-name", "press"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let text = |name: &str| made["AccessKey"][name].as_str().unwrap().to_owned();
    let answer =
        read(agent().post(format!("{}/moto-api/reset-auth", store.url())).send("0").unwrap());
    assert_eq!(answer.status, 200);
    (text("AccessKeyId"), text("SecretAccessKey"))
}

/// KMS wraps a copy beside age's; stock `aws kms decrypt` gives the identity back, with which stock `age` opens what was exported.
/// With the context of another tenant it does not. Refusals name the key and what KMS said, in `doctor` and in the export.
#[test]
fn kms_wraps_copies_that_stock_aws_opens() {
    need("age");
    need("jq");
    let Some(store) = Store::moto() else { return };
    let made = store.must(&["kms", "create-key", "--query", "KeyMetadata.Arn", "--output", "text"]);
    let arn = made.trim();
    store.must(&["kms", "create-alias", "--alias-name", "alias/colophon", "--target-key-id", arn]);
    let operator = Identity::generate().unwrap().id().to_string();
    let (id, secret) = user(&store);
    let env = |secret| s3::environment(&store.url(), (&id, secret));
    let mut site = Press { dir: tempfile::tempdir().unwrap(), env: env("another") };
    site.settings(&[&operator, "awskms:alias/colophon"]);
    let findings = String::from_utf8(site.colophon(&["doctor"]).stdout).unwrap();
    assert!(findings.contains("403 Forbidden"), "signatures are checked: {findings}");
    site.env = env(&secret);
    site.must(&["tenant", "create", "acme-inc"]);
    let path = |name: &str| site.dir.path().join(name);
    let to = format!("file://{}", path("evidence").display());
    site.must(&["export", &to, "--tenant", "acme-inc"]);
    assert_eq!(copies(&path("wrapped"), ".age").len(), 1);
    let all = copies(&path("wrapped"), ".json");
    let [copy] = all.as_slice() else { panic!("{all:?}") };
    let said = document(copy);
    assert_eq!((&said["provider"], said["key"].as_str()), (&json!("aws-kms"), Some(arn)));
    fs::copy(copy, path("copy.json")).unwrap();

    let bin = cache().join("s3/bin");
    let aws = format!("aws() {{ '{0}/python' '{0}/aws' \"$@\"; }}", bin.display());
    let script = commands("aws kms decrypt");
    let output = follow(site.dir.path(), &aws, script, &site.env);
    assert!(output.status.success(), "{output:?}");
    let bags = files(&path("evidence"));
    let sealed = bags.iter().find(|name| name.ends_with("data/tenant.json.age")).unwrap();
    let mut age = Command::new("age");
    age.arg("-d").arg("-i").arg(path("tenant.key")).arg(path("evidence").join(sealed));
    let opened = age.output().unwrap();
    assert!(String::from_utf8_lossy(&opened.stdout).contains("acme-inc"), "{opened:?}");
    let mut other = said.clone();
    other["context"]["colophon-tenant"] = json!("another");
    fs::write(path("copy.json"), other.to_string()).unwrap();
    assert!(!follow(site.dir.path(), &aws, script, &site.env).status.success(), "another tenant's");

    let findings = String::from_utf8(site.colophon(&["doctor"]).stdout).unwrap();
    assert!(findings.contains("`awskms:alias/colophon` encrypts"), "{findings}");
    site.settings(&[&operator, "awskms:alias/nothing"]);
    let findings = String::from_utf8(site.colophon(&["doctor"]).stdout).unwrap();
    assert!(
        findings.contains("alias/nothing") && findings.contains("NotFoundException"),
        "{findings}"
    );
    let refused = site.colophon(&["export", &to, "--tenant", "acme-inc", "--json"]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned()
        + &String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("NotFoundException"), "{said}");
    assert_eq!(copies(&path("wrapped"), ".json"), all, "what is there stays until others are");
    site.must(&["tenant", "erase", "acme-inc", "--confirm", "acme-inc"]);
    assert_eq!(files(&path("wrapped")), Vec::<String>::new());
}

/// `check-config` names what cannot be: no vault for a key of one, a recipient that is none, one that stands twice.
#[test]
fn check_config_names_recipients_that_cannot_be() {
    let site = Press { dir: tempfile::tempdir().unwrap(), env: Vec::new() };
    for (recipients, expected) in [
        (vec!["vault:transit/x"], "`secrets.vault.address` names none"),
        (vec!["vault:x"], "MOUNT/NAME"),
        (vec!["awskms:arn:aws:s3:::x"], "no key of AWS KMS"),
        (vec!["awskms:alias/x", "awskms:alias/x"], "has one twice"),
    ] {
        site.settings(&recipients);
        let output = site.colophon(&["check-config"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(expected), "{recipients:?}: {said}");
    }
}
