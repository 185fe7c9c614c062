//! The learning rate: a linear warm-up, then half a cosine down to a floor.

/// The rate of step `step` (from 0) of `steps`: rises over `warm_up` steps to `peak`, falls to `peak * floor`.
pub fn rate(step: u64, steps: u64, warm_up: u64, peak: f64, floor: f64) -> f64 {
    if step < warm_up {
        return peak * (step + 1) as f64 / warm_up as f64;
    }
    let done = (step - warm_up) as f64 / steps.saturating_sub(warm_up).max(1) as f64;
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
    peak * (floor + (1.0 - floor) * cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_its_peak_and_ends_at_its_floor() {
        let at = |step| rate(step, 100, 10, 1e-3, 0.01);
        assert!((at(0) - 1e-4).abs() < 1e-12);
        assert!((at(9) - 1e-3).abs() < 1e-12);
        assert!((at(100) - 1e-5).abs() < 1e-12);
        assert!((0..100).all(|step| at(step) > 0.0));
        assert!((10..99).all(|step| at(step + 1) < at(step)));
    }
}
