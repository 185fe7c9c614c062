//! The builder's child where there is nothing to build with: it says so, and its end is an error of the parent's.

use std::path::Path;
use std::process::Command;

use smgeo_gpu::builder::{self, Job};
use smgeo_gpu::tensorrt::{Flavour, Libraries};

fn job() -> Job {
    let nowhere = Path::new("/nowhere");
    let libraries = Libraries {
        flavour: Flavour::Rtx,
        shim: nowhere.join("libsmgeo_tensorrt_rtx.so"),
        runtime: nowhere.join("libtensorrt_rtx.so.1"),
        parser: Some(nowhere.join("libtensorrt_onnxparser_rtx.so.1")),
    };
    Job::new(&libraries, Some(89), Vec::new(), &nowhere.join("plan")).unwrap()
}

#[track_caller]
fn check(command: Command, words: &str) {
    let error = builder::build(command, &job(), b"no network", |_| {}).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn a_child_without_libraries_says_how_to_make_them() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_smgeo-gpu"));
    child.arg("build-child");
    check(child, "make it again with scripts/build-tensorrt.sh");
}

#[test]
fn a_child_that_ends_without_a_plan_has_built_nothing() {
    check(Command::new("true"), "its builder ended with exit status: 0");
    check(Command::new("false"), "its builder ended with exit status: 1");
}

#[test]
fn a_child_that_is_ended_by_a_signal_has_built_nothing() {
    let mut child = Command::new("sh");
    child.args(["-c", r#"cat >/dev/null; echo '{"log":{"severity":1,"text":"the last word"}}'; kill -ABRT $$"#]);
    check(child, "the last word; its builder ended with signal: 6");
}

#[test]
fn a_child_that_cannot_be_started_is_named() {
    check(Command::new("/nowhere/builder"), "its builder cannot be started");
}

#[test]
fn what_is_no_text_hides_nothing_that_comes_after_it() {
    let mut child = Command::new("sh");
    let script = r#"cat >/dev/null; printf '\377\376\n'; seq 100000; echo '{"log":{"severity":1,"text":"the last word"}}'; exit 1"#;
    child.args(["-c", script]);
    check(child, "the last word");
}
