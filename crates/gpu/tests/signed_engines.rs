//! Which engines may be loaded: those this machine built, and those that the package's signature covers.

use std::collections::BTreeMap;
use std::path::Path;

use minisign::KeyPair;
use smgeo_engine::package::{ENCODER, LOCATOR, MANIFEST};
use smgeo_engine::signature::{LIST, SIGNATURE};
use smgeo_engine::{Package, TrustedKey};
use smgeo_gpu::engines::{self, ENGINES, Entry, LOCAL_ENGINES, Origin, Plan};

/// The hash of a plugin that these tests have never seen.
const PLUGIN: &str = "00";
const ENGINE: &str = "sm_89-rtx-fp16";

fn plan(folder: &Path, name: &str) -> Plan {
    let (file, bytes) = (format!("{name}.plan"), format!("code of {name}").into_bytes());
    std::fs::write(folder.join(&file), &bytes).unwrap();
    Plan { file, sha256: engines::hash(&bytes), bytes: bytes.len() }
}

/// Enters an engine that another machine built.
fn enter(package: &Package, index: &str, name: &str) {
    let folder = package.folder();
    let entry = Entry {
        sm: 89,
        flavour: "rtx".into(),
        precision: "fp16".into(),
        tensorrt: "1.7.1".into(),
        package: package.hash().to_string(),
        plugin_sha256: PLUGIN.into(),
        built_on: "elsewhere".into(),
        encoder: plan(folder, &format!("{name}.encoder")),
        locator: plan(folder, &format!("{name}.locator")),
        origin: Origin::Local,
    };
    let text = toml::to_string_pretty(&BTreeMap::from([(name, entry)])).unwrap();
    std::fs::write(folder.join(index), text).unwrap();
}

/// A package with an engine of another machine, unsigned.
fn package(folder: &Path) -> Package {
    let matched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/packages/matched");
    for file in [ENCODER, LOCATOR, MANIFEST] {
        std::fs::copy(matched.join(file), folder.join(file)).unwrap();
    }
    let package = Package::open(folder).unwrap();
    enter(&package, ENGINES, ENGINE);
    package
}

/// Signs the package in `folder` as it is, and opens it under the signer's key.
fn signed(folder: &Path) -> Package {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let list = std::fs::read(engines::write_list(&Package::open(folder).unwrap()).unwrap()).unwrap();
    let signature = minisign::sign(Some(&pair.pk), &pair.sk, list.as_slice(), None, None).unwrap();
    std::fs::write(folder.join(SIGNATURE), signature.to_string()).unwrap();
    let key: TrustedKey = pair.pk.to_base64().parse().unwrap();
    Package::open_trusting(folder, &[key]).unwrap()
}

/// How an engine of a package is refused, if it is.
fn refusal(package: &Package, name: &str) -> Option<String> {
    let loaded = || {
        let entry = engines::entries(package)?.remove(name).expect("it is entered");
        entry.check(package, 89, PLUGIN)?;
        entry.encoder.read(package)?;
        entry.locator.read(package)
    };
    let error = loaded().err()?.to_string();
    Some(error.replace(&format!("{}/", package.folder().display()), ""))
}

#[test]
fn an_engine_of_another_machine_is_loaded_only_where_a_signature_covers_it() {
    let folder = tempfile::tempdir().unwrap();
    let unsigned = package(folder.path());
    let message = refusal(&unsigned, ENGINE).unwrap();
    assert!(message.contains("another machine and no signature covers it; run `smgeo build-engine`"), "{message}");
    let signed = signed(folder.path());
    assert_eq!(engines::entries(&signed).unwrap()[ENGINE].origin, Origin::Signed);
    assert_eq!(refusal(&signed, ENGINE), None);
}

#[test]
fn a_signature_replaces_no_other_check() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path());
    let package = signed(folder.path());
    let entry = &engines::entries(&package).unwrap()[ENGINE];
    let said = |sm, plugin| entry.check(&package, sm, plugin).unwrap_err().to_string();
    assert!(said(87, PLUGIN).contains("built for sm_89, this GPU is sm_87"));
    assert!(said(89, "01").contains("built with another plugin"));
}

#[test]
fn engines_that_were_changed_after_signing_are_refused_by_name() {
    type Damage = fn(&Path);
    let cases: [(Damage, &str); 3] = [
        (
            |folder| std::fs::write(folder.join(format!("{ENGINE}.encoder.plan")), b"code").unwrap(),
            "sm_89-rtx-fp16.encoder.plan: it has",
        ),
        (
            |folder| std::fs::write(folder.join(format!("{ENGINE}.locator.plan")), b"code").unwrap(),
            "sm_89-rtx-fp16.locator.plan: it has",
        ),
        (
            |folder| {
                let text = std::fs::read_to_string(folder.join(ENGINES)).unwrap();
                std::fs::write(folder.join(ENGINES), text.replace("fp16\"", "fp32\"")).unwrap();
            },
            "engines.toml: it has",
        ),
    ];
    for (damage, words) in cases {
        let folder = tempfile::tempdir().unwrap();
        package(folder.path());
        let package = signed(folder.path());
        damage(folder.path());
        let message = refusal(&package, ENGINE).unwrap();
        assert!(message.starts_with(words) && message.contains("copy the package again"), "{message}");
    }
}

#[test]
fn engines_that_the_list_does_not_name_have_nobody_to_vouch_for_them() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path());
    std::fs::remove_file(folder.path().join(ENGINES)).unwrap();
    let package = signed(folder.path());
    for index in [ENGINES, LOCAL_ENGINES] {
        enter(&package, index, "added");
        assert!(refusal(&package, "added").unwrap().contains("no signature covers it"));
        std::fs::remove_file(folder.path().join(index)).unwrap();
    }
}

#[test]
fn what_a_machine_builds_of_a_signed_package_stands_beside_the_signed_engines() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path());
    let package = signed(folder.path());
    enter(&package, LOCAL_ENGINES, "local-sm_89-rtx-fp16");
    let origins: Vec<Origin> = engines::entries(&package).unwrap().into_values().map(|entry| entry.origin).collect();
    assert_eq!(origins, [Origin::Local, Origin::Signed]);
    assert_eq!(refusal(&package, ENGINE), None);
}

#[test]
fn the_list_names_every_file_and_no_plan_that_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(folder.path());
    let list = std::fs::read_to_string(engines::write_list(&package).unwrap()).unwrap();
    let names: Vec<&str> = list.lines().filter_map(|line| Some(line.split_once("  ")?.1)).collect();
    let (encoder, locator) = (format!("{ENGINE}.encoder.plan"), format!("{ENGINE}.locator.plan"));
    assert_eq!(names, [ENCODER, ENGINES, LOCATOR, MANIFEST, &encoder, &locator]);
    std::fs::write(folder.path().join(&locator), b"code of somebody else").unwrap();
    let message = engines::write_list(&package).unwrap_err().to_string();
    assert!(message.contains("is not the plan that was built; build it again"), "{message}");
    assert_eq!(std::fs::read_to_string(folder.path().join(LIST)).unwrap(), list);
}

#[test]
fn an_engine_is_found_by_its_name_or_the_names_there_are_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(folder.path());
    enter(&package, LOCAL_ENGINES, "other");
    assert_eq!(engines::named(&package, None).unwrap().len(), 2);
    let found = engines::named(&package, Some("other")).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["other"]);
    let error = engines::named(&package, Some("another")).unwrap_err().to_string();
    assert!(error.contains("no engine `another`") && error.contains(ENGINE) && error.contains("other"), "{error}");
}
