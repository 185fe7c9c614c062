//! Sports grounds: football fields, tennis and basketball courts, with their true measures and lines.

use std::f32::consts::{FRAC_PI_2, TAU};

use crate::blocks::{Yard, mown, strip};
use crate::draft::{Draft, layer};
use crate::material::Material;
use crate::mesh::Finish;
use crate::object::ObjectKind;
use crate::place::Place;

/// Fills a yard with what fits.
pub(crate) fn build(draft: &mut Draft, yard: Yard) {
    let yard = yard.lengthwise();
    let (mut left, right) = (-yard.width / 2.0 + 4.0, yard.width / 2.0 - 4.0);
    let half = yard.depth / 2.0 - 3.0;
    if yard.width > 84.0 && yard.depth > 50.0 && draft.dice.chance(0.55) {
        let length = (yard.width - 14.0).min(105.0) * draft.dice.range(0.85, 1.0);
        let width = (length * 0.64).min(yard.depth - 10.0);
        football(draft, &yard.place.moved(left + length / 2.0 + 2.0, 0.0, 0.0), length, width);
        left += length + 10.0;
    }
    let (green, blue, clay) = ([84.0, 128.0, 96.0], [70.0, 108.0, 152.0], [178.0, 104.0, 78.0]);
    let tennis_rgb = draft.dice.pick(&[green, blue, clay]);
    while right - left > 19.0 {
        let tennis = draft.dice.chance(0.6);
        let (across, along) = if tennis { (17.5, 35.0) } else { (17.0, 30.0) };
        let count = ((2.0 * half) / (along + 1.5)).floor().min(2.0) as usize;
        for k in 0..count {
            let y = (k as f32 - (count as f32 - 1.0) / 2.0) * (along + 2.0);
            let place = yard.place.moved(left + across / 2.0, y, FRAC_PI_2);
            if tennis { tennis_court(draft, &place, tennis_rgb) } else { basketball_court(draft, &place) }
        }
        left += across + 3.0;
    }
    for _ in 0..(yard.width * draft.style.plants.density / 9.0) as usize {
        let side = if draft.dice.chance(0.5) { 1.0 } else { -1.0 };
        let at = yard
            .place
            .point(draft.dice.range(-0.5, 0.5) * yard.width, side * (yard.depth / 2.0 - draft.dice.range(0.2, 1.5)));
        draft.tree(at);
    }
}

/// A line 0.3 m wide through local points: wider than real ones, as sunlit chalk looks from the air.
fn line(draft: &mut Draft, place: &Place, points: &[[f32; 2]], half: f32) {
    let white = draft.marking([236.0, 236.0, 230.0]);
    let points: Vec<[f32; 2]> = points.iter().map(|p| place.point(p[0], p[1])).collect();
    strip(draft, layer::ISLAND, &points, half, white);
}

fn rectangle(draft: &mut Draft, place: &Place, x: f32, y: f32, half: f32) {
    line(draft, place, &[[-x, -y], [x, -y], [x, y], [-x, y], [-x, -y]], half);
}

fn arc(draft: &mut Draft, place: &Place, [x, y]: [f32; 2], radius: f32, (from, to): (f32, f32), half: f32) {
    let points: Vec<[f32; 2]> = (0..=24)
        .map(|k| {
            let (sin, cos) = (from + (to - from) * k as f32 / 24.0).sin_cos();
            [x + radius * cos, y + radius * sin]
        })
        .collect();
    line(draft, place, &points, half);
}

fn football(draft: &mut Draft, place: &Place, length: f32, width: f32) {
    let (x, y) = (length / 2.0, width / 2.0);
    let outer = place.centred(0.0, 0.0, length + 5.0, width + 5.0);
    let artificial = draft.dice.chance(0.3);
    let turf = if artificial {
        Material { plant: 0.0, ..Material::grown([[70.0, 122.0, 66.0], [78.0, 130.0, 72.0]]) }.noise(0.04, 0.3, 0.2)
    } else {
        let lawn = draft.lawn();
        Material { colours: [[78.0, 116.0, 54.0], lawn.colours[0]], ..lawn }.noise(0.08, 0.3, 0.35)
    };
    draft.paint(layer::LOT, outer.clone(), mown(turf, place, length / 9.0));
    let worn = Material::plain(draft.style.palette.soil).opacity(0.35);
    for s in [-1.0, 1.0] {
        let spot = crate::place::circle(place.point(s * (x - 6.0), 0.0), 5.0, 14);
        draft.paint(layer::PATH, spot, worn);
    }
    let half = 0.13;
    rectangle(draft, place, x, y, half);
    line(draft, place, &[[0.0, -y], [0.0, y]], half);
    arc(draft, place, [0.0, 0.0], 9.15, (0.0, TAU), half);
    for s in [-1.0, 1.0] {
        for (reach, side) in [(16.5f32, 20.1f32), (5.5, 9.1)] {
            let inner = s * (x - reach);
            line(draft, place, &[[s * x, -side], [inner, -side], [inner, side], [s * x, side]], half);
        }
        goal(draft, place, s * x);
    }
    draft.object(ObjectKind::FootballField, place.centred(0.0, 0.0, length, width), 0.0);
}

