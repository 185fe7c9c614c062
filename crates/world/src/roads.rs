//! Streets on the ground: pavements, asphalt, markings, crossings, roundabouts, bridges, and where cars stand and drive.

use std::f32::consts::{PI, TAU};

use crate::blocks::strip;
use crate::draft::{Draft, layer};
use crate::material::Material;
use crate::mesh::Finish;
use crate::object::ObjectKind;
use crate::place::{Place, circle};
use crate::streets::{Piece, Plan, TOWN_HALF_M};
use crate::style::River;
use crate::tree::Kind;

/// Chooses the crossings that are roundabouts, and keeps them clear.
pub(crate) fn roundabouts(draft: &mut Draft, plan: &Plan) -> Vec<([f32; 2], f32)> {
    let mut chosen = Vec::new();
    for column in plan.columns.iter().filter(|line| line.arterial) {
        for (j, row) in plan.rows.iter().enumerate() {
            let by_river = plan.river_row.is_some_and(|river| j == river || j == river + 1);
            let at = plan.point(column.at, row.at);
            let inside = at[0].abs().max(at[1].abs()) < TOWN_HALF_M - 30.0;
            let share = if row.arterial { 0.75 } else { 0.12 };
            if inside && !by_river && draft.dice.chance(share) {
                let radius = draft.dice.range(15.0, 21.0);
                chosen.push((at, radius));
                draft.kept_clear.push((at, radius + 3.0));
            }
        }
    }
    chosen
}

/// Paints all streets.
pub(crate) fn build(draft: &mut Draft, plan: &Plan, rounds: &[([f32; 2], f32)]) {
    let asphalt = draft.asphalt();
    for piece in &plan.pieces {
        street(draft, plan, piece, asphalt, rounds);
    }
    for &(at, radius) in rounds {
        roundabout(draft, at, radius, asphalt);
    }
}

fn street(draft: &mut Draft, plan: &Plan, piece: &Piece, asphalt: Material, rounds: &[([f32; 2], f32)]) {
    let line = piece.line;
    let (from, to) = (piece.from, piece.to);
    let half = line.width_m / 2.0;
    if piece.bridge {
        bridge(draft, plan, piece);
        return;
    }
    let run = plan.run(piece.along_u, line.at, from, to, 0.0);
    let outside = run.iter().all(|p| p[0].abs().max(p[1].abs()) > 2000.0);
    if outside {
        return;
    }
    let in_town = run.iter().any(|p| p[0].abs().max(p[1].abs()) < TOWN_HALF_M);
    if in_town {
        let pavement = Material::plain(draft.style.palette.concrete).noise(0.06, 0.35, 0.3);
        strip(draft, layer::PAVEMENT, &run, half + draft.style.streets.pavement_m, pavement);
    }
    strip(draft, layer::ROAD, &run, half, asphalt);
    patches(draft, &run, half);
    // Markings end before the crossing, and before a roundabout's outer edge.
    let clear = |s: f32, trim: f32| {
        let at = if piece.along_u { plan.point(s, line.at) } else { plan.point(line.at, s) };
        let round = rounds.iter().find(|(centre, _)| (centre[0] - at[0]).hypot(centre[1] - at[1]) < 5.0);
        round.map_or(trim, |(_, radius)| radius + 1.0)
    };
    let (start, end) = (from + clear(from, piece.trim.0) + 1.0, to - clear(to, piece.trim.1) - 1.0);
    if end - start > 14.0 && in_town {
        markings(draft, plan, piece, start, end);
        traffic(draft, plan, piece, start, end);
        street_trees(draft, plan, piece, start + 4.0, end - 4.0);
    }
}

/// Repairs: darker and lighter rectangles.
fn patches(draft: &mut Draft, run: &[[f32; 2]], half: f32) {
    for pair in run.windows(2) {
        if draft.dice.chance(0.06) {
            let angle = (pair[1][1] - pair[0][1]).atan2(pair[1][0] - pair[0][0]);
            let place = Place::turned(pair[0], angle);
            let (w, d) = (draft.dice.range(2.0, 9.0), draft.dice.range(0.8, 2.6));
            let y = draft.dice.range(-0.6, 0.6) * half;
            let tone = draft.dice.pick(&[[66.0; 3], [74.0; 3], [132.0; 3]]);
            draft.paint(layer::ROAD, place.centred(0.0, y, w, d), Material::plain(tone).opacity(0.35));
        }
    }
}

