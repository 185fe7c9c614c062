//! Blocks that are not houses: flats, shops with car parks, parks, industry. Each is drawn in the largest upright
//! rectangle that fits the block, as a `Yard`.

use std::f32::consts::{FRAC_PI_2, TAU};

use crate::building::{Roof, Wing, cylinder};
use crate::draft::{Draft, layer};
use crate::material::{Material, Pattern};
use crate::mesh::{Finish, NO_OBJECT};
use crate::object::ObjectKind;
use crate::place::{Place, circle};
use crate::streets::{Block, Plan};
use crate::tree::Kind;

/// A rectangle about its own middle that fits inside a block.
#[derive(Clone, Copy)]
pub(crate) struct Yard {
    pub(crate) place: Place,
    pub(crate) width: f32,
    pub(crate) depth: f32,
}

impl Yard {
    /// The yard of a block.
    pub(crate) fn of(plan: &Plan, block: &Block) -> Yard {
        let (u, v) = ((block.u.0 + block.u.1) / 2.0, (block.v.0 + block.v.1) / 2.0);
        let place = plan.place(u, v);
        let local = |p: [f32; 2]| {
            let (de, dn) = (p[0] - place.at[0], p[1] - place.at[1]);
            [de * place.right[0] + dn * place.right[1], dn * place.right[0] - de * place.right[1]]
        };
        let least = |points: Vec<[f32; 2]>, axis: usize| {
            points.into_iter().map(|p| local(p)[axis].abs()).fold(f32::MAX, f32::min)
        };
        let x = least(plan.run(false, block.u.0, block.v.0, block.v.1, 0.0), 0)
            .min(least(plan.run(false, block.u.1, block.v.0, block.v.1, 0.0), 0));
        let y = least(plan.run(true, block.v.0, block.u.0, block.u.1, 0.0), 1)
            .min(least(plan.run(true, block.v.1, block.u.0, block.u.1, 0.0), 1));
        Yard { place, width: 2.0 * x - 1.0, depth: 2.0 * y - 1.0 }
    }

    /// The part [x0, x1] x [y0, y1] of the yard.
    pub(crate) fn part(&self, x0: f32, y0: f32, x1: f32, y1: f32) -> Yard {
        Yard { place: self.place.moved((x0 + x1) / 2.0, (y0 + y1) / 2.0, 0.0), width: x1 - x0, depth: y1 - y0 }
    }

    /// The same rectangle with width and depth exchanged, if that makes the width the longer one.
    pub(crate) fn lengthwise(&self) -> Yard {
        if self.width >= self.depth {
            *self
        } else {
            Yard { place: self.place.moved(0.0, 0.0, FRAC_PI_2), width: self.depth, depth: self.width }
        }
    }

    fn random_point(&self, draft: &mut Draft, margin: f32) -> [f32; 2] {
        let (w, d) = ((self.width / 2.0 - margin).max(0.1), (self.depth / 2.0 - margin).max(0.1));
        self.place.point(draft.dice.range(-w, w), draft.dice.range(-d, d))
    }
}

/// Flats: slabs or towers on a lawn, with parking between.
pub(crate) fn apartments(draft: &mut Draft, yard: Yard) {
    let yard = yard.lengthwise();
    let (low, high) = draft.style.zones.floors;
    let storeys = draft.dice.count(low, high) as f32;
    let depth = draft.dice.range(11.0, 15.0);
    let rows = (((yard.depth + 16.0) / (depth + 24.0)).floor().max(1.0)) as usize;
    let walls = draft.style.palette.walls.clone();
    let wall = draft.dice.pick(&walls);
    let hip = draft.dice.chance(0.3);
    let pitch_y = yard.depth / rows as f32;
    for row in 0..rows {
        let y = -yard.depth / 2.0 + pitch_y * (row as f32 + 0.5);
        let slabs = (yard.width / draft.dice.range(36.0, 70.0)).round().max(1.0);
        let room = yard.width / slabs;
        for k in 0..slabs as usize {
            let x = -yard.width / 2.0 + room * (k as f32 + 0.5);
            let width = (room - draft.dice.range(8.0, 14.0)).max(14.0);
            let place = yard.place.moved(x, y - pitch_y * 0.12, 0.0);
            if draft.is_clear(place.at, width / 2.0) {
                slab(draft, &place, (width, depth), storeys, wall, hip);
            }
        }
        let lane = (y - pitch_y * 0.12 + depth / 2.0 + 4.5, y + pitch_y * 0.5 - 1.0);
        let strip = yard.part(-yard.width / 2.0 + 3.0, lane.0, yard.width / 2.0 - 3.0, lane.1.max(lane.0 + 8.0));
        if strip.depth > 11.0 && draft.dice.chance(0.75) {
            car_park(
                draft,
                strip.part(-strip.width * 0.5, -strip.depth / 2.0, strip.width * 0.2, strip.depth / 2.0),
                0.55,
            );
        }
    }
    for _ in 0..(yard.width * yard.depth * draft.style.plants.density / 260.0) as usize {
        let (x, y) =
            (draft.dice.range(-0.5, 0.5) * yard.width, draft.dice.index(rows + 1) as f32 * pitch_y - yard.depth / 2.0);
        let at = yard.place.point(x, (y + draft.dice.range(-2.5, 0.5)).clamp(-yard.depth / 2.0, yard.depth / 2.0));
        draft.tree(at);
    }
}

