//! Trees: clusters of leaf balls. A broad crown is a heap of them, a conifer a stack that narrows, a palm a small star on
//! a tall stem, a shrub a single one.

use crate::dice::Dice;
use crate::mesh::{Builder, Crown, Finish};
use crate::place::Place;
use crate::style::{Plants, Rgb};

/// What kind of tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Broad,
    Conifer,
    Palm,
    Shrub,
}

const KINDS: [Kind; 4] = [Kind::Broad, Kind::Conifer, Kind::Palm, Kind::Shrub];

/// Plants one tree of the town's mix, its foot on the ground at height `z`.
pub(crate) fn plant(builder: &mut Builder, dice: &mut Dice, plants: &Plants, at: [f32; 2], z: f32) {
    let kind = KINDS[dice.weighted(&plants.kinds)];
    plant_kind(builder, dice, plants, kind, at, z);
}

/// Plants one tree of a kind.
pub(crate) fn plant_kind(builder: &mut Builder, dice: &mut Dice, plants: &Plants, kind: Kind, at: [f32; 2], z: f32) {
    let size = dice.range(plants.crown_m.0, plants.crown_m.1);
    let base = dice.pick(&plants.greens);
    let rgb = dice.shade(base, 0.16);
    let seasonal = if kind == Kind::Broad { plants.seasonal } else { plants.seasonal * 0.15 };
    let mut add = |dice: &mut Dice, x: f32, y: f32, up: f32, radius: f32| {
        let rgb = dice.shade(rgb, 0.07);
        let seed = dice.seed();
        builder.crown(Crown { centre: [at[0] + x, at[1] + y, z + up], radius, rgb, seasonal, seed });
    };
    match kind {
        Kind::Broad => {
            let up = size * dice.range(1.1, 1.5);
            add(dice, 0.0, 0.0, up + 0.25 * size, size * 0.8);
            let balls = dice.count(3, 5);
            let turn = dice.range(0.0, 6.3);
            for k in 0..balls {
                let (sin, cos) = (turn + std::f32::consts::TAU * k as f32 / balls as f32).sin_cos();
                let (away, radius) = (size * dice.range(0.4, 0.7), size * dice.range(0.45, 0.7));
                let lift = up + size * dice.range(-0.25, 0.25);
                add(dice, away * cos, away * sin, lift, radius);
            }
        }
        Kind::Conifer => {
            let (radius, height) = (size * 0.62, size * dice.range(2.6, 3.6));
            for k in 0..4 {
                let t = k as f32 / 4.0;
                add(dice, 0.0, 0.0, height * (0.25 + 0.7 * t), radius * (1.0 - 0.75 * t));
            }
        }
        Kind::Palm => {
            let height = size * dice.range(2.0, 3.2);
            add(dice, 0.0, 0.0, height - 0.1, size * 0.22);
            let turn = dice.range(0.0, 6.3);
            fronds(builder, Place::turned(at, turn), z + height, size * 0.95, rgb);
            stem(builder, at, z, height);
        }
        Kind::Shrub => {
            let radius = size * dice.range(0.25, 0.45);
            add(dice, 0.0, 0.0, radius * 0.5, radius);
        }
    }
}

/// Nine bent leaves around the top of a palm.
fn fronds(builder: &mut Builder, place: Place, z: f32, reach: f32, rgb: Rgb) {
    builder.begin(crate::mesh::NO_OBJECT, 0);
    for k in 0..9 {
        let leaf = place.moved(0.0, 0.0, 0.7 * k as f32);
        let corner = |x: f32, y: f32, up: f32| {
            let [e, n] = leaf.point(x, y);
            [e, n, z + up]
        };
        let (half, bend) = (0.13 * reach, 0.55 * reach);
        let tone = rgb.map(|c| c * (0.85 + 0.05 * (k % 5) as f32));
        let base = [corner(0.0, -0.1, 0.1), corner(bend, -half, 0.15), corner(bend, half, 0.15), corner(0.0, 0.1, 0.1)];
        builder.face(&base, Finish::Felt, tone);
        let tip = [corner(bend, -half, 0.15), corner(reach, 0.0, -0.3 * reach), corner(bend, half, 0.15)];
        builder.face(&tip, Finish::Felt, tone.map(|c| c * 0.9));
    }
}

fn stem(builder: &mut Builder, at: [f32; 2], z: f32, height: f32) {
    builder.begin(crate::mesh::NO_OBJECT, 0);
    let brown = [112.0, 98.0, 80.0];
    let place = Place::turned(at, 0.4);
    builder.prism(&place.centred(0.0, 0.0, 0.4, 0.4), z, z + height, (Finish::Plain, brown));
}
