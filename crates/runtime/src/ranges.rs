//! What numbers of the configuration may be. Errors are sentences that name the key.

use std::ops::RangeInclusive;

/// Checks that values by their keys are more than 0.
pub fn positive(values: &[(&str, f64)]) -> Result<(), String> {
    check(values, |value| value.is_finite() && value > 0.0, "more than 0")
}

/// Checks that they are 0 or more.
pub fn not_negative(values: &[(&str, f64)]) -> Result<(), String> {
    check(values, |value| value.is_finite() && value >= 0.0, "0 or more")
}

/// Checks that they are from 0 to 1.
pub fn probability(values: &[(&str, f64)]) -> Result<(), String> {
    check(values, |value| (0.0..=1.0).contains(&value), "from 0 to 1")
}

/// Checks that they are in a range.
pub fn within(range: RangeInclusive<f64>, values: &[(&str, f64)]) -> Result<(), String> {
    check(values, |value| range.contains(&value), &format!("from {} to {}", range.start(), range.end()))
}

fn check(values: &[(&str, f64)], may_be: impl Fn(f64) -> bool, range: &str) -> Result<(), String> {
    match values.iter().find(|(_, value)| !may_be(*value)) {
        Some((key, value)) => Err(format!("{key} is {value}; it must be {range}")),
        None => Ok(()),
    }
}