fn slab(draft: &mut Draft, place: &Place, size: (f32, f32), storeys: f32, wall: [f32; 3], hip: bool) {
    let rgb = draft.dice.shade(wall, 0.1);
    let windows = Finish::Windows { storey_m: 3.0, bay_m: draft.dice.range(2.6, 3.8) };
    let roofs = draft.style.palette.roofs.clone();
    let roof = draft.dice.pick(&roofs);
    let (finish, cover) =
        if hip { (Finish::Tiles, roof) } else { (Finish::Felt, draft.dice.shade([150.0, 148.0, 144.0], 0.25)) };
    let form = if hip { Roof::Hip } else { Roof::Flat };
    let wing = draft.wing(*place, size, 3.0 * storeys, form, [(finish, cover), (windows, rgb)]);
    let wing = Wing { pitch: 0.42, ..wing };
    let path = draft.slabs(place, 1.0);
    draft.paint(layer::LOT, place.centred(0.0, -size.1 / 2.0 - 2.0, size.0 + 4.0, 2.2), path);
    draft.building(ObjectKind::Apartment, &[wing]);
    if !hip {
        for k in 0..(size.0 / 14.0) as i32 {
            let x = -size.0 / 2.0 + 7.0 + 14.0 * k as f32;
            let grey = draft.dice.shade([178.0, 176.0, 172.0], 0.15);
            let looks = [(Finish::Plain, grey), (Finish::Felt, grey)];
            draft.builder.block(&wing.place, (x - 2.0, x + 2.0), (-1.6, 1.6), (wing.eave, wing.eave + 2.4), looks);
        }
        roof_units(draft, &wing, (size.0 / 9.0) as usize);
    }
}

fn roof_units(draft: &mut Draft, wing: &Wing, count: usize) {
    for _ in 0..count {
        let (x, y) = (draft.dice.range(-0.42, 0.42) * wing.width, draft.dice.range(-0.38, 0.38) * wing.depth);
        let (a, b) = (draft.dice.range(0.5, 1.3), draft.dice.range(0.5, 1.1));
        let grey = draft.dice.shade([186.0, 188.0, 190.0], 0.15);
        let looks = [(Finish::Plain, grey.map(|c| c * 0.8)), (Finish::Metal, grey)];
        draft.builder.block(&wing.place, (x - a, x + a), (y - b, y + b), (wing.eave, wing.eave + 1.1), looks);
    }
}

/// A large store and its car park.
pub(crate) fn commerce(draft: &mut Draft, yard: Yard) {
    let yard = yard.lengthwise();
    let floor = draft.asphalt();
    draft.paint(layer::BLOCK, yard.place.centred(0.0, 0.0, yard.width + 3.0, yard.depth + 3.0), floor);
    let side = if draft.dice.chance(0.5) { 1.0 } else { -1.0 };
    let share = draft.dice.range(0.34, 0.5);
    let width = yard.width * share - 6.0;
    let x = side * (yard.width / 2.0 - width / 2.0 - 3.0);
    let wall = draft.dice.shade([206.0, 202.0, 194.0], 0.2);
    let cover = draft.dice.shade([198.0, 198.0, 196.0], 0.25);
    let place = yard.place.moved(x, 0.0, 0.0);
    let eave = draft.dice.range(6.0, 10.0);
    let looks = [(Finish::Felt, cover), (Finish::Plain, wall)];
    let wing = draft.wing(place, (width.max(12.0), yard.depth - 8.0), eave, Roof::Flat, looks);
    if draft.is_clear(place.at, width / 2.0) {
        draft.building(ObjectKind::Store, &[wing]);
        roof_units(draft, &wing, 10);
        for k in 0..4 {
            let (x, y) = (wing.width * (-0.3 + 0.2 * k as f32), wing.depth * 0.22);
            let z = wing.eave + 0.25;
            let light = wing.place.centred(x, y, 1.6, 3.2);
            draft.builder.lid(&light, z, (Finish::Glass, [150.0, 170.0, 180.0]));
        }
    }
    let inner = side * (yard.width / 2.0 - width - 8.0);
    let outer = -side * (yard.width / 2.0 - 2.0);
    let parking = yard.part(inner.min(outer), -yard.depth / 2.0 + 2.0, inner.max(outer), yard.depth / 2.0 - 2.0);
    car_park(draft, parking, 0.6);
}

