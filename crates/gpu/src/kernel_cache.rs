//! The kernels that TensorRT-RTX compiled for an engine on this machine, kept from run to run: without them every start compiles
//! them again. They are code, so they lie in the user's cache folder and not in the package's. Nothing depends on their being there:
//! what is wrong is logged and compiled anew.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::folders;

/// The kernels kept for the engine of this fingerprint; nothing where there are none.
pub fn read(fingerprint: &str) -> Vec<u8> {
    folders::cache().map(|folder| read_in(&folder, fingerprint)).unwrap_or_default()
}

/// Keeps them. Nothing is written where there are none.
pub fn write(fingerprint: &str, kernels: &[u8]) {
    let Ok(folder) = folders::cache() else { return };
    if let Err(reason) = write_in(&folder, fingerprint, kernels) {
        tracing::warn!(%reason, folder = %folder.display(), "compiled kernels are not kept");
    }
}

fn name(fingerprint: &str) -> String {
    format!("{fingerprint}.kernels")
}

fn read_in(folder: &Path, fingerprint: &str) -> Vec<u8> {
    let path = folder.join(name(fingerprint));
    let read = || {
        let mut file = File::open(&path)?;
        if file.metadata()?.permissions().mode() & 0o022 != 0 {
            return Err(Error::other("others than its owner may write it"));
        }
        let mut kernels = Vec::new();
        file.read_to_end(&mut kernels)?;
        Ok(kernels)
    };
    read().unwrap_or_else(|reason| {
        if reason.kind() != ErrorKind::NotFound {
            tracing::warn!(%reason, path = %path.display(), "compiled kernels are not read");
        }
        Vec::new()
    })
}

fn write_in(folder: &Path, fingerprint: &str, kernels: &[u8]) -> std::io::Result<()> {
    if kernels.is_empty() || read_in(folder, fingerprint) == kernels {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let partial = folder.join(format!("{fingerprint}.{}.partial", std::process::id()));
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?.write_all(kernels)?;
    std::fs::rename(&partial, folder.join(name(fingerprint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_kept_for_their_engine_only() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("smgeo");
        assert!(read_in(&inside, "one").is_empty());
        write_in(&inside, "one", &[]).unwrap();
        assert!(!inside.exists());
        write_in(&inside, "one", b"kernels").unwrap();
        write_in(&inside, "one", b"more kernels").unwrap();
        assert_eq!(read_in(&inside, "one"), b"more kernels");
        assert!(read_in(&inside, "other").is_empty());
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 1);
    }

    #[test]
    fn kernels_that_others_may_have_written_are_left() {
        let folder = tempfile::tempdir().unwrap();
        write_in(folder.path(), "one", b"kernels").unwrap();
        let path = folder.path().join(name("one"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read_in(folder.path(), "one").is_empty());
    }
}
