//! What to change in a plan so that a package fits it: packages carry the configuration that they were trained with.

use toml::{Table, Value};

use crate::model::Config;

/// Keys that any package fits, whatever they say.
const FREE: [&str; 4] = ["architecture", "drop_path", "moe.noise_sigma", "moe.top_k"];

/// Names the keys of `[model]` that differ between a package that was made with `made_with`, as TOML, and `config`.
pub(super) fn remedy(made_with: Option<&str>, config: &Config) -> String {
    let theirs = made_with.and_then(|text| text.parse::<Table>().ok());
    let ours = Table::try_from(config).ok();
    let keys = theirs.zip(ours).map(|(theirs, ours)| differing(&theirs, &ours, "")).unwrap_or_default();
    match keys.is_empty() {
        true => "take a package of this network, or name in training.start_fresh what is to start at random".to_owned(),
        false => format!("the package fits a plan with {} under [model]", keys.join(", ")),
    }
}

/// Keys of both with the values of `theirs`, where they differ, tables within tables.
fn differing(theirs: &Table, ours: &Table, within: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, our) in ours {
        let name = format!("{within}{key}");
        match (theirs.get(key), our) {
            (Some(Value::Table(their)), Value::Table(our)) => keys.extend(differing(their, our, &format!("{name}."))),
            (Some(their), _) if their == our || FREE.contains(&name.as_str()) => {}
            (Some(their), _) => keys.push(format!("{name} = {their}")),
            (None, _) => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_change_the_network_are_named() {
        let mut config = Config::nano();
        config.moe.experts = 4;
        config.drop_path = 0.3;
        let made_with = toml::to_string(&Config::nano()).unwrap();
        // An older exporter wrote keys that are not there any more.
        let remedy = |text: &str| super::remedy(Some(text), &config);
        let told = remedy(&format!("an_older_key = 256\n{made_with}"));
        assert_eq!(told, "the package fits a plan with moe.experts = 6 under [model]");
        assert!(super::remedy(None, &config).contains("training.start_fresh"));
    }
}