fn goal(draft: &mut Draft, place: &Place, x: f32) {
    draft.no_object();
    let at = place.point(x, 0.0);
    let z = draft.relief.height(at[0], at[1]);
    let looks = [(Finish::Plain, [240.0; 3]); 2];
    for y in [-3.66, 3.66] {
        draft.builder.block(place, (x - 0.1, x + 0.1), (y - 0.1, y + 0.1), (z - 1.0, z + 2.4), looks);
    }
    draft.builder.block(place, (x - 0.1, x + 0.1), (-3.66, 3.66), (z + 2.2, z + 2.44), looks);
}

fn tennis_court(draft: &mut Draft, place: &Place, rgb: [f32; 3]) {
    let outer = draft.dice.shade(rgb.map(|c| c * 0.86), 0.08);
    let bed = place.centred(0.0, 0.0, 34.5, 17.0);
    draft.paint(layer::PATH, bed.clone(), Material::plain(outer));
    let inner = if draft.dice.chance(0.5) { rgb } else { rgb.map(|c| (c * 1.12).min(255.0)) };
    draft.paint(layer::PAVEMENT, place.centred(0.0, 0.0, 23.77, 10.97), Material::plain(inner));
    let half = 0.09;
    rectangle(draft, place, 11.885, 5.485, half);
    rectangle(draft, place, 11.885, 4.115, half);
    for x in [-6.4, 6.4] {
        line(draft, place, &[[x, -4.115], [x, 4.115]], half);
    }
    line(draft, place, &[[-6.4, 0.0], [6.4, 0.0]], half);
    draft.object(ObjectKind::TennisCourt, bed, 0.0);
    let at = place.at;
    let z = draft.relief.height(at[0], at[1]);
    draft.no_object();
    let looks = [(Finish::Plain, [52.0, 56.0, 54.0]); 2];
    draft.builder.block(place, (-0.06, 0.06), (-6.4, 6.4), (z - 0.5, z + 1.0), looks);
}

fn basketball_court(draft: &mut Draft, place: &Place) {
    let rgb = draft.dice.pick(&[[142.0, 86.0, 70.0], [92.0, 118.0, 142.0], [120.0, 126.0, 118.0], [96.0, 130.0, 98.0]]);
    let bed = place.centred(0.0, 0.0, 29.0, 16.5);
    let floor = draft.dice.shade(rgb, 0.1);
    draft.paint(layer::PATH, bed.clone(), Material::plain(floor));
    let key = draft.dice.shade([166.0, 96.0, 72.0], 0.2);
    let half = 0.09;
    rectangle(draft, place, 13.6, 7.3, half);
    line(draft, place, &[[0.0, -7.3], [0.0, 7.3]], half);
    arc(draft, place, [0.0, 0.0], 1.8, (0.0, TAU), half);
    for s in [-1.0f32, 1.0] {
        let (inner, outer) = (s * 7.8, s * 13.6);
        draft.paint(
            layer::PAVEMENT,
            place.rectangle(inner.min(outer), -2.45, inner.max(outer), 2.45),
            Material::plain(key),
        );
        line(draft, place, &[[outer, -2.45], [inner, -2.45], [inner, 2.45], [outer, 2.45]], half);
        let turn = if s > 0.0 { FRAC_PI_2 } else { -FRAC_PI_2 };
        arc(draft, place, [s * 12.2, 0.0], 6.4, (turn, turn + TAU / 2.0), half);
        let at = place.point(outer, 0.0);
        let z = draft.relief.height(at[0], at[1]);
        draft.no_object();
        let looks = [(Finish::Plain, [226.0, 226.0, 226.0]); 2];
        draft.builder.block(place, (outer - 0.1, outer + 0.1), (-0.9, 0.9), (z + 2.6, z + 3.8), looks);
    }
    draft.object(ObjectKind::BasketballCourt, bed, 0.0);
}
