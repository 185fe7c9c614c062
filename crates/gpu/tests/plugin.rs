//! The plugin's answers to what TensorRT asks, in both flavours. Needs our libraries (`scripts/build-tensorrt.sh`) and
//! TensorRT's headers (`scripts/setup-cuda.sh`), and neither TensorRT nor a GPU.

use std::path::{Path, PathBuf};
use std::process::Command;

#[track_caller]
fn check(test: &str, flavour: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/lib/smgeo-cuda");
    let library = root.join(format!("target/gpu/libsmgeo_tensorrt_{flavour}.so"));
    let headers = [home.join("tensorrt-headers").join(flavour), home.join("nvidia/cu13/include")];
    if !library.exists() || !headers[0].exists() {
        println!("skipped: {test} needs {} and TensorRT's headers (scripts/build-tensorrt.sh)", library.display());
        return;
    }
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("plugin_check_{flavour}"));
    let mut compiler = Command::new("c++");
    compiler.args(["-std=c++17", "-O1", "-Wno-deprecated-declarations", "-ldl", "-o"]).arg(&program);
    headers.iter().for_each(|folder| drop(compiler.arg("-isystem").arg(folder)));
    let compiled = compiler.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin_check.cpp")).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let run = Command::new(&program).arg(&library).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    println!("{said}");
    assert!(run.status.success(), "{}: {said}", run.status);
}

#[test]
fn the_plugin_answers_tensorrt_rtx_as_it_should() {
    check("the_plugin_answers_tensorrt_rtx_as_it_should", "rtx");
}

#[test]
fn the_plugin_answers_tensorrt_as_it_should() {
    check("the_plugin_answers_tensorrt_as_it_should", "enterprise");
}