/// Rows of marked stalls with lanes between, an object of its own.
pub(crate) fn car_park(draft: &mut Draft, yard: Yard, share: f32) {
    let yard = yard.lengthwise();
    if yard.depth < 10.5 || yard.width < 14.0 {
        return;
    }
    let outline = yard.place.centred(0.0, 0.0, yard.width, yard.depth);
    let floor = draft.asphalt();
    draft.paint(layer::LOT, outline.clone(), floor);
    draft.object(ObjectKind::CarPark, outline, 0.0);
    let white = draft.marking([226.0, 226.0, 220.0]);
    let modules = ((yard.depth / 16.5).floor() as usize).max(1);
    let pitch = yard.depth / modules as f32;
    let stalls = ((yard.width - 4.0) / 2.6).floor() as usize;
    for module in 0..modules {
        let y0 = -yard.depth / 2.0 + pitch * module as f32;
        // Two rows face one lane, unless the strip is too narrow for both.
        let rows: &[(f32, f32)] = if pitch >= 15.5 { &[(0.0, 1.0), (pitch, -1.0)] } else { &[(0.0, 1.0)] };
        for &(y, inward) in rows {
            for k in 0..=stalls {
                let x = -yard.width / 2.0 + 2.0 + 2.6 * k as f32;
                let (a, b) = (y0 + y, y0 + y + inward * 5.0);
                draft.paint(layer::PATH, yard.place.rectangle(x - 0.07, a.min(b), x + 0.07, a.max(b)), white);
                let island = k % 9 == 4 && draft.dice.chance(0.5 * draft.style.plants.density);
                let middle = y0 + y + inward * 2.6;
                if island {
                    let bed = draft.lawn();
                    draft.paint(layer::PATH, yard.place.rectangle(x + 0.2, a.min(b), x + 2.4, a.max(b)), bed);
                    draft.tree(yard.place.point(x + 1.3, middle));
                } else if k < stalls {
                    let turn = if draft.dice.chance(0.5) { FRAC_PI_2 } else { -FRAC_PI_2 };
                    draft.stall(yard.place.moved(x + 1.3, middle, turn), share, false);
                }
            }
        }
    }
}

/// Lawns, winding paths, many trees, sometimes a pond or a church.
pub(crate) fn park(draft: &mut Draft, yard: Yard) {
    let yard = yard.lengthwise();
    let (w, d) = (yard.width / 2.0, yard.depth / 2.0);
    for _ in 0..draft.dice.count(3, 6) {
        let patch = draft.lawn();
        let at = yard.random_point(draft, 10.0);
        let radius = draft.dice.range(6.0, 22.0).min(d - 2.0);
        let outline = blob(draft, at, radius.max(3.0));
        draft.paint(layer::LOT, outline, patch.opacity(0.7));
    }
    let gravel = Material::plain(draft.style.palette.soil.map(|c| (c * 1.15).min(255.0))).noise(0.12, 0.4, 0.3);
    for _ in 0..draft.dice.count(2, 4) {
        let (y0, y1) = (draft.dice.range(-d, d), draft.dice.range(-d, d));
        let bend = draft.dice.range(-0.6, 0.6) * d;
        let curve = |t: f32| {
            yard.place.point(-w + 2.0 * w * t, (y0 + (y1 - y0) * t + bend * (t * TAU / 2.0).sin()).clamp(-d, d))
        };
        let points: Vec<[f32; 2]> = (0..=20).map(|k| curve(k as f32 / 20.0)).collect();
        strip(draft, layer::PATH, &points, 1.1, gravel);
    }
    if draft.dice.chance(0.45) && d > 20.0 {
        let at = yard.place.point(draft.dice.range(-0.3, 0.3) * w, draft.dice.range(-0.2, 0.2) * d);
        let outline = blob(draft, at, d * 0.42);
        let water = draft.style.palette.water;
        draft.paint(layer::WATER, outline, Material { grain: 0.03, ..Material::plain(water) });
        draft.kept_clear.push((at, d * 0.5));
    } else if draft.dice.chance(0.5) && d > 18.0 {
        church(draft, &yard);
    }
    for _ in 0..(4.0 * w * d * draft.style.plants.density / 110.0) as usize {
        let at = yard.random_point(draft, 1.5);
        draft.tree(at);
    }
    draft.kept_clear.retain(|(at, _)| (at[0] - yard.place.at[0]).hypot(at[1] - yard.place.at[1]) > w);
}

