//! Engines built with TensorRT-RTX, which needs no GPU for it. Needs its library, whose licence a person has to accept
//! (`scripts/setup-tensorrt-rtx.sh`), and ours over it (`scripts/build-tensorrt.sh rtx`). Engines of tiny need a package with
//! random weights besides (`scripts/random-package.sh tiny-template`): none is trained.

use std::path::{Path, PathBuf};
use std::process::Command;

use smgeo_engine::Package;
use smgeo_engine::package::{ENCODER, LOCATOR, MANIFEST};
use smgeo_gpu::GpuError;
use smgeo_gpu::builder::Said;
use smgeo_gpu::engines::{self, Entry, Order};
use smgeo_gpu::key::Key;
use smgeo_gpu::lowering::Precision;
use smgeo_gpu::probe::Gpu;
use smgeo_gpu::tensorrt::{Flavour, Libraries};

/// TensorRT-RTX, or nothing and a line that says so.
fn libraries(test: &str) -> Option<Libraries> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = [root.join("target/gpu"), home.join(".local/lib/smgeo-tensorrt-rtx/tensorrt_rtx_libs")];
    match Libraries::find(Flavour::Rtx, &folders) {
        Ok(libraries) => Some(libraries),
        Err(error) => {
            println!("skipped: {test} needs TensorRT-RTX ({error})");
            None
        }
    }
}

fn nano() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/smgeo-nano")
}

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../random-packages/tiny-template")
}

fn copied(from: &Path, folder: &Path) -> Package {
    for file in [ENCODER, LOCATOR, MANIFEST] {
        std::fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    Package::open(folder).unwrap()
}

/// A key of the test's own, in the package's folder.
fn key(package: &Package) -> Result<Key, GpuError> {
    Key::read_or_make_in(&package.folder().join("state"))
}

fn gpu(capability: (u32, u32)) -> Gpu {
    Gpu { index: 0, name: "a GPU".into(), capability, multiprocessors: 128 }
}

fn build(package: &Package, libraries: &Libraries, sm: u32, precision: Precision) -> Result<Entry, GpuError> {
    let key = key(package)?;
    let order = Order { package, sm, gpu: None, precision, libraries, key: &key };
    let child = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smgeo-gpu"));
        command.arg("build-child");
        command
    };
    engines::build(&order, child, |network, said| {
        if let Said::Log { text, .. } = said {
            println!("{network}: {text}");
        }
    })
}

#[test]
fn a_package_becomes_engines_and_twice_nearly_the_same_bytes() {
    let Some(libraries) = libraries("a_package_becomes_engines_and_twice_nearly_the_same_bytes") else { return };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let packages = folders.each_ref().map(|folder| copied(&nano(), folder.path()));
    let built = packages.each_ref().map(|package| build(package, &libraries, 89, Precision::F16).unwrap());
    println!("{:#?}", built[0]);
    for plan in [|entry: &Entry| entry.encoder.clone(), |entry: &Entry| entry.locator.clone()] {
        let [one, two] = [0, 1].map(|at| plan(&built[at]).read(&packages[at]).unwrap());
        let apart = one.iter().zip(&two).filter(|(a, b)| a != b).count();
        println!("{}: {apart} of {} bytes differ", plan(&built[0]).file, one.len());
        // TensorRT-RTX numbers its kernels in an order that hangs on addresses: seen are 0 to 622 bytes of 3.9 million.
        assert!(one.len() == two.len() && apart * 1000 < one.len());
    }
    let kept = engines::entries(&packages[0]).unwrap();
    assert_eq!(kept["sm_89-rtx-fp16"], built[0]);
    assert_eq!(built[0].encoder.read(&packages[0]).unwrap().len(), built[0].encoder.bytes);
    // The package is the one it was: an engine changes nothing that features depend on.
    assert_eq!(Package::open(folders[0].path()).unwrap().hash(), packages[0].hash());
    let shim = engines::hash(&std::fs::read(&libraries.shim).unwrap());
    let check = |capability| built[0].check(&packages[0], &gpu(capability), &shim, || key(&packages[0]));
    check((8, 9)).unwrap();
    let refused = check((8, 7)).unwrap_err().to_string();
    assert!(refused.contains("built for sm_89, this GPU is sm_87"), "{refused}");
    std::fs::write(folders[0].path().join(&built[0].locator.file), b"code of somebody else").unwrap();
    assert!(built[0].locator.read(&packages[0]).is_err());
}

#[test]
fn a_tiny_package_becomes_engines_and_its_encoder_twice_the_same_bytes() {
    let test = "a_tiny_package_becomes_engines_and_its_encoder_twice_the_same_bytes";
    let Some(libraries) = libraries(test) else { return };
    if !tiny().join(MANIFEST).exists() {
        println!("skipped: {test} needs a package with random weights (scripts/random-package.sh tiny-template)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let package = copied(&tiny(), folder.path());
    // One after the other in one folder, so that the second plan replaces the first: each has more than 100 MB.
    let [first, second] = [(); 2].map(|()| build(&package, &libraries, 89, Precision::F16).unwrap());
    println!("{first:#?}");
    assert_eq!(first.encoder, second.encoder);
    assert_eq!(second.encoder.read(&package).unwrap().len(), first.encoder.bytes);
    assert_eq!(second.locator.read(&package).unwrap().len(), first.locator.bytes);
}

#[test]
fn gpus_that_tensorrt_rtx_does_not_know_are_refused() {
    let Some(libraries) = libraries("gpus_that_tensorrt_rtx_does_not_know_are_refused") else { return };
    let folder = tempfile::tempdir().unwrap();
    let package = copied(&nano(), folder.path());
    for sm in [87, 90] {
        let error = build(&package, &libraries, sm, Precision::F16).unwrap_err().to_string();
        assert!(error.contains(&format!("does not build for sm_{sm}")), "{error}");
        assert!(!folder.path().join(engines::ENGINES).exists());
    }
}
