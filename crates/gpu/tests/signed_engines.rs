//! Which engines may be loaded: those this user built, and those that the package's signature covers.

use std::collections::BTreeMap;
use std::path::Path;

use minisign::KeyPair;
use smgeo_engine::package::{ENCODER, LOCATOR, MANIFEST};
use smgeo_engine::signature::{LIST, SIGNATURE};
use smgeo_engine::{Package, TrustedKey};
use smgeo_gpu::engines::{self, ENGINES, Entry, LOCAL_ENGINES, Origin, Plan};
use smgeo_gpu::key::Key;
use smgeo_gpu::probe::Gpu;

/// The hash of a plugin that these tests have never seen.
const PLUGIN: &str = "00";
const ENGINE: &str = "sm_89-rtx-fp16";

fn plan(folder: &Path, name: &str) -> Plan {
    let (file, bytes) = (format!("{name}.plan"), format!("code of {name}").into_bytes());
    std::fs::write(folder.join(&file), &bytes).unwrap();
    Plan { file, sha256: engines::hash(&bytes), bytes: bytes.len() }
}

fn gpu() -> Gpu {
    Gpu { index: 0, name: "NVIDIA GeForce RTX 4090".into(), capability: (8, 9), multiprocessors: 128 }
}

/// A user's key, another one for each folder.
fn key(of: &tempfile::TempDir) -> Key {
    Key::read_or_make_in(&of.path().join("state")).unwrap()
}

/// Enters an engine that another machine built.
fn enter(package: &Package, index: &str, name: &str) {
    write(package, index, name, entry(package, name));
}

fn write(package: &Package, index: &str, name: &str, entry: Entry) {
    let text = toml::to_string_pretty(&BTreeMap::from([(name, entry)])).unwrap();
    std::fs::write(package.folder().join(index), text).unwrap();
}

fn entry(package: &Package, name: &str) -> Entry {
    let folder = package.folder();
    Entry {
        sm: 89,
        gpu: None,
        flavour: "rtx".into(),
        precision: "fp16".into(),
        tensorrt: "1.7.1".into(),
        package: package.hash().to_string(),
        plugin_sha256: PLUGIN.into(),
        code: "made elsewhere".into(),
        encoder: plan(folder, &format!("{name}.encoder")),
        locator: plan(folder, &format!("{name}.locator")),
        origin: Origin::Local,
    }
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

/// How an engine of a package is refused by somebody with a key of his own, if it is.
fn refusal(package: &Package, name: &str) -> Option<String> {
    refusal_by(&tempfile::tempdir().unwrap(), &gpu(), package, name)
}

fn refusal_by(user: &tempfile::TempDir, gpu: &Gpu, package: &Package, name: &str) -> Option<String> {
    let loaded = || {
        let entry = engines::entries(package)?.remove(name).expect("it is entered");
        entry.check(package, gpu, PLUGIN, || Ok(key(user)))?;
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
    assert!(
        message.contains("not built by this user on this machine and no signature covers it; run `smgeo"),
        "{message}"
    );
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
    let unasked = || -> Result<Key, smgeo_gpu::GpuError> { panic!("a signed engine needs no key") };
    let said = |gpu: Gpu, plugin| entry.check(&package, &gpu, plugin, unasked).unwrap_err().to_string();
    let orin = Gpu { name: "Orin".into(), capability: (8, 7), ..gpu() };
    assert!(said(orin, PLUGIN).contains("built for sm_89, this GPU is sm_87"));
    assert!(said(gpu(), "01").contains("built with another plugin"));
}

#[test]
fn an_engine_that_this_user_built_is_loaded_until_a_word_of_its_entry_changes() {
    let (folder, user) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let package = package(folder.path());
    let mine = entry(&package, ENGINE).coded(&key(&user));
    write(&package, ENGINES, ENGINE, mine.clone());
    let refused = || refusal_by(&user, &gpu(), &package, ENGINE);
    assert_eq!(refused(), None);
    // Another user's key, or none.
    assert!(refusal(&package, ENGINE).unwrap().contains("not built by this user"));
    let none = || Key::read_in(&folder.path().join("nowhere"));
    let message = mine.check(&package, &gpu(), PLUGIN, none).unwrap_err().to_string();
    assert!(message.contains("so no engine was built by this user; run `smgeo build-engine`"), "{message}");
    // The code of another entry, as a package brings it that was on this machine before.
    let file = &mine.locator.file;
    std::fs::write(folder.path().join(file), b"code of somebody else").unwrap();
    let locator = Plan { sha256: engines::hash(b"code of somebody else"), ..mine.locator.clone() };
    for forged in [Entry { locator, ..mine.clone() }, Entry { tensorrt: "1.7.2".into(), ..mine.clone() }] {
        write(&package, ENGINES, ENGINE, forged);
        assert!(refused().unwrap().contains("not built by this user"));
    }
}

#[test]
fn an_engine_that_was_tuned_on_one_model_is_refused_on_another() {
    let (folder, user) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let package = package(folder.path());
    let orin = |multiprocessors| Gpu { index: 0, name: "Orin".into(), capability: (8, 7), multiprocessors };
    let built = Entry { sm: 87, gpu: Some(orin(16).model()), ..entry(&package, ENGINE) };
    write(&package, ENGINES, ENGINE, built.coded(&key(&user)));
    assert_eq!(refusal_by(&user, &orin(16), &package, ENGINE), None);
    let message = refusal_by(&user, &orin(8), &package, ENGINE).unwrap();
    assert!(
        message.contains("was built on Orin, 16 multiprocessors, this GPU is Orin, 8 multiprocessors"),
        "{message}"
    );
}

#[test]
fn what_was_found_out_about_an_engine_holds_for_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(folder.path());
    let engine = entry(&package, ENGINE);
    let rebuilt = Plan { sha256: engines::hash(b"built again"), ..engine.locator.clone() };
    let smaller = Gpu { multiprocessors: 76, ..gpu() };
    let prints = [
        engine.fingerprint(&gpu(), "1.7.1"),
        engine.fingerprint(&gpu(), "1.7.2"),
        engine.fingerprint(&smaller, "1.7.1"),
        Entry { locator: rebuilt, ..engine.clone() }.fingerprint(&gpu(), "1.7.1"),
        Entry { plugin_sha256: "01".into(), ..engine.clone() }.fingerprint(&gpu(), "1.7.1"),
    ];
    assert_eq!(prints.iter().collect::<std::collections::BTreeSet<_>>().len(), prints.len(), "{prints:?}");
    assert!(prints.iter().all(|print| print.len() == 12));
    assert_eq!(engine.fingerprint(&gpu(), "1.7.1"), prints[0]);
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
