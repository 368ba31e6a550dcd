//! Writing a file whole: under another name first, then renamed, so that neither
//! a reader nor a crash ever meets half of it.

use std::io::{Error, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Readable for everybody, as any file is that a user writes.
const MODE: u32 = 0o644;

/// Writes a value as JSON for people and machines, and makes the folder for it.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    let folder = folder(path);
    std::fs::create_dir_all(folder)?;
    let mut whole = tempfile::NamedTempFile::new_in(folder)?;
    whole.write_all(&text)?;
    whole
        .as_file()
        .set_permissions(PermissionsExt::from_mode(MODE))?;
    whole.persist(path)?;
    Ok(())
}

/// Sees that a file can be written there.
pub(crate) fn try_writing(path: &Path) -> Result<(), Error> {
    let folder = folder(path);
    std::fs::create_dir_all(folder)?;
    tempfile::NamedTempFile::new_in(folder).map(drop)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
