//! Whose signatures of engine packages count on the command line, where no configuration says it.

use std::path::Path;

use anyhow::Context;
use smgeo_engine::{Package, TrustedKey};

/// The keys that are trusted.
#[derive(Debug, clap::Args)]
pub struct Trust {
    /// Public key of minisign whose signature of the package counts; can be given twice. Only a signed package needs it.
    #[arg(long = "trusted-key", value_name = "KEY")]
    keys: Vec<TrustedKey>,
}

impl Trust {
    /// Opens a package under these keys.
    pub fn open(&self, folder: &Path) -> anyhow::Result<Package> {
        Package::open_trusting(folder, &self.keys).context("opening the engine package")
    }
}
