//! `smgeo run` as a service manager calls it: the exit code says whether another start may help.

use std::path::Path;
use std::process::Command;

#[test]
fn a_wrong_configuration_ends_with_78_and_a_file_that_is_missing_with_1() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("map/18")).unwrap();
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/engine/tests/packages/matched");
    let file = folder.path().join("smgeo.toml");
    let log =
        "assemble.zoom = 18\nterrain = { kind = \"flat\", height_m_msl = 0.0 }\ntelemetry.log.path = \"none.ndjson\"";
    let cases: [(&str, &[&str], i32, &str); 8] = [
        ("", &["--check"], 0, ""),
        ("telemetry.mavlink.address = \"14550\"", &["--check"], 78, "telemetry.mavlink.address"),
        ("telemetry.mavlink.address = \"14550\"", &[], 78, "telemetry.mavlink.address"),
        ("assemble.zoom = 3", &[], 78, "assemble.zoom is 3"),
        ("", &[], 78, "map does not say where it lies"),
        ("assemble.zoom = 18\nengine.precision = \"bf16\"", &[], 78, "no passing check of bf16"),
        ("telemetry.log.path = \"none.ndjson\"", &["--check"], 78, "there is no [terrain] table"),
        (log, &[], 1, "none.ndjson"),
    ];
    for (line, options, code, says) in cases {
        let text = format!(
            "{line}\ningest.source.test.fps = 5\ntiles.source = \"map\"\nengine.package = {package:?}\n\
             engine.threads = 1\nweb.listen = \"127.0.0.1:0\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let run =
            Command::new(env!("CARGO_BIN_EXE_smgeo")).arg("run").arg("--config").arg(&file).args(options).output();
        let run = run.unwrap();
        let error = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(code), "{line}: {error}");
        assert!(error.contains(says), "{line}: {error}");
        // The log goes to a journal here, which shows no colours.
        assert!(!error.contains('\u{1b}'), "{line}: {error}");
        assert!(line != log || error.contains(" INFO "), "{error}");
    }
}
