//! Maps between planes: 3 x 3 matrices on homogeneous pixel coordinates, and the eight symmetries of the square.

use nalgebra::{Matrix3, Vector3};
use rand::{Rng, RngExt};

/// A map from one plane to another, `target ~ matrix * source`.
pub type Planar = Matrix3<f64>;

/// Maps a point; `None` where the denominator is not positive, which for a camera means behind it.
pub fn map(planar: &Planar, point: [f64; 2]) -> Option<[f64; 2]> {
    let mapped = planar * Vector3::new(point[0], point[1], 1.0);
    (mapped.z > 1e-9).then(|| [mapped.x / mapped.z, mapped.y / mapped.z])
}

/// Maps a point through an affine map, whose last row is (0, 0, 1).
pub fn map_affine(affine: &Planar, point: [f64; 2]) -> [f64; 2] {
    let [x, y] = point;
    [affine[(0, 0)] * x + affine[(0, 1)] * y + affine[(0, 2)], affine[(1, 0)] * x + affine[(1, 1)] * y + affine[(1, 2)]]
}

/// A shift.
pub fn shift(x: f64, y: f64) -> Planar {
    Matrix3::new(1.0, 0.0, x, 0.0, 1.0, y, 0.0, 0.0, 1.0)
}

/// A scale about the origin.
pub fn scale(factor: f64) -> Planar {
    Matrix3::new(factor, 0.0, 0.0, 0.0, factor, 0.0, 0.0, 0.0, 1.0)
}

/// The inverse of an affine map that is known to be one: a product of shifts, scales and symmetries.
pub fn inverse(affine: &Planar) -> Planar {
    affine.try_inverse().expect("shifts, scales and symmetries have an inverse")
}

/// One of the eight symmetries of the square about the origin, drawn evenly.
pub fn symmetry(rng: &mut impl Rng) -> Planar {
    let (s, c) = [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)][rng.random_range(0..4)];
    let mirror = if rng.random_bool(0.5) { -1.0 } else { 1.0 };
    Matrix3::new(c * mirror, -s, 0.0, s * mirror, c, 0.0, 0.0, 0.0, 1.0)
}

/// The smallest upright box around the images of a box's corners, [x0, y0, x1, y1], through an affine map.
pub fn map_box(affine: &Planar, box_xyxy: [f64; 4]) -> [f64; 4] {
    let [x0, y0, x1, y1] = box_xyxy;
    let corners = [[x0, y0], [x1, y0], [x0, y1], [x1, y1]].map(|corner| map_affine(affine, corner));
    let least = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f64::INFINITY, f64::min);
    let most = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f64::NEG_INFINITY, f64::max);
    [least(0), least(1), most(0), most(1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn every_symmetry_keeps_areas_and_has_an_inverse() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..32 {
            let symmetry = symmetry(&mut rng);
            assert!((symmetry.determinant().abs() - 1.0).abs() < 1e-12);
            let point = map_affine(&inverse(&symmetry), map_affine(&symmetry, [3.0, 5.0]));
            assert!((point[0] - 3.0).abs() < 1e-12 && (point[1] - 5.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_mapped_box_stays_upright() {
        let quarter_turn = Matrix3::new(0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0);
        assert_eq!(map_box(&quarter_turn, [1.0, 2.0, 3.0, 5.0]), [-5.0, 1.0, -2.0, 3.0]);
    }
}
