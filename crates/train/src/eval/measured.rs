//! What reports of `eval` bring into a package: the temperature of the first, and the scores of all.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

/// What goes into a package's manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Divisor of the heat logits: the first report's fitted one, or 1 without a report.
    pub temperature: f64,
    /// Scores by the name of the report's file.
    pub metrics: toml::Table,
}

impl Measured {
    /// Reads reports as `eval --report` writes them. Their files need names of their own, since scores are kept under them.
    pub fn read(reports: &[PathBuf]) -> anyhow::Result<Self> {
        let mut measured = Self { temperature: 1.0, metrics: toml::Table::new() };
        for (index, path) in reports.iter().enumerate() {
            let report = read(path)?;
            if index == 0 {
                let fitted = report["fitted"]["temperature"].as_f64();
                measured.temperature =
                    fitted.with_context(|| format!("report {} has no fitted temperature", path.display()))?;
            }
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if measured.metrics.insert(name.clone(), toml::Value::try_from(&report["scores"])?).is_some() {
                bail!("two reports are called {name}, and the package keeps scores under that name: rename one");
            }
        }
        Ok(measured)
    }
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading report {}", path.display()))?;
    let report: Value = serde_json::from_str(&text).with_context(|| format!("reading report {}", path.display()))?;
    match report["scores"]["count"].as_u64() {
        Some(0) => bail!(
            "report {} measured no pair, so its scores and temperature mean nothing: run `eval` again on a set with pairs",
            path.display()
        ),
        Some(_) => Ok(report),
        None => bail!("{} is no report of `eval`: it does not say how many pairs were measured", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes reports of so many pairs and reads them.
    fn reading(reports: &[(&str, usize)]) -> Result<Measured, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (index, (name, count)) in reports.iter().enumerate() {
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            let temperature = 1.1 + index as f64;
            let text =
                format!("{{\"scores\": {{\"count\": {count}}}, \"fitted\": {{\"temperature\": {temperature}}}}}");
            std::fs::write(path(name), text).unwrap();
        }
        let paths: Vec<PathBuf> = reports.iter().map(|(name, _)| path(name)).collect();
        Measured::read(&paths).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_first_report_gives_the_temperature_and_all_give_scores() {
        assert_eq!(reading(&[]).unwrap(), Measured { temperature: 1.0, metrics: toml::Table::new() });
        let measured = reading(&[("town.json", 300), ("naip.json", 200)]).unwrap();
        assert_eq!(measured.temperature, 1.1);
        assert_eq!(measured.metrics["naip"]["count"].as_integer(), Some(200));
        assert_eq!(measured.metrics.len(), 2);
    }

    #[test]
    fn a_report_of_no_pairs_is_refused() {
        for reports in [[("town.json", 0), ("naip.json", 9)], [("town.json", 9), ("naip.json", 0)]] {
            let error = reading(&reports).unwrap_err();
            assert!(error.contains("measured no pair") && error.contains("temperature"), "{error}");
        }
    }

    #[test]
    fn two_reports_of_one_name_are_refused() {
        let error = reading(&[("a/report.json", 9), ("b/report.json", 9)]).unwrap_err();
        assert!(error.contains("two reports are called report"), "{error}");
    }
}
