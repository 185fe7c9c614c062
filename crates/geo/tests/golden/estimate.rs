//! Circular errors, gates and the filter against scipy and filterpy.

use nalgebra::{DMatrix, DVector, Matrix4, Vector2, Vector4};
use serde_json::Value;
use smgeo_geo::{Covariance2, KalmanTrack, Motion, chi_square};

use crate::reading::{all_near, count, holds, near, number, numbers, parsed, rows, text};

const GOLDEN: &str = include_str!("estimate.json");

fn covariance(value: &Value, key: &str) -> Covariance2 {
    let all = numbers(value, key);
    Covariance2::new(all[0], all[1], all[3]).unwrap()
}

#[test]
fn ellipses_and_circles_agree() {
    for row in rows(&parsed(GOLDEN), "circular_error") {
        let covariance = covariance(row, "covariance_ne_m2");
        let what = format!("{covariance:?}");
        let ellipse = covariance.ellipse();
        let major_m = number(row, "semi_major_m");
        near(ellipse.semi_major_m, major_m, 1e-12 * major_m, &what);
        // The eigenvalue itself is good to rounding of the larger one, so its root is not.
        near(ellipse.semi_minor_m, number(row, "semi_minor_m"), 1e-9 * major_m, &what);
        if !holds(row, "bearing_free") {
            let off_deg = ellipse.bearing_rad.to_degrees() - number(row, "bearing_major_deg");
            near((off_deg + 90.0).rem_euclid(180.0) - 90.0, 0.0, 1e-9, &what);
        }
        for (key, p) in [("ce50", 0.5), ("ce90", 0.9), ("ce95", 0.95)] {
            let exact_m = number(&row[key], "exact_m");
            let got = covariance.circular_error_m(p);
            near(got, exact_m, 1e-9 * exact_m, &what);
            near(covariance.probability_within(got), p, 1e-12, &what);
            assert!(got <= number(&row[key], "bound_major_m") * (1.0 + 1e-12), "{what}");
            let (a, b) = ellipse.semi_axes_m(p);
            all_near(&[a, b], &numbers(&row[key], "ellipse_semi_axes_m"), 2e-9 * a, &what);
        }
    }
}

#[test]
fn gates_and_tails_agree() {
    let golden = parsed(GOLDEN);
    for row in rows(&golden, "chi_square_gates") {
        let gate = chi_square::gate(count(row, "dof") as u32, number(row, "probability"));
        near(gate, number(row, "gate"), 1e-9, &row.to_string());
    }
    for row in rows(&golden, "chi_square_tails") {
        let (degrees, value) = (count(row, "dof") as u32, number(row, "value"));
        near(chi_square::cdf(degrees, value), number(row, "cdf"), 1e-12, &row.to_string());
        let tail = number(row, "tail");
        near(chi_square::tail(degrees, value), tail, 1e-9 * tail, &row.to_string());
    }
    for row in rows(&golden, "consistency_bands") {
        let runs = number(row, "runs");
        let degrees = (count(row, "runs") * count(row, "dof")) as u32;
        near(chi_square::gate(degrees, 0.025) / runs, number(row, "low"), 1e-9, &row.to_string());
        near(chi_square::gate(degrees, 0.975) / runs, number(row, "high"), 1e-9, &row.to_string());
    }
}

#[test]
fn mahalanobis_distances_agree() {
    for row in rows(&parsed(GOLDEN), "mahalanobis") {
        let difference = numbers(row, "difference");
        if difference.len() != 2 {
            // Ours is for the ground: two dimensions. The others check the peer's numbers as they stand.
            let full = DMatrix::from_vec(difference.len(), difference.len(), numbers(row, "covariance"));
            let offset = DVector::from_vec(difference);
            let squared = offset.dot(&full.cholesky().unwrap().solve(&offset));
            near(squared.sqrt(), number(row, "mahalanobis"), 1e-9, "peer");
            continue;
        }
        let squared =
            covariance(row, "covariance").mahalanobis_squared(Vector2::new(difference[0], difference[1])).unwrap();
        near(squared.sqrt(), number(row, "mahalanobis"), 1e-9, "ours");
    }
}

#[test]
fn process_noise_is_that_of_continuous_white_acceleration() {
    for row in rows(&parsed(GOLDEN), "process_noise") {
        let (_, noise) = Motion::ConstantVelocity { spectral_density_m2_s3: 0.5 }.step(number(row, "dt_s"));
        let axis = [noise[(0, 0)], noise[(0, 2)], noise[(2, 0)], noise[(2, 2)]];
        all_near(&axis, &numbers(row, "continuous_q_0_5"), 1e-15, "noise");
    }
}

/// Asserts agreement to 1e-9 of the largest element.
#[track_caller]
fn same<'a>(got: impl IntoIterator<Item = &'a f64>, want: &[f64], what: &str) {
    let scale = want.iter().fold(1.0_f64, |most, part| most.max(part.abs()));
    all_near(got, want, 1e-9 * scale, what);
}

#[test]
fn forty_filter_steps_agree() {
    let golden = parsed(GOLDEN);
    let filter = &golden["filter"];
    let motion = Motion::ConstantVelocity { spectral_density_m2_s3: number(filter, "spectral_density_m2_s3") };
    let start = Vector4::from_vec(numbers(&filter["start"], "x"));
    let mut track = KalmanTrack::from_state(start, Matrix4::from_vec(numbers(&filter["start"], "P")), motion).unwrap();
    for row in rows(&golden, "filter_steps") {
        let what = format!("step {}", count(row, "k"));
        track.predict(number(row, "dt_s")).unwrap();
        same(track.state().iter(), &numbers(row, "x_prior"), &what);
        same(track.covariance().iter(), &numbers(row, "P_prior"), &what);
        if !row["z_m"].is_null() {
            let measured = Vector2::from_vec(numbers(row, "z_m"));
            let noise = covariance(row, "R");
            let gate = track.gate(measured, noise, 0.99).unwrap();
            near(gate.limit, number(filter, "gate_2_dof_99"), 1e-9, &what);
            same(gate.innovation_m.iter(), &numbers(row, "innovation"), &what);
            same(gate.innovation_covariance_m2.iter(), &numbers(row, "S"), &what);
            near(gate.nis, number(row, "nis"), 1e-9 * gate.nis.max(1.0), &what);
            near(gate.log_likelihood, number(row, "log_likelihood"), 1e-9, &what);
            assert_eq!(gate.passes(), text(row, "action") == "update", "{what}");
            if gate.passes() {
                track.update(measured, noise).unwrap();
            }
        } else {
            assert_eq!(text(row, "action"), "coast");
        }
        same(track.state().iter(), &numbers(row, "x"), &what);
        same(track.covariance().iter(), &numbers(row, "P"), &what);
        let nees = track.nees(Vector4::from_vec(numbers(row, "truth"))).unwrap();
        near(nees, number(row, "nees"), 1e-9 * nees.max(1.0), &what);
    }
}
