//! Where this user's programs keep what is theirs and no package's: the folders that systems have for it
//! (XDG Base Directory Specification). The service's unit points both into `/var`.

use std::path::PathBuf;

use crate::error::GpuError;

/// What has to stay: `$XDG_STATE_HOME/smgeo`, `~/.local/state/smgeo` unless that is set.
pub fn state() -> Result<PathBuf, GpuError> {
    folder("XDG_STATE_HOME", ".local/state")
}

/// What may be deleted: `$XDG_CACHE_HOME/smgeo`, `~/.cache/smgeo` unless that is set.
pub fn cache() -> Result<PathBuf, GpuError> {
    folder("XDG_CACHE_HOME", ".cache")
}

fn folder(variable: &str, below_home: &str) -> Result<PathBuf, GpuError> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)));
    folder.map(|folder| folder.join("smgeo")).ok_or_else(|| {
        GpuError::Engines(format!("this user has no home folder; set HOME or {variable} to the absolute path of one"))
    })
}
