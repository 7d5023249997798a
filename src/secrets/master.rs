//! The master key, from the data directory or from where the configuration says.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::{SecretRef, Secrets};
use crate::config::Config;
use crate::keys::MasterKey;

/// The master key; `None` when the data directory should have it and has none. One that is kept
/// elsewhere is never made here.
pub fn master_key(config: &Config, secrets: &Secrets) -> anyhow::Result<Option<MasterKey>> {
    let Some(from) = &config.keys.master else { return MasterKey::load(&config.data) };
    let from: SecretRef = from.parse().context("`keys.master`")?;
    let text = secrets.read(&from).context("the master key cannot be read")?;
    let key = MasterKey::parse(text.reveal()).with_context(|| format!("what `{from}` holds"))?;
    if MasterKey::load(&config.data)?.is_some_and(|there| there.id() != key.id()) {
        bail!(
            "`{from}` is not the master key that `{}` has in `keys/master.key`; with another one \
             every webhook secret and every pinned root would be void",
            config.data.display()
        );
    }
    Ok(Some(key))
}

/// Makes sure that a key that is kept elsewhere is the one that this data directory began with, and
/// remembers which one that is.
pub fn check_key(config: &Config, key: &MasterKey) -> anyhow::Result<()> {
    let path = config.data.join("keys").join("master.id");
    let known = known(&path)?;
    let id = key.id();
    if known.as_deref() == Some(&id) {
        return Ok(());
    }
    if let (Some(_), Some(from)) = (&known, &config.keys.master) {
        bail!(
            "what `{from}` holds is not the master key of `{}`; with another one every webhook \
             secret and every pinned root would be void",
            config.data.display()
        );
    }
    // The file in the data directory is believed, as it always was.
    let write = || {
        fs::create_dir_all(config.data.join("keys"))?;
        fs::write(&path, format!("{id}\n"))
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

fn known(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::KeysConfig;

    fn load(config: &Config) -> anyhow::Result<Option<MasterKey>> {
        let key = master_key(config, &Secrets::new(&config.secrets, Arc::new(SystemClock)))?;
        key.iter().try_for_each(|key| check_key(config, key))?;
        Ok(key)
    }

    /// A key is moved out of the data directory, and from then on no other is taken for it.
    #[test]
    fn a_key_is_moved_away_and_another_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let inside = Config { data: dir.path().join("data"), ..Config::default() };
        assert!(load(&inside).unwrap().is_none());
        let key = MasterKey::create(&inside.data).unwrap();
        assert_eq!(load(&inside).unwrap().unwrap().id(), key.id());

        let place = dir.path().join("master");
        let master = Some(format!("file:{}", place.display()));
        let outside = Config { keys: KeysConfig { master }, ..inside.clone() };
        let told = format!("{:#}", load(&outside).unwrap_err());
        assert!(told.contains("cannot be read"), "{told}");
        let old = inside.data.join("keys/master.key");
        let digits = std::fs::read_to_string(&old).unwrap();
        std::fs::write(&place, "7".repeat(64)).unwrap();
        let told = format!("{:#}", load(&outside).unwrap_err());
        assert!(told.contains("is not the master key"), "{told}");
        std::fs::write(&place, &digits).unwrap();
        assert_eq!(load(&outside).unwrap().unwrap().id(), key.id());

        std::fs::remove_file(&old).unwrap();
        assert_eq!(load(&outside).unwrap().unwrap().id(), key.id());
        std::fs::write(&place, "7".repeat(64)).unwrap();
        let told = format!("{:#}", load(&outside).unwrap_err());
        assert!(told.contains("is not the master key"), "{told}");
        std::fs::write(&place, "abc").unwrap();
        let told = format!("{:#}", load(&outside).unwrap_err());
        assert!(told.contains("64 hex digits") && !told.contains("abc"), "{told}");
    }
}
