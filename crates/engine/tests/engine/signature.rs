//! Signed packages: what opens, and what is refused before anything is parsed.

use std::path::Path;

use minisign::KeyPair;
use proptest::prelude::*;
use smgeo_engine::package::{ENCODER, LOCATOR, MANIFEST};
use smgeo_engine::signature::{LIST, SIGNATURE, write_list};
use smgeo_engine::{EngineConfig, EngineError, Package, Signature, TrustedKey};

use crate::matched_filter;

/// A file that only the list names, as a plan is.
const PLAN: &str = "sm_89.plan";

fn pair() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().unwrap()
}

fn public(pair: &KeyPair) -> TrustedKey {
    pair.pk.to_base64().parse().unwrap()
}

/// Writes a package with a plan, and its list.
fn listed(folder: &Path) {
    let package = matched_filter::write(folder);
    std::fs::write(folder.join(PLAN), b"a plan").unwrap();
    write_list(&package, &[PLAN.into()]).unwrap();
}

/// Signs the list that lies in `folder`, as the program does.
fn sign(folder: &Path, pair: &KeyPair) {
    let list = std::fs::read(folder.join(LIST)).unwrap();
    let signature = minisign::sign(Some(&pair.pk), &pair.sk, list.as_slice(), Some("release 7"), None).unwrap();
    std::fs::write(folder.join(SIGNATURE), signature.to_string()).unwrap();
}

fn edit(folder: &Path, name: &str, change: impl FnOnce(String) -> String) {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed);
    std::fs::write(path, changed).unwrap();
}

/// Signs a package, damages it, and says how opening it with the signer's key fails.
fn refusal(damage: impl FnOnce(&Path, &KeyPair)) -> String {
    let (folder, pair) = (tempfile::tempdir().unwrap(), pair());
    listed(folder.path());
    sign(folder.path(), &pair);
    damage(folder.path(), &pair);
    let error = Package::open_trusting(folder.path(), &[public(&pair)]).unwrap_err();
    assert!(matches!(error, EngineError::Signature { .. } | EngineError::Missing { .. }), "{error:?}");
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn a_package_opens_under_its_signers_key() {
    let (folder, [signer, other]) = (tempfile::tempdir().unwrap(), [pair(), pair()]);
    listed(folder.path());
    sign(folder.path(), &signer);
    let keys = [public(&other), public(&signer)];
    let package = Package::open_trusting(folder.path(), &keys).unwrap();
    let signature = package.signature().unwrap();
    assert_eq!((signature.signer(), signature.comment()), (&keys[1], "release 7"));
    assert!([MANIFEST, ENCODER, LOCATOR, PLAN].iter().all(|name| signature.names(name)));
    signature.check(PLAN, b"a plan").unwrap();
    package.read(ENCODER).unwrap();
    let config = EngineConfig { trusted_keys: keys.to_vec(), ..EngineConfig::of(folder.path()) };
    assert_eq!(config.open_package().unwrap().hash(), package.hash());
}

#[test]
fn a_package_without_a_signature_opens_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    // A list that nobody signed says nothing.
    listed(folder.path());
    for keys in [vec![], vec![public(&pair())]] {
        assert_eq!(Package::open_trusting(folder.path(), &keys).unwrap().signature(), None);
    }
}

#[test]
fn a_signature_that_nobody_trusts_is_refused() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), pair());
    listed(folder.path());
    sign(folder.path(), &signer);
    let cases = [(vec![], "no key is trusted"), (vec![public(&pair()), public(&pair())], "none of the 2 trusted keys")];
    for (keys, words) in cases {
        let message = Package::open_trusting(folder.path(), &keys).unwrap_err().to_string();
        assert!(message.contains(SIGNATURE) && message.contains(words), "{message}");
        assert!(message.contains("trusted_keys") && message.contains("delete this file"), "{message}");
    }
}