fn markings(draft: &mut Draft, plan: &Plan, piece: &Piece, start: f32, end: f32) {
    let line = piece.line;
    let half = line.width_m / 2.0;
    let white = draft.marking([228.0, 228.0, 222.0]);
    let solid = |draft: &mut Draft, from: f32, to: f32, offset: f32, width: f32, material: Material| {
        let run = plan.run(piece.along_u, line.at, from, to, offset);
        strip(draft, layer::MARKING, &run, width / 2.0, material);
    };
    let dashes = |draft: &mut Draft, offset: f32, length: f32, gap: f32| {
        let mut s = start + 3.0;
        while s + length < end - 3.0 {
            solid(draft, s, s + length, offset, 0.18, white);
            s += length + gap;
        }
    };
    if line.arterial {
        let yellow = draft.marking([214.0, 176.0, 76.0]);
        let middle = if draft.style.streets.turn_rad < PI { yellow } else { white };
        for offset in [-0.2, 0.2] {
            solid(draft, start + 2.0, end - 2.0, offset, 0.16, middle);
        }
        for offset in [-half / 2.0, half / 2.0] {
            dashes(draft, offset, 3.0, 6.0);
        }
        for offset in [0.5 - half, half - 0.5] {
            solid(draft, start, end, offset, 0.15, white);
        }
    } else if draft.dice.chance(0.35) {
        dashes(draft, 0.0, 2.5, 5.0);
    }
    for (s, inward) in [(start, 1.0), (end, -1.0)] {
        if line.arterial || draft.dice.chance(0.25) {
            let mut offset = 0.7 - half;
            while offset < half - 0.5 {
                let (a, b) = (s + inward * 0.6, s + inward * 3.0);
                solid(draft, a.min(b), a.max(b), offset, 0.5, white);
                offset += 1.0;
            }
        }
        let stop = s + inward * 4.2;
        let side = if (inward > 0.0) == piece.along_u { half / 2.0 } else { -half / 2.0 };
        solid(draft, stop - 0.2, stop + 0.2, side, half - 0.6, white);
    }
}

/// Cars under way, and cars parked along the kerb of quiet streets.
fn traffic(draft: &mut Draft, plan: &Plan, piece: &Piece, start: f32, end: f32) {
    let line = piece.line;
    let half = line.width_m / 2.0;
    let place_at = |s: f32, offset: f32| {
        let run = plan.run(piece.along_u, line.at, s - 0.5, s + 0.5, offset);
        let angle = (run[1][1] - run[0][1]).atan2(run[1][0] - run[0][0]);
        Place::turned(run[0], angle)
    };
    let lanes: Vec<f32> = if line.arterial { vec![0.25, 0.75] } else { vec![0.42] };
    let mut s = start + 5.0;
    while s < end - 5.0 {
        for &lane in &lanes {
            for side in [-1.0, 1.0] {
                let jitter = draft.dice.range(-3.0, 3.0);
                let turn = if side > 0.0 { PI } else { 0.0 };
                let share = if line.arterial { 0.16 } else { 0.03 };
                let lorry = line.arterial && draft.dice.chance(0.1);
                draft.stall(place_at(s + jitter, side * lane * half).moved(0.0, 0.0, turn), share, lorry);
            }
        }
        s += 14.0;
    }
    if !line.arterial && half > 3.4 {
        let mut s = start + 8.0;
        while s < end - 8.0 {
            for side in [-1.0, 1.0] {
                if draft.dice.chance(0.5) {
                    draft.stall(place_at(s, side * (half - 1.0)), 0.3, false);
                }
            }
            s += 6.5;
        }
    }
}

fn street_trees(draft: &mut Draft, plan: &Plan, piece: &Piece, from: f32, to: f32) {
    let share = draft.style.plants.density * if draft.dice.chance(0.4) { 0.7 } else { 0.08 };
    let offset = piece.line.width_m / 2.0 + draft.style.streets.pavement_m * 0.8;
    let spacing = draft.dice.range(9.0, 15.0);
    let kind = if draft.style.plants.kinds[2] > 1.0 && draft.dice.chance(0.6) { Kind::Palm } else { Kind::Broad };
    let mut s = from;
    while s < to {
        for side in [-1.0, 1.0] {
            if draft.dice.chance(share) {
                let run = plan.run(piece.along_u, piece.line.at, s, s + 0.5, side * offset);
                draft.tree_of(kind, run[0]);
            }
        }
        s += spacing;
    }
}

