//! Where the OpenVINO library is. One process loads one library, so the first place that has it stays.

use std::path::{Path, PathBuf};

use crate::error::EngineError;

const FILE: &str = "libopenvino_c.so";

/// Below the home folder: where `scripts/setup-openvino.sh` puts the library unless told otherwise.
const SETUP_FOLDER: &str = ".local/lib/smgeo-openvino/openvino/libs";

/// Loads the library from `folder`, or if none is given from where the system looks, or from where our script puts it.
pub fn load(folder: Option<&Path>) -> Result<(), EngineError> {
    let library = match folder {
        Some(folder) => Some(folder.join(FILE)),
        None => openvino_sys::library::find().or_else(set_up),
    };
    let library = library.ok_or_else(|| missing(format!("no {FILE} in LD_LIBRARY_PATH or the system's folders")))?;
    openvino_sys::library::load_from(library).map_err(missing)
}

/// Says that the library is missing or broken, and what the loader said of it.
pub fn missing(source: String) -> EngineError {
    EngineError::LibraryMissing {
        library: "OpenVINO",
        remedy: "get it with scripts/setup-openvino.sh, or name its folder in engine.openvino_folder",
        source: source.into(),
    }
}

fn set_up() -> Option<PathBuf> {
    let library = std::env::home_dir()?.join(SETUP_FOLDER).join(FILE);
    library.is_file().then_some(library)
}
