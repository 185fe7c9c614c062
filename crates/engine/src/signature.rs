//! The signature of a package. `package.sha256` names the package's files with their hashes, as `sha256sum` writes them;
//! `package.sha256.minisig` is minisign's signature of that list. The program `minisign` makes it, and a package is signed by
//! hand, on a machine that does not fly.
//!
//! A package without a signature opens as ever. One with a signature opens under a trusted key only, and nothing in its folder
//! is parsed before: first the signature is verified over the bytes of the list, then each file's bytes are compared with
//! the list. What the list names may be trusted as its signer is, so a plan that it names may be loaded although another
//! machine built it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use minisign_verify::{Error, PublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::EngineError;
use crate::package::{MANIFEST, Package, check_name, read_limited};

/// Name of the list in the package folder.
pub const LIST: &str = "package.sha256";
/// Name of the list's signature in the package folder.
pub const SIGNATURE: &str = "package.sha256.minisig";

// A line is some 90 bytes, and a package has some twenty files.
const LIST_BYTES_MAX: u64 = 1 << 16;
// Four lines; minisign's comments are shorter than this.
const SIGNATURE_BYTES_MAX: u64 = 1 << 14;
const DIGEST_CHARS: usize = 64;

/// A public key of minisign whose signatures count: the second line of a `.pub` file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustedKey {
    text: String,
    key: PublicKey,
}

impl FromStr for TrustedKey {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<TrustedKey, EngineError> {
        let text = text.trim();
        let key = PublicKey::from_base64(text).map_err(|_| {
            let problem = "it has to be the second line of a minisign .pub file, 56 characters that begin with RW";
            EngineError::Setting(format!("`{text}` is no public key; {problem}"))
        })?;
        Ok(TrustedKey { text: text.into(), key })
    }
}

impl TryFrom<String> for TrustedKey {
    type Error = EngineError;

    fn try_from(text: String) -> Result<TrustedKey, EngineError> {
        text.parse()
    }
}

impl From<TrustedKey> for String {
    fn from(key: TrustedKey) -> String {
        key.text
    }
}

impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedKey({})", self.text)
    }
}

/// A list of files whose signature is valid under a trusted key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    folder: PathBuf,
    signer: TrustedKey,
    comment: String,
    digests: BTreeMap<String, String>,
}

impl Signature {
    /// Verifies the signature of the package in `folder`; nothing where there is none. An error where it is not valid under
    /// one of `keys`.
    pub fn verify(folder: &Path, keys: &[TrustedKey]) -> Result<Option<Signature>, EngineError> {
        let path = folder.join(SIGNATURE);
        if !is_signed(folder)? {
            return Ok(None);
        }
        let problem = |problem: String| EngineError::Signature { path: path.clone(), problem };
        if keys.is_empty() {
            return Err(problem(format!("the package is signed, and no key is trusted; {TRUST}")));
        }
        let bytes = read_limited(&path, SIGNATURE_BYTES_MAX)?;
        let list = read_limited(&folder.join(LIST), LIST_BYTES_MAX)?;
        let signature = std::str::from_utf8(&bytes).ok().and_then(|text| minisign_verify::Signature::decode(text).ok());
        let signature = signature.ok_or_else(|| {
            problem(format!("this is no signature of minisign; copy the package again, or sign its {LIST} anew"))
        })?;
        let signer = signer(&list, &signature, keys).map_err(problem)?;
        let digests = parse(&list).map_err(|problem| EngineError::Signature { path: folder.join(LIST), problem })?;
        let comment = signature.trusted_comment().to_owned();
        Ok(Some(Signature { folder: folder.into(), signer: signer.clone(), comment, digests }))
    }

    /// The key that it is valid under.
    pub fn signer(&self) -> &TrustedKey {
        &self.signer
    }

    /// What the signer wrote beside it; signed too.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Whether the list names a file.
    pub fn names(&self, name: &str) -> bool {
        self.digests.contains_key(name)
    }

