//! An operator's folder of templates, read once at start.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use colophon_compiler::{Compiler, TemplateFiles};

/// Largest file, in bytes.
const LARGEST: u64 = 1 << 20;
/// Most files.
const MOST: usize = 1_000;

/// A compiler with the built-in templates, and those of `dir` in their place. Names every file that
/// cannot be used, with what is wrong with it.
pub fn compiler(dir: Option<&Path>) -> anyhow::Result<Compiler> {
    let files = dir.map(read).transpose()?.unwrap_or_default();
    let place = dir.map_or_else(String::new, |dir| format!(" in `{}`", dir.display()));
    Compiler::with_templates(&files).with_context(|| format!("cannot use the templates{place}"))
}

/// Every file below `dir`, by its name there with `/` between the parts. What begins with a dot and
/// a `README.md` at the top are left out.
fn read(dir: &Path) -> anyhow::Result<TemplateFiles> {
    let mut files = TemplateFiles::new();
    collect(dir, "", &mut files)?;
    files.remove("README.md");
    Ok(files)
}

fn collect(dir: &Path, prefix: &str, files: &mut TemplateFiles) -> anyhow::Result<()> {
    let unread = || format!("cannot read the templates in `{}`", dir.display());
    for entry in fs::read_dir(dir).with_context(unread)? {
        let path = entry.with_context(unread)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            bail!("the name of template `{}` is not UTF-8", path.display());
        };
        let name = format!("{prefix}{name}");
        if name.rsplit('/').next().is_some_and(|last| last.starts_with('.')) {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else if files.len() == MOST {
            bail!("`{}` holds more than {MOST} files", dir.display());
        } else {
            files.insert(name, text(&path)?);
        }
    }
    Ok(())
}

fn text(path: &Path) -> anyhow::Result<String> {
    let unread = || format!("cannot read template `{}`", path.display());
    if fs::metadata(path).with_context(unread)?.len() > LARGEST {
        bail!("template `{}` is larger than {LARGEST} bytes", path.display());
    }
    fs::read_to_string(path).with_context(unread)
}
