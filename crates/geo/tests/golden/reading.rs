//! Reads golden files: numbers by path, with the path in the message when one is missing.

use serde_json::Value;

/// Parses a golden file.
pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The rows of a list.
pub fn rows<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is no list"))
}

/// A number.
pub fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} is no number in {value}"))
}

/// A whole number.
pub fn count(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} is no whole number in {value}"))
}

/// A text.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is no text in {value}"))
}

/// A yes or no.
pub fn holds(value: &Value, key: &str) -> bool {
    value[key].as_bool().unwrap_or_else(|| panic!("{key} is no truth value in {value}"))
}

/// A list of numbers; nested lists are laid end to end.
pub fn numbers(value: &Value, key: &str) -> Vec<f64> {
    fn collect(value: &Value, into: &mut Vec<f64>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            other => into.push(other.as_f64().unwrap()),
        }
    }
    let mut all = Vec::new();
    collect(&value[key], &mut all);
    all
}

/// Asserts that two numbers agree within a tolerance.
#[track_caller]
pub fn near(got: f64, want: f64, tolerance: f64, what: &str) {
    assert!((got - want).abs() <= tolerance, "{what}: got {got}, want {want}, off by {:e}", (got - want).abs());
}

/// Asserts that two lists agree within a tolerance.
#[track_caller]
pub fn all_near<'a>(got: impl IntoIterator<Item = &'a f64>, want: &[f64], tolerance: f64, what: &str) {
    let got: Vec<f64> = got.into_iter().copied().collect();
    assert_eq!(got.len(), want.len(), "{what}");
    for (index, (&have, &expected)) in got.iter().zip(want).enumerate() {
        near(have, expected, tolerance, &format!("{what} [{index}]"));
    }
}

/// The difference of two angles in degrees, the short way round.
pub fn turn_deg(a: f64, b: f64) -> f64 {
    ((a - b + 180.0).rem_euclid(360.0) - 180.0).abs()
}