#[test]
fn what_was_changed_after_signing_is_refused_by_name() {
    type Damage = fn(&Path, &KeyPair);
    let cases: [(Damage, &str); 9] = [
        (|folder, _| edit(folder, MANIFEST, |text| text + "# a remark\n"), "package.toml: it has SHA-256"),
        // Not parsed before it is compared: what follows is no TOML.
        (|folder, _| edit(folder, MANIFEST, |text| text + "= ="), "package.toml: it has SHA-256"),
        (|folder, _| edit(folder, LIST, |text| text.replace("  sm_89", "  sm_87")), "is not what was signed"),
        (|folder, _| edit(folder, SIGNATURE, |text| text.replace("release 7", "release 8")), "is not what was signed"),
        (|folder, _| std::fs::write(folder.join(ENCODER), b"other").unwrap(), "encoder.onnx: it has SHA-256"),
        (|folder, _| std::fs::remove_file(folder.join(LIST)).unwrap(), "package.sha256 is missing"),
        (|folder, _| std::fs::write(folder.join(SIGNATURE), b"").unwrap(), "this is no signature of minisign"),
        (|folder, _| std::fs::write(folder.join(SIGNATURE), [0xff; 300]).unwrap(), "this is no signature of minisign"),
        (
            |folder, _| edit(folder, SIGNATURE, |text| text.lines().take(2).collect::<Vec<_>>().join("\n")),
            "this is no signature of minisign",
        ),
    ];
    for (damage, words) in cases {
        let message = refusal(damage);
        assert!(message.contains(words), "{words}: {message}");
        assert!(
            ["copy the package again", "copy the whole package"].iter().any(|way| message.contains(way)),
            "{message}"
        );
    }
}

#[test]
fn a_network_that_the_list_leaves_out_is_refused() {
    let message = refusal(|folder, pair| {
        let without =
            |text: String| text.lines().filter(|line| !line.ends_with(LOCATOR)).map(|l| format!("{l}\n")).collect();
        edit(folder, LIST, without);
        sign(folder, pair);
    });
    assert!(message.starts_with("locator.onnx: the signed package.sha256 does not name this file"), "{message}");
}

#[test]
fn a_signed_list_that_makes_no_sense_is_refused() {
    type Change = fn(String) -> String;
    let cases: [(Change, &str); 6] = [
        (|_| String::new(), "does not name package.toml"),
        (|text| text.replace("  package.toml", " package.toml"), "is not a SHA-256, two spaces and a file name"),
        (|text| text.to_uppercase(), "is not a SHA-256, two spaces and a file name"),
        (|text| text.replace("sm_89.plan", "../sm_89.plan"), "`../sm_89.plan`, which is not a plain file name"),
        (|text| text.replace("sm_89.plan", ""), "``, which is not a plain file name"),
        (|text| text.clone() + &text, "names encoder.onnx twice"),
    ];
    for (change, words) in cases {
        let message = refusal(|folder, pair| {
            edit(folder, LIST, change);
            sign(folder, pair);
        });
        assert!(message.starts_with("package.sha256: ") && message.contains(words), "{words}: {message}");
    }
}

#[test]
fn a_signature_that_cannot_be_read_is_not_taken_for_none() {
    let folder = tempfile::tempdir().unwrap();
    listed(folder.path());
    std::os::unix::fs::symlink("/nowhere", folder.path().join(SIGNATURE)).unwrap();
    let keys = [public(&pair())];
    assert!(matches!(Package::open_trusting(folder.path(), &keys), Err(EngineError::Missing { .. })));
}

#[test]
fn a_file_exchanged_after_a_signed_package_was_opened_is_not_read() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), pair());
    listed(folder.path());
    sign(folder.path(), &signer);
    let package = Package::open_trusting(folder.path(), &[public(&signer)]).unwrap();
    std::fs::write(folder.path().join(LOCATOR), b"something else").unwrap();
    assert!(matches!(package.read(LOCATOR), Err(EngineError::Signature { .. })));
    let signature = package.signature().unwrap();
    assert!(signature.check(PLAN, b"another plan").unwrap_err().to_string().contains("copy the package again"));
    assert!(signature.check("sm_87.plan", b"a plan").unwrap_err().to_string().contains("does not name this file"));
}

/// What the program minisign 0.11 made of a list, and the key that it made it with.
mod golden {
    pub const KEY: &str = "RWT51Cmh0hrV6UeXwePLVryHAnSZ5B6ZGmiNeScuKoEk1QPdoD7O7e8I";
    pub const LIST: &str = "\
159a01306080761efcbc709028cfda245cbda8f6d2dc6f8391ba1ccf07ba77d6  encoder.onnx
d9c2f49ac320719739610010d90048cb5f3bd05562ad0216e0292cd07581783a  locator.onnx
a3511a98724b4cf586f2bf980d755197c83b58d1c7ab7bbd13074a2088f6ad13  package.toml
";
    pub const SIGNATURE: &str = "\
untrusted comment: signature from minisign secret key
RUT51Cmh0hrV6U4RSVw/WLvpR55Q6AMk4lEC+g8zwLDXbjN44RyCAyPgXYIyiuYvgn+bS6vMOBmzMWCjjN1puNYwSmYZC4D7oQg=
trusted comment: made by minisign 0.11
/PLwLLOgw6b+QtdZaekNOJ8mPzUOoBmDoQXinjcQiLL+aOlMtmea1g8RGIjHqIVTqu58sc59i46Q1uB3vGicBw==
";
    /// The same with its option -l.
    pub const OLD_SIGNATURE: &str = "\
untrusted comment: signature from minisign secret key
RWT51Cmh0hrV6bWwwji7HSeF0CCl4nz7LXftVGUWAujmep751oWVl/XwCaMla3V1lN8rpwotHe0jqsXbX6ORNmKDPIboPVlZawk=
trusted comment: made by minisign 0.11, old kind
NXER0r1dfAzexibpez6HDFrkhkq3NfHOpk9KFjGs+BIUQTzPgcj+bDenDql+QYEuOyfs/IMmzSR6ebb0DoNXCQ==
";
}

