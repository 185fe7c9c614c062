//! Water through the town and the country around it: fields, meadows, woods.

use crate::blocks::{Yard, blob};
use crate::draft::{Draft, layer};
use crate::material::{Material, Pattern};
use crate::streets::{Block, Plan};
use crate::style::River;
use crate::tree::Kind;

/// Points of the water's middle line, empty where a town has none.
pub(crate) fn river_line(plan: &Plan) -> Vec<[f32; 2]> {
    let Some(row) = plan.river_row else { return Vec::new() };
    let v = (plan.rows[row].at + plan.rows[row + 1].at) / 2.0;
    plan.run(true, v, -2400.0, 2400.0, 0.0).into_iter().step_by(5).collect()
}

/// Paints the water and its banks, and plants them.
pub(crate) fn river(draft: &mut Draft, plan: &Plan) {
    let Some(row) = plan.river_row else { return };
    let v = (plan.rows[row].at + plan.rows[row + 1].at) / 2.0;
    let (width, natural) = match draft.style.streets.river {
        River::None => return,
        River::Natural { width_m } => (width_m, true),
        River::Canal { width_m } => (width_m, false),
    };
    let rgb = draft.style.palette.water;
    let water = Material { colours: [rgb, rgb.map(|c| c * 0.8)], ..Material::plain(rgb) }.noise(0.035, 0.25, 0.5);
    let bank = if natural {
        Material::plain(draft.style.palette.soil.map(|c| c * 0.8)).noise(0.15, 0.5, 0.4)
    } else {
        Material::plain(draft.style.palette.concrete)
    };
    let wave = |u: f32| if natural { 0.1 * width * ((u / 37.0).sin() + 0.7 * (u / 17.0).cos()) } else { 0.0 };
    let shore = |u0: f32, u1: f32, grow: f32| {
        let half = |u: f32| width / 2.0 + grow + wave(u) * 0.5;
        let mut points = Vec::new();
        points.extend(plan.run(true, v - half(u0), u0, u0 + 0.1, 0.0).into_iter().take(1));
        points.extend(plan.run(true, v - half(u1), u1, u1 + 0.1, 0.0).into_iter().take(1));
        points.extend(plan.run(true, v + half(u1), u1, u1 + 0.1, 0.0).into_iter().take(1));
        points.extend(plan.run(true, v + half(u0), u0, u0 + 0.1, 0.0).into_iter().take(1));
        points
    };
    let walk = Material::plain(draft.style.palette.soil.map(|c| (c * 1.12).min(255.0)));
    let mut u = -2400.0;
    while u < 2400.0 {
        draft.paint(layer::PATH, shore(u, u + 10.6, 3.0), bank);
        draft.paint(layer::WATER, shore(u, u + 10.6, 0.0), water);
        u += 10.0;
    }
    for s in [-1.0, 1.0] {
        let run = plan.run(true, v + s * (width / 2.0 + 9.0), -700.0, 700.0, 0.0);
        crate::blocks::strip(draft, layer::PATH, &run, 1.3, walk);
    }
    let trees = (draft.style.plants.density * 90.0) as usize;
    for _ in 0..trees {
        let u = draft.dice.range(-620.0, 620.0);
        let side = if draft.dice.chance(0.5) { 1.0 } else { -1.0 };
        let at = plan.point(u, v + side * (width / 2.0 + draft.dice.range(4.0, 17.0)));
        let by_bridge = plan.columns.iter().any(|line| line.arterial && (line.at - u).abs() < 14.0);
        if !by_bridge {
            draft.tree(at);
        }
    }
}

/// Fills a block of the country around: a crop, a meadow or a wood.
pub(crate) fn country(draft: &mut Draft, plan: &Plan, block: &Block) {
    let outline = plan.outline((block.u.0 - 5.0, block.u.1 + 5.0), (block.v.0 - 5.0, block.v.1 + 5.0));
    let yard = Yard::of(plan, block);
    let near = yard.place.at[0].abs().max(yard.place.at[1].abs()) < 760.0;
    let crops = draft.style.palette.crops.clone();
    match draft.dice.weighted(&[2.2, 1.4, 0.9 * draft.style.plants.density]) {
        0 => {
            let base = draft.dice.pick(&crops);
            let rgb = draft.dice.shade(base, 0.14);
            let turn = if draft.dice.chance(0.5) { 0.0 } else { std::f32::consts::FRAC_PI_2 };
            let rows = Pattern::Stripes {
                angle_rad: yard.place.moved(0.0, 0.0, turn).angle_rad(),
                period_m: 2.6,
                gain: 0.045,
            };
            let crop = Material { plant: 0.7, ..Material::plain(rgb) }.noise(0.1, 0.3, 0.6).with(rows);
            draft.paint(layer::FIELD, outline, crop);
        }
        1 => {
            let [a, b] = draft.style.palette.wild;
            let meadow = Material::grown([draft.dice.shade(a, 0.12), draft.dice.shade(b, 0.12)]);
            draft.paint(layer::FIELD, outline, meadow);
            scatter(draft, plan, block, if near { 0.0012 } else { 0.0 });
        }
        _ => {
            let floor = draft.style.palette.wild[0].map(|c| c * 0.66);
            let wood = Material::grown([floor, floor.map(|c| c * 0.75)]).noise(0.3, 0.6, 0.3);
            draft.paint(layer::FIELD, outline, wood);
            scatter(draft, plan, block, if near { 0.012 } else { 0.0 });
        }
    }
    if near && draft.dice.chance(0.5) {
        let mut u = block.u.0;
        while u < block.u.1 {
            let at = plan.point(u, block.v.0 + draft.dice.range(-1.0, 1.0));
            let kind = if draft.dice.chance(0.6) { Kind::Broad } else { Kind::Shrub };
            draft.tree_of(kind, at);
            u += draft.dice.range(5.0, 16.0);
        }
    }
}

fn scatter(draft: &mut Draft, plan: &Plan, block: &Block, per_m2: f32) {
    let area = (block.u.1 - block.u.0) * (block.v.1 - block.v.0);
    for _ in 0..(area * per_m2) as usize {
        let at = plan.point(draft.dice.range(block.u.0, block.u.1), draft.dice.range(block.v.0, block.v.1));
        draft.tree(at);
    }
}

/// Bare and overgrown spots over the whole land, so that no lawn is even.
pub(crate) fn weathering(draft: &mut Draft) {
    let wild = draft.style.palette.wild;
    let soil = draft.style.palette.soil;
    for _ in 0..260 {
        let at = [draft.dice.range(-700.0, 700.0), draft.dice.range(-700.0, 700.0)];
        let radius = draft.dice.range(4.0, 26.0);
        let outline = blob(draft, at, radius);
        let material =
            if draft.dice.chance(0.5) { Material::grown(wild) } else { Material::plain(soil).noise(0.15, 0.5, 0.3) };
        let opacity = draft.dice.range(0.06, 0.3);
        draft.paint(layer::LOT, outline, material.opacity(opacity));
    }
}