fn church(draft: &mut Draft, yard: &Yard) {
    let place = yard.place.moved(draft.dice.range(-0.3, 0.3) * yard.width, 0.0, 0.0);
    let wall = draft.dice.shade([206.0, 196.0, 180.0], 0.12);
    let roofs = draft.style.palette.roofs.clone();
    let roof = draft.dice.pick(&roofs);
    let looks = [(Finish::Tiles, roof), (Finish::Plain, wall)];
    let nave = Wing { pitch: 1.1, ..draft.wing(place, (24.0, 11.0), 8.0, Roof::Gable, looks) };
    let arm = Wing { place: place.moved(5.0, 0.0, FRAC_PI_2), width: 19.0, depth: 8.0, ..nave };
    let tower = Wing {
        place: place.moved(-13.0, 0.0, 0.0),
        width: 6.0,
        depth: 6.0,
        eave: nave.eave + 12.0,
        roof: Roof::Hip,
        pitch: 2.2,
        ..nave
    };
    // One half of the outline, mirrored for the other.
    let half = [
        (-16.45, 3.45),
        (-12.45, 3.45),
        (-12.45, 5.95),
        (0.55, 5.95),
        (0.55, 9.95),
        (9.45, 9.95),
        (9.45, 5.95),
        (12.45, 5.95),
    ];
    let lower = half.iter().map(|&(x, y)| place.point(x, -y));
    let outline = lower.chain(half.iter().rev().map(|&(x, y)| place.point(x, y))).collect();
    draft.building_with(ObjectKind::Church, outline, &[nave, arm, tower]);
    draft.kept_clear.push((place.at, 20.0));
}

/// Halls, a concrete yard, and storage tanks.
pub(crate) fn industry(draft: &mut Draft, yard: Yard) {
    let yard = yard.lengthwise();
    let place = yard.place;
    let floor = if draft.dice.chance(0.5) { draft.slabs(&place, 6.0) } else { draft.asphalt() };
    draft.paint(layer::BLOCK, place.centred(0.0, 0.0, yard.width + 2.0, yard.depth + 2.0), floor.noise(0.08, 0.6, 0.7));
    let tanks = draft.dice.chance(0.6);
    let split = if tanks { yard.width * draft.dice.range(-0.05, 0.2) } else { yard.width / 2.0 };
    halls(draft, yard.part(-yard.width / 2.0 + 3.0, -yard.depth / 2.0 + 3.0, split - 2.0, yard.depth / 2.0 - 3.0));
    if tanks {
        tank_farm(
            draft,
            yard.part(split + 2.0, -yard.depth / 2.0 + 3.0, yard.width / 2.0 - 3.0, yard.depth / 2.0 - 3.0),
        );
    }
    for _ in 0..draft.dice.count(3, 9) {
        let at =
            yard.place.point(split - 4.0 + draft.dice.range(-3.0, 3.0), draft.dice.range(-0.45, 0.45) * yard.depth);
        let turn = yard.place.angle_rad() + draft.dice.range(-0.1, 0.1);
        draft.stall(Place::turned(at, turn), 0.6, true);
    }
}

fn halls(draft: &mut Draft, yard: Yard) {
    let count = (yard.width / 38.0).round().max(1.0);
    let room = yard.width / count;
    for k in 0..count as usize {
        let x = -yard.width / 2.0 + room * (k as f32 + 0.5);
        let size = (room - draft.dice.range(6.0, 10.0), yard.depth - draft.dice.range(2.0, 16.0));
        let place = yard.place.moved(x, (yard.depth - size.1) * 0.4, 0.0);
        if size.0 < 10.0 || size.1 < 10.0 || !draft.is_clear(place.at, size.0.max(size.1) * 0.6) {
            continue;
        }
        let metal = draft.dice.pick(&[
            [184., 188., 190.],
            [120., 138., 156.],
            [150., 110., 92.],
            [206., 204., 198.],
            [122., 136., 122.],
        ]);
        let rgb = draft.dice.shade(metal, 0.15);
        let wall = draft.dice.shade(metal, 0.25);
        let eave = draft.dice.range(6.0, 11.0);
        let turned = Place { ..place.moved(0.0, 0.0, FRAC_PI_2) };
        let looks = [(Finish::Metal, rgb), (Finish::Metal, wall)];
        let wing = draft.wing(turned, (size.1, size.0), eave, Roof::Gable, looks);
        let pitch = draft.dice.range(0.1, 0.24);
        draft.building(ObjectKind::Warehouse, &[Wing { pitch, ..wing }]);
    }
}

