//! Where TensorRT lies: two flavours, each of two libraries of NVIDIA's and one of ours.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::GpuError;

/// A flavour of TensorRT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// TensorRT-RTX: builds for the RTX cards on any x86 machine, and finishes on the card when it is first loaded.
    Rtx,
    /// TensorRT: builds on the machine it runs on. Jetson and data centre.
    Enterprise,
}

impl Flavour {
    /// The name in commands and manifests.
    pub fn name(self) -> &'static str {
        match self {
            Flavour::Rtx => "rtx",
            Flavour::Enterprise => "enterprise",
        }
    }

    /// The runtime's library, newest first, as the loader knows it.
    fn runtime(self) -> &'static [&'static str] {
        match self {
            Flavour::Rtx => &["libtensorrt_rtx.so.1"],
            Flavour::Enterprise => &["libnvinfer.so.11", "libnvinfer.so.10"],
        }
    }

    fn parser(self) -> &'static [&'static str] {
        match self {
            Flavour::Rtx => &["libtensorrt_onnxparser_rtx.so.1"],
            Flavour::Enterprise => &["libnvonnxparser.so.11", "libnvonnxparser.so.10"],
        }
    }

    fn shim(self) -> &'static str {
        match self {
            Flavour::Rtx => "libsmgeo_tensorrt_rtx.so",
            Flavour::Enterprise => "libsmgeo_tensorrt_enterprise.so",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Flavour::Rtx => {
                "get it with scripts/setup-tensorrt-rtx.sh, or name the folder it lies in; another backend needs none of it"
            }
            Flavour::Enterprise => {
                "install TensorRT (JetPack has it on a Jetson), or name the folder it lies in; another backend needs none of it"
            }
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Flavour {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "rtx" => Ok(Flavour::Rtx),
            "enterprise" => Ok(Flavour::Enterprise),
            _ => Err(format!("there is no flavour `{name}` of TensorRT; choose rtx or enterprise")),
        }
    }
}

/// The libraries of a flavour, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Libraries {
    /// Which flavour.
    pub flavour: Flavour,
    /// Ours, with the plugin.
    pub shim: PathBuf,
    /// NVIDIA's runtime and builder.
    pub runtime: PathBuf,
    /// NVIDIA's ONNX parser; engines run without it.
    pub parser: Option<PathBuf>,
}

impl Libraries {
    /// Looks into `folders`, then where systems keep their libraries.
    pub fn find(flavour: Flavour, folders: &[PathBuf]) -> Result<Self, GpuError> {
        let shim = look(&[flavour.shim()], folders, &[]).ok_or_else(|| GpuError::LibraryMissing {
            library: flavour.shim(),
            remedy: "make it with scripts/build-tensorrt.sh and name the folder it lies in",
            source: looked(folders).into(),
        })?;
        let runtime = look(flavour.runtime(), folders, SYSTEM).ok_or_else(|| GpuError::LibraryMissing {
            library: flavour.runtime()[0],
            remedy: flavour.remedy(),
            source: looked(folders).into(),
        })?;
        Ok(Self { flavour, shim, runtime, parser: look(flavour.parser(), folders, SYSTEM) })
    }
}

/// Where Debian and JetPack put them.
const SYSTEM: &[&str] = &["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];

fn look(names: &[&str], folders: &[PathBuf], system: &[&str]) -> Option<PathBuf> {
    let folders = folders.iter().map(PathBuf::as_path).chain(system.iter().map(Path::new));
    let files = folders.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    // Absolute, since the loader takes a bare name for one of its own.
    files.filter(|file| file.is_file()).find_map(|file| std::path::absolute(file).ok())
}

fn looked(folders: &[PathBuf]) -> String {
    let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    format!("looked in {}", if names.is_empty() { "the system's folders".into() } else { names.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_the_way_to_get_it() {
        let empty = std::env::temp_dir().join("smgeo-no-libraries-here");
        for flavour in [Flavour::Rtx, Flavour::Enterprise] {
            let error = Libraries::find(flavour, std::slice::from_ref(&empty)).unwrap_err().to_string();
            assert!(error.contains(flavour.shim()) && error.contains("scripts/build-tensorrt.sh"), "{error}");
        }
        assert!("cuda".parse::<Flavour>().unwrap_err().contains("choose rtx or enterprise"));
    }
}