    /// Compares the bytes of a file with the list. An error where the list does not name it, or names another hash.
    pub fn check(&self, name: &str, bytes: &[u8]) -> Result<(), EngineError> {
        let problem = |problem| EngineError::Signature { path: self.folder.join(name), problem };
        let Some(signed) = self.digests.get(name) else {
            return Err(problem(format!(
                "the signed {LIST} does not name this file; copy the package again, or have it signed with the file"
            )));
        };
        let found = digest(bytes);
        if found == *signed {
            return Ok(());
        }
        Err(problem(format!(
            "it has SHA-256 {found} but the signed {LIST} says {signed}; the file was changed after the package was signed: copy the package again"
        )))
    }
}

const TRUST: &str = "if you trust the signer, put the key into `trusted_keys` of the configuration's [engine] or pass --trusted-key; else delete this file and use the package as an unsigned one";

/// Refuses to write into a package whose signature would not cover it any more.
pub fn check_unsigned(folder: &Path) -> Result<(), EngineError> {
    if !is_signed(folder)? {
        return Ok(());
    }
    let problem =
        "the package is signed, and would differ from what was; delete this file first, then write and sign it anew";
    Err(EngineError::Signature { path: folder.join(SIGNATURE), problem: problem.into() })
}

/// Whether a signature lies in `folder`, valid or not.
fn is_signed(folder: &Path) -> Result<bool, EngineError> {
    let path = folder.join(SIGNATURE);
    // A link to nowhere is a signature that cannot be read, not one that is absent.
    match std::fs::symlink_metadata(&path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(EngineError::File { path, source }),
    }
}

/// Writes the list of a package, for minisign to sign: its manifest, the files that this names, and `others`. Answers with the
/// list's path. The list of a signed package stays as it is.
pub fn write_list(package: &Package, others: &[String]) -> Result<PathBuf, EngineError> {
    check_unsigned(package.folder())?;
    let path = package.folder().join(LIST);
    let mut digests = BTreeMap::from([(MANIFEST.to_owned(), digest(package.manifest_bytes()))]);
    for name in package.manifest().files.keys() {
        digests.insert(name.clone(), digest(&package.read(name)?));
    }
    for name in others {
        check_name(name).map_err(|problem| EngineError::Signature { path: path.clone(), problem })?;
        let bytes = read_limited(&package.folder().join(name), crate::package::FILE_BYTES_MAX)?;
        digests.insert(name.clone(), digest(&bytes));
    }
    let text: String = digests.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
    std::fs::write(&path, text).map_err(|source| EngineError::File { path: path.clone(), source })?;
    Ok(path)
}

/// The trusted key that signed the list. Signatures of the old kind, over the list itself and not over its hash, do not count.
fn signer<'a>(
    list: &[u8],
    signature: &minisign_verify::Signature,
    keys: &'a [TrustedKey],
) -> Result<&'a TrustedKey, String> {
    let mut reason = format!("none of the {} trusted keys signed the package; {TRUST}", keys.len());
    for trusted in keys {
        match trusted.key.verify(list, signature, false) {
            Ok(()) => return Ok(trusted),
            Err(Error::UnexpectedKeyId) => {}
            Err(Error::UnexpectedAlgorithm) => {
                reason = format!("this is a signature of minisign's old kind; sign {LIST} anew without its option -l");
            }
            Err(_) => {
                reason = format!(
                    "{LIST} is not what was signed; it was changed afterwards or its copy broke off: copy the package again"
                );
            }
        }
    }
    Err(reason)
}

/// The signed list. Strict: its signer's program writes it, and no other form means the same to everybody.
fn parse(list: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(list).map_err(|error| error.to_string())?;
    let mut digests = BTreeMap::new();
    for line in text.lines() {
        let (digest, name) = line.split_once("  ").unwrap_or_default();
        let is_digest =
            digest.len() == DIGEST_CHARS && digest.bytes().all(|digit| b"0123456789abcdef".contains(&digit));
        if !is_digest {
            return Err(format!("`{line}` is not a SHA-256, two spaces and a file name, as sha256sum writes it"));
        }
        check_name(name)?;
        if digests.insert(name.to_owned(), digest.to_owned()).is_some() {
            return Err(format!("it names {name} twice"));
        }
    }
    if digests.contains_key(MANIFEST) { Ok(digests) } else { Err(format!("it does not name {MANIFEST}")) }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
