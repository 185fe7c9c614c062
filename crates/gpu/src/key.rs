//! The key by which a user's programs know the engines that they built. A plan is code, and what lies in a package's folder may have
//! been written by whoever made the package; so an entry of `engines.toml` carries a code over all it says, which nobody makes without
//! the key (HMAC of RFC 2104 with SHA-256).
//!
//! The key is 32 random bytes in `engines.key`, in the user's state folder, readable by that user only. It is made with the first engine,
//! and never leaves the machine unless a person copies it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::GpuError;
use crate::folders;

/// Name of the file.
pub const KEY_FILE: &str = "engines.key";
const KEY_BYTES: usize = 32;

/// A user's key. It cannot be printed.
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// The key of this user: the one that systemd hands to the service (`LoadCredential=engines.key:PATH`), else that of the state folder.
    pub fn read() -> Result<Key, GpuError> {
        // systemd sees to it that only the service reads what is there.
        let handed = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(KEY_FILE));
        match handed.filter(|path| path.exists()) {
            Some(path) => Key::of(&std::fs::read(&path).map_err(|source| failed(&path, source))?, &path),
            None => Key::read_in(&folders::state()?),
        }
    }

    /// The key of this user's state folder, which is made where there is none.
    pub fn read_or_make() -> Result<Key, GpuError> {
        Key::read_or_make_in(&folders::state()?)
    }

    /// The key in a folder.
    pub fn read_in(folder: &Path) -> Result<Key, GpuError> {
        let path = folder.join(KEY_FILE);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(GpuError::Engines(format!(
                    "there is no {}, so no engine was built by this user",
                    path.display()
                )));
            }
            Err(source) => return Err(failed(&path, source)),
        };
        let mode = file.metadata().map_err(|source| failed(&path, source))?.permissions().mode();
        if mode & 0o077 != 0 {
            let path = path.display();
            return Err(GpuError::Engines(format!(
                "others than its owner may access {path}, so it proves nothing; delete it, and build the engines again"
            )));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| failed(&path, source))?;
        Key::of(&bytes, &path)
    }

    /// The key in a folder, which is made where there is none.
    pub fn read_or_make_in(folder: &Path) -> Result<Key, GpuError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| failed(folder, source))?;
        let path = folder.join(KEY_FILE);
        // Named when it is whole, so that another program finds all of it or nothing; and never in the place of one that is there.
        let partial = folder.join(format!("{KEY_FILE}.{}.partial", std::process::id()));
        if !path.exists() {
            let made = write_random(&partial).and_then(|()| match std::fs::hard_link(&partial, &path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            });
            let _ = std::fs::remove_file(&partial);
            made.map_err(|source| failed(&path, source))?;
        }
        Key::read_in(folder)
    }

    /// The code of a message, hexadecimal.
    pub fn code(&self, message: &[u8]) -> String {
        hex::encode(self.over(message).finalize().into_bytes())
    }

    /// Whether this is the message's code. The time it takes says nothing about where they differ.
    pub fn matches(&self, message: &[u8], code: &str) -> bool {
        hex::decode(code).is_ok_and(|code| self.over(message).verify_slice(&code).is_ok())
    }

    fn over(&self, message: &[u8]) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length").chain_update(message)
    }

    fn of(bytes: &[u8], path: &Path) -> Result<Key, GpuError> {
        let problem = || {
            let path = path.display();
            GpuError::Engines(format!(
                "{path} holds no key of {KEY_BYTES} bytes; delete it, and build the engines again"
            ))
        };
        bytes.try_into().map(Key).map_err(|_| problem())
    }
}

fn write_random(path: &Path) -> std::io::Result<()> {
    let mut bytes = [0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&bytes)?;
    file.sync_all()
}

fn failed(path: &Path, source: std::io::Error) -> GpuError {
    GpuError::File { path: PathBuf::from(path), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_holds_for_its_message_and_its_key_only() {
        let [one, other] = [Key([1; KEY_BYTES]), Key([2; KEY_BYTES])];
        let code = one.code(b"plan");
        assert!(one.matches(b"plan", &code));
        assert!(!one.matches(b"Plan", &code) && !other.matches(b"plan", &code));
        assert!(!one.matches(b"plan", &code[1..]) && !one.matches(b"plan", ""));
    }

    #[test]
    fn a_key_is_made_once_and_read_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("state/smgeo");
        let error = Key::read_in(&inside).err().unwrap().to_string();
        assert!(error.contains("no engine was built by this user"), "{error}");
        let code = Key::read_or_make_in(&inside).unwrap().code(b"plan");
        assert!(Key::read_or_make_in(&inside).unwrap().matches(b"plan", &code));
        assert!(Key::read_in(&inside).unwrap().matches(b"plan", &code));
        let names: Vec<_> = std::fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [KEY_FILE]);
        let other = Key::read_or_make_in(folder.path()).unwrap();
        assert!(!other.matches(b"plan", &code));
    }

    #[test]
    fn a_key_that_others_read_or_that_is_cut_short_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Key::read_or_make_in(folder.path()).unwrap();
        let path = folder.path().join(KEY_FILE);
        let refusal = || Key::read_or_make_in(folder.path()).err().unwrap().to_string();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(refusal().contains("others than its owner may access"), "{}", refusal());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, [7; 31]).unwrap();
        assert!(refusal().contains("holds no key of 32 bytes"), "{}", refusal());
    }
}