fn roundabout(draft: &mut Draft, at: [f32; 2], radius: f32, asphalt: Material) {
    let pavement = Material::plain(draft.style.palette.concrete);
    let island = radius - draft.dice.range(7.0, 8.5);
    draft.paint(layer::PAVEMENT, circle(at, radius + 1.8, 48), pavement);
    draft.paint(layer::ROAD, circle(at, radius, 48), asphalt);
    draft.paint(layer::ISLAND, circle(at, island + 0.5, 40), Material::plain([206.0, 202.0, 192.0]));
    let lawn = draft.lawn();
    draft.paint(layer::ISLAND, circle(at, island, 40), lawn);
    if draft.dice.chance(0.5) {
        let bed = draft.dice.pick(&[[150.0, 96.0, 84.0], [178.0, 160.0, 120.0], [116.0, 96.0, 72.0]]);
        draft.paint(layer::ISLAND, circle(at, island * 0.55, 30), Material::plain(bed).noise(0.2, 0.4, 0.0));
    }
    let white = draft.marking([228.0, 228.0, 222.0]);
    for k in 0..24 {
        if k % 2 == 0 {
            let arc: Vec<[f32; 2]> = (0..=3)
                .map(|s| {
                    let (sin, cos) = (TAU * (k as f32 + s as f32 / 3.0) / 24.0).sin_cos();
                    [at[0] + (radius - 0.4) * cos, at[1] + (radius - 0.4) * sin]
                })
                .collect();
            strip(draft, layer::MARKING, &arc, 0.14, white);
        }
    }
    draft.object(ObjectKind::Roundabout, circle(at, radius, 48), 0.0);
    draft.kept_clear.retain(|(centre, _)| *centre != at);
    for _ in 0..draft.dice.index(6) {
        let (sin, cos) = draft.dice.range(0.0, TAU).sin_cos();
        let away = draft.dice.range(0.1, 0.7) * island;
        draft.tree([at[0] + away * cos, at[1] + away * sin]);
    }
    for k in 0..6 {
        let angle = TAU * (k as f32 + draft.dice.range(0.0, 0.6)) / 6.0;
        let r = (radius + island) / 2.0;
        let place = Place::turned([at[0] + r * angle.cos(), at[1] + r * angle.sin()], angle + PI / 2.0);
        draft.stall(place, 0.2, false);
    }
    draft.kept_clear.push((at, radius + 3.0));
}

fn bridge(draft: &mut Draft, plan: &Plan, piece: &Piece) {
    let (a, b) = (plan.point(piece.line.at, piece.from), plan.point(piece.line.at, piece.to));
    let (de, dn) = (b[0] - a[0], b[1] - a[1]);
    let length = de.hypot(dn);
    let place = Place { at: [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0], right: [de / length, dn / length] };
    let water = match draft.style.streets.river {
        River::None => return,
        River::Natural { width_m } | River::Canal { width_m } => width_m,
    };
    let span = (water + 14.0).min(length);
    let half = piece.line.width_m / 2.0 + 2.2;
    // The street's own asphalt leads up to the deck.
    let asphalt = draft.asphalt();
    for (from, to) in [(-length / 2.0, 2.0 - span / 2.0), (span / 2.0 - 2.0, length / 2.0)] {
        draft.paint(layer::ROAD, place.rectangle(from, -half + 2.0, to, half - 2.0), asphalt);
    }
    let ends = [-span / 2.0, span / 2.0].map(|x| {
        let [e, n] = place.point(x, 0.0);
        draft.relief.height(e, n) + 0.35
    });
    let ground = draft.relief.height(place.at[0], place.at[1]);
    let top = (ends[0] + ends[1]) / 2.0;
    draft.object(ObjectKind::Bridge, place.centred(0.0, 0.0, span, 2.0 * half), top + 1.0 - ground);
    let corner = |x: f32, y: f32, z: f32| {
        let [e, n] = place.point(x, y);
        [e, n, z]
    };
    let (x, [za, zb]) = (span / 2.0, ends);
    let concrete = [186.0, 182.0, 174.0];
    let quad = |y0: f32, y1: f32, up: f32| {
        [corner(-x, y0, za + up), corner(x, y0, zb + up), corner(x, y1, zb + up), corner(-x, y1, za + up)]
    };
    draft.builder.face(&quad(2.0 - half, half - 2.0, 0.0), Finish::Deck { width_m: piece.line.width_m }, [104.0; 3]);
    for s in [-1.0f32, 1.0] {
        let (inner, outer) = (s * (half - 2.0), s * half);
        let (y0, y1) = (inner.min(outer), inner.max(outer));
        draft.builder.face(&quad(y0, y1, 0.15), Finish::Felt, concrete);
        let (w0, w1) = (outer - 0.25, outer + 0.25);
        draft.builder.face(&quad(w0, w1, 1.1), Finish::Plain, [204.0, 200.0, 192.0]);
        // Outer and inner side of the parapet, each facing its own way.
        for (y, s) in [(w0, 1.0), (w1, -1.0)] {
            let (first, last) = if s > 0.0 { (za, zb) } else { (zb, za) };
            let wall = [
                corner(-s * x, y, first - 1.5),
                corner(s * x, y, last - 1.5),
                corner(s * x, y, last + 1.1),
                corner(-s * x, y, first + 1.1),
            ];
            draft.builder.face(&wall, Finish::Plain, concrete);
        }
    }
    for k in 0..(span / 14.0) as i32 {
        let x = -span / 2.0 + 7.0 + 14.0 * k as f32;
        for (y, turn) in [(-0.25, 0.0), (0.25, PI)] {
            let stand = place.moved(x, y * piece.line.width_m, turn);
            draft.stalls.push(crate::draft::Stall {
                place: stand,
                z: za + (zb - za) * (x / span + 0.5),
                share: 0.3,
                lorry: false,
            });
        }
    }
}