fn tank_farm(draft: &mut Draft, yard: Yard) {
    let radius = (yard.depth.min(yard.width) / 4.0 - 1.5).clamp(3.0, draft.dice.range(6.0, 12.0));
    let pitch = 2.0 * radius + draft.dice.range(3.0, 5.0);
    let (columns, rows) = ((yard.width / pitch).floor() as i32, (yard.depth / pitch).floor().min(3.0) as i32);
    let height = draft.dice.range(5.0, 12.0);
    let bund = Material::plain(draft.style.palette.soil).noise(0.12, 0.4, 0.3);
    draft.paint(layer::LOT, yard.place.centred(0.0, 0.0, yard.width, yard.depth), bund);
    for i in 0..columns {
        for j in 0..rows {
            let at = yard
                .place
                .point((i as f32 - (columns - 1) as f32 / 2.0) * pitch, (j as f32 - (rows - 1) as f32 / 2.0) * pitch);
            if draft.dice.chance(0.12) || !draft.is_clear(at, radius) {
                continue;
            }
            let (low, high) = draft.relief.span(&circle(at, radius, 8));
            let rgb = draft.dice.shade([222.0, 222.0, 216.0], 0.12);
            draft.paint(layer::PATH, circle(at, radius + 1.2, 28), Material::plain([172.0, 168.0, 160.0]));
            let ground = draft.relief.height(at[0], at[1]);
            let top = (low + high) / 2.0 + height;
            draft.object(ObjectKind::Tank, circle(at, radius, 28), top + 0.14 * radius - ground);
            cylinder(&mut draft.builder, at, radius, (low - 0.5, top), 0.14 * radius, rgb);
            let stair = Place::turned(at, draft.dice.range(0.0, TAU));
            draft.builder.begin(NO_OBJECT, 1);
            let looks = [(Finish::Plain, [120.0, 120.0, 120.0]); 2];
            draft.builder.block(&stair, (radius, radius + 0.7), (-1.4, 1.4), (low, top), looks);
        }
    }
}

/// A few bushes and bare soil.
pub(crate) fn waste(draft: &mut Draft, yard: Yard) {
    for _ in 0..(yard.width * yard.depth * draft.style.plants.density / 300.0) as usize {
        let at = yard.random_point(draft, 1.0);
        let kind = if draft.dice.chance(0.7) { Kind::Shrub } else { Kind::Broad };
        draft.tree_of(kind, at);
    }
}

/// An uneven round outline.
pub(crate) fn blob(draft: &mut Draft, at: [f32; 2], radius: f32) -> Vec<[f32; 2]> {
    let phases: [f32; 3] = std::array::from_fn(|_| draft.dice.range(0.0, TAU));
    (0..28)
        .map(|k| {
            let angle = TAU * k as f32 / 28.0;
            let wave = 0.18 * (2.0 * angle + phases[0]).sin()
                + 0.12 * (3.0 * angle + phases[1]).sin()
                + 0.06 * (7.0 * angle + phases[2]).sin();
            let r = radius * (1.0 + wave);
            [at[0] + r * angle.cos(), at[1] + r * angle.sin()]
        })
        .collect()
}

/// A band of constant half width along points.
pub(crate) fn strip(draft: &mut Draft, layer: u8, points: &[[f32; 2]], half: f32, material: Material) {
    for pair in points.windows(2) {
        let ([ae, an], [be, bn]) = (pair[0], pair[1]);
        let length = (be - ae).hypot(bn - an);
        if length > 1e-3 {
            // A little too long, so that neighbours overlap and leave no seam.
            let place = Place { at: pair[0], right: [(be - ae) / length, (bn - an) / length] };
            let lap = (half * 0.35).min(0.6);
            draft.paint(layer, place.rectangle(-lap, -half, length + lap, half), material);
        }
    }
}

/// Mown stripes for a field.
pub(crate) fn mown(material: Material, place: &Place, period_m: f32) -> Material {
    material.with(Pattern::Stripes { angle_rad: place.angle_rad(), period_m, gain: 0.05 })
}
