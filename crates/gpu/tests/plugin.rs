//! The plugin's answers to what TensorRT asks, in both flavours, and its launches with the kernels emulated. Needs TensorRT's
//! headers (`scripts/setup-cuda.sh`), for the first also our libraries (`scripts/build-tensorrt.sh`); neither TensorRT nor a GPU.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a program of these tests against a flavour's headers and runs it; nothing without the headers.
fn run(test: &str, program: &str, flavour: &str, arguments: &[&Path]) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let folder = PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/lib/smgeo-cuda");
    let headers = folder.join("tensorrt-headers").join(flavour);
    if !headers.exists() || arguments.iter().any(|file| !file.exists()) {
        println!(
            "skipped: {test} needs TensorRT's headers and our library (scripts/setup-cuda.sh, scripts/build-tensorrt.sh)"
        );
        return;
    }
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{program}_{flavour}"));
    let runtime = match program {
        "plugin_launches" => tests.join("../kernels/emulation/include"),
        _ => folder.join("nvidia/cu13/include"),
    };
    let mut compiler = Command::new("c++");
    compiler.args(["-std=c++17", "-O1", "-Wno-deprecated-declarations", "-Wno-unknown-pragmas", "-o"]).arg(&binary);
    compiler.arg("-isystem").arg(&headers).arg("-isystem").arg(&runtime);
    let compiled = compiler.args(["-x", "c++"]).arg(tests.join(format!("{program}.cpp"))).arg("-ldl").output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let run = Command::new(&binary).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    println!("{said}");
    assert!(run.status.success(), "{}: {said}", run.status);
}

fn library(flavour: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/gpu/libsmgeo_tensorrt_{flavour}.so"))
}

#[test]
fn the_plugin_answers_tensorrt_rtx_as_it_should() {
    run("the_plugin_answers_tensorrt_rtx_as_it_should", "plugin_check", "rtx", &[&library("rtx")]);
}

#[test]
fn the_plugin_answers_tensorrt_as_it_should() {
    run("the_plugin_answers_tensorrt_as_it_should", "plugin_check", "enterprise", &[&library("enterprise")]);
}

#[test]
fn the_plugin_gives_its_kernels_what_they_take() {
    for flavour in ["rtx", "enterprise"] {
        run("the_plugin_gives_its_kernels_what_they_take", "plugin_launches", flavour, &[]);
    }
}
