//! Where the OpenVINO library is. One process loads one library, so the first place that has it stays.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSymbol};

use crate::error::EngineError;

const FILE: &str = "libopenvino_c.so";

/// Below the home folder: where `scripts/setup-openvino.sh` puts the library unless told otherwise.
const SETUP_FOLDER: &str = ".local/lib/smgeo-openvino/openvino/libs";

/// What this backend calls. A call of a function that a library lacks would be a panic.
const FUNCTIONS: [&str; 22] = [
    "ov_compiled_model_create_infer_request",
    "ov_compiled_model_free",
    "ov_core_compile_model",
    "ov_core_create",
    "ov_core_free",
    "ov_core_get_property",
    "ov_core_read_model_from_memory_buffer",
    "ov_core_set_property",
    "ov_get_openvino_version",
    "ov_infer_request_free",
    "ov_infer_request_get_tensor",
    "ov_infer_request_infer",
    "ov_infer_request_set_tensor",
    "ov_model_const_input_by_index",
    "ov_model_free",
    "ov_model_inputs_size",
    "ov_port_get_any_name",
    "ov_shape_create",
    "ov_tensor_create",
    "ov_tensor_data",
    "ov_tensor_get_shape",
    "ov_version_free",
];

/// Loads the library from `folder`, or if none is given from where our script puts it, or from where the system looks: what was
/// fetched for this program goes before what may be there for others.
pub fn load(folder: Option<&Path>) -> Result<(), EngineError> {
    let library = match folder {
        Some(folder) => Some(folder.join(FILE)),
        None => set_up().or_else(openvino_sys::library::find),
    };
    let library = library.ok_or_else(|| missing(format!("no {FILE} in LD_LIBRARY_PATH or the system's folders")))?;
    check_functions(&library).map_err(missing)?;
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

/// Refuses a library without the functions that are called. An old OpenVINO has the same file name and an interface of other names.
fn check_functions(library: &Path) -> Result<(), String> {
    let unreadable = |problem: String| format!("{} cannot be read: {problem}", library.display());
    let bytes = std::fs::read(library).map_err(|error| unreadable(error.to_string()))?;
    let parsed = object::File::parse(&*bytes).map_err(|error| unreadable(error.to_string()))?;
    let defined = parsed.dynamic_symbols().filter(|symbol| !symbol.is_undefined());
    let named: HashSet<&str> = defined.filter_map(|symbol| symbol.name().ok()).collect();
    match FUNCTIONS.iter().find(|function| !named.contains(**function)) {
        Some(lacking) => Err(format!("{} has no {lacking}, so it is too old, or not OpenVINO", library.display())),
        None => Ok(()),
    }
}

fn set_up() -> Option<PathBuf> {
    let library = std::env::home_dir()?.join(SETUP_FOLDER).join(FILE);
    library.is_file().then_some(library)
}
