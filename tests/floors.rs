//! Dependencies between our crates go down only, and what must stay out of the program stays out.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The floor of each crate. A crate with none fails: a new crate is a design decision, so it is written here.
const FLOORS: &[(&str, u8)] = &[
    ("smgeo-geo", 0),
    ("smgeo-flow", 0),
    ("smgeo-vision", 0),
    ("smgeo-engine", 0),
    ("smgeo-messages", 1),
    ("smgeo-ortho", 1),
    ("smgeo-gpu", 1),
    ("smgeo-world", 1),
    ("smgeo-runtime", 2),
    ("smgeo-train", 2),
    ("smgeo", 3),
];

/// Crates that only one of ours may name.
const SOLE_USERS: &[(&str, &str)] = &[
    ("gstreamer", "smgeo-runtime"),
    ("actix", "smgeo-runtime"),
    ("actix-web", "smgeo-runtime"),
    ("zenoh", "smgeo-runtime"),
    ("burn", "smgeo-train"),
    ("rten", "smgeo-engine"),
    ("cudarc", "smgeo-gpu"),
    ("minisign-verify", "smgeo-engine"),
    ("tiff", "smgeo-ortho"),
];

struct Graph {
    ours: BTreeSet<String>,
    /// Normal dependencies of every package, by name.
    uses: BTreeMap<String, BTreeSet<String>>,
}

fn graph() -> Graph {
    // What other systems would need was never downloaded here.
    let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", &here])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let members: BTreeSet<&str> = list(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
    let name_of: BTreeMap<&str, &str> =
        list(&metadata["packages"]).map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let mut uses = BTreeMap::<String, BTreeSet<String>>::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let used = uses.entry(name_of[text(&node["id"])].to_owned()).or_default();
        for dependency in list(&node["deps"]) {
            if list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null()) {
                used.insert(name_of[text(&dependency["pkg"])].to_owned());
            }
        }
    }
    Graph { ours: members.iter().map(|id| name_of[id].to_owned()).collect(), uses }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo metadata gives a string here")
}

fn floor(name: &str) -> u8 {
    let found = FLOORS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("{name} has no floor; decide one and write it into tests/floors.rs")).1
}

#[test]
fn dependencies_between_our_crates_go_down() {
    let graph = graph();
    for name in &graph.ours {
        for used in graph.uses[name].iter().filter(|used| graph.ours.contains(*used)) {
            assert!(floor(used) < floor(name), "{name} (floor {}) uses {used} (floor {})", floor(name), floor(used));
        }
    }
}

#[test]
fn heavy_crates_are_named_by_one_crate_each() {
    let graph = graph();
    for (heavy, sole) in SOLE_USERS {
        for name in graph.ours.iter().filter(|name| name != sole) {
            assert!(!graph.uses[name].contains(*heavy), "{name} names {heavy}, which only {sole} may");
        }
    }
}

#[test]
fn the_program_reaches_no_training_code() {
    let graph = graph();
    let mut reached = BTreeSet::from(["smgeo".to_owned()]);
    let mut open = vec!["smgeo".to_owned()];
    while let Some(name) = open.pop() {
        for used in graph.uses.get(&name).into_iter().flatten() {
            if reached.insert(used.clone()) {
                open.push(used.clone());
            }
        }
    }
    for name in &reached {
        assert!(!name.starts_with("burn") && name != "smgeo-train", "smgeo reaches {name}");
    }
}