#[test]
fn a_signature_of_the_program_is_valid_and_one_of_the_old_kind_is_not() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(LIST), golden::LIST).unwrap();
    let verified = |signature: &str| {
        std::fs::write(folder.path().join(SIGNATURE), signature).unwrap();
        Signature::verify(folder.path(), &[golden::KEY.parse().unwrap()])
    };
    let signature = verified(golden::SIGNATURE).unwrap().unwrap();
    assert_eq!(signature.comment(), "made by minisign 0.11");
    assert!(signature.names(ENCODER));
    let message = verified(golden::OLD_SIGNATURE).unwrap_err().to_string();
    assert!(message.contains("minisign's old kind; sign package.sha256 anew"), "{message}");
}

#[test]
fn the_list_is_what_sha256sum_writes() {
    let folder = tempfile::tempdir().unwrap();
    listed(folder.path());
    let checked =
        std::process::Command::new("sha256sum").args(["--check", "--strict", LIST]).current_dir(&folder).output();
    assert!(checked.unwrap().status.success());
    let package = Package::open(folder.path()).unwrap();
    let error = write_list(&package, &["../secret".into()]).unwrap_err().to_string();
    assert!(error.contains("`../secret`, which is not a plain file name"), "{error}");
}

#[test]
fn a_signed_package_is_not_written_over() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), pair());
    listed(folder.path());
    sign(folder.path(), &signer);
    let package = Package::open_trusting(folder.path(), &[public(&signer)]).unwrap();
    let sealed = package.manifest().clone().seal(folder.path()).map(|_| ());
    for refused in [sealed, write_list(&package, &[]).map(|_| ())] {
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(SIGNATURE) && message.contains("delete this file first"), "{message}");
    }
    Package::open_trusting(folder.path(), &[public(&signer)]).unwrap();
}

#[test]
fn what_is_no_public_key_is_refused() {
    for text in ["", "RWQ", "untrusted comment: minisign public key", &"A".repeat(56)] {
        let message = text.parse::<TrustedKey>().unwrap_err().to_string();
        assert!(message.contains("second line of a minisign .pub file"), "{message}");
        let config = format!("package = \"p\"\ntrusted_keys = [\"{text}\"]");
        assert!(toml::from_str::<EngineConfig>(&config).unwrap_err().to_string().contains("no public key"));
    }
    let text = format!("package = \"p\"\ntrusted_keys = [\"{}\"]", public(&pair()));
    let config: EngineConfig = toml::from_str(&text).unwrap();
    assert_eq!(toml::from_str::<EngineConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn no_bit_of_a_signed_package_can_be_flipped() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), pair());
    listed(folder.path());
    sign(folder.path(), &signer);
    let keys = [public(&signer)];
    let opens = || Package::open_trusting(folder.path(), &keys).is_ok();
    assert!(opens());
    // The signature's first line is minisign's untrusted comment.
    let first = std::fs::read(folder.path().join(SIGNATURE)).unwrap().iter().position(|&byte| byte == b'\n').unwrap();
    let flip = (0..5_usize, any::<prop::sample::Index>(), 0..8_u32);
    proptest!(ProptestConfig::with_cases(1000), |((file, at, bit) in flip)| {
        let name = [SIGNATURE, LIST, MANIFEST, ENCODER, LOCATOR][file];
        let path = folder.path().join(name);
        let kept = std::fs::read(&path).unwrap();
        let at = if name == SIGNATURE { first + at.index(kept.len() - first) } else { at.index(kept.len()) };
        let mut flipped = kept.clone();
        flipped[at] ^= 1 << bit;
        std::fs::write(&path, &flipped).unwrap();
        let opened = opens();
        std::fs::write(&path, &kept).unwrap();
        prop_assert!(!opened, "{name}: bit {bit} of byte {at}");
    });
    assert!(opens());
}
