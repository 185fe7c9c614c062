//! The street plan: a grid of lines in plan coordinates (u, v), bent into the town's shape. Working in plan coordinates
//! keeps every block a rectangle, whatever curve the streets take on the ground.

use crate::dice::Dice;
use crate::place::Place;
use crate::style::{River, Streets, Style};

/// Half the side of the town, metres: buildings stand within it.
pub(crate) const TOWN_HALF_M: f32 = 500.0;
const PLAN_HALF_M: f32 = 1000.0;

/// A line of the plan: a street along constant u or constant v.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) at: f32,
    pub(crate) width_m: f32,
    pub(crate) arterial: bool,
}

/// The rectangle between four lines, street halves and pavements taken off, plan metres.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) u: (f32, f32),
    pub(crate) v: (f32, f32),
    pub(crate) in_town: bool,
    pub(crate) river: bool,
}

/// A piece of street between two crossings, plan metres: along v when `across` is false at u = `line.at`, else along u.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) line: Line,
    pub(crate) along_u: bool,
    pub(crate) from: f32,
    pub(crate) to: f32,
    /// Half widths of the streets crossed at the two ends; 0 where none crosses.
    pub(crate) trim: (f32, f32),
    pub(crate) bridge: bool,
}

/// All streets and blocks of a town.
pub(crate) struct Plan {
    shape: Streets,
    phase: [f32; 2],
    pub(crate) columns: Vec<Line>,
    pub(crate) rows: Vec<Line>,
    /// The row of blocks that carries the water, by index of its lower line.
    pub(crate) river_row: Option<usize>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) pieces: Vec<Piece>,
}

impl Plan {
    /// Draws the plan of a style.
    pub(crate) fn new(seed: u64, style: &Style) -> Plan {
        let mut dice = Dice::new(seed, "streets");
        let shape = style.streets.clone();
        let phase = [dice.range(0.0, 6.3), dice.range(0.0, 6.3)];
        let columns = lines(&mut dice, &shape, shape.block_long_m);
        let mut rows = lines(&mut dice, &shape, shape.block_short_m);
        let river_row = river_row(&mut dice, &shape, &mut rows);
        let mut plan = Plan { shape, phase, columns, rows, river_row, blocks: Vec::new(), pieces: Vec::new() };
        plan.lay_out(seed, &mut dice);
        plan
    }

    /// The ENU point of plan (u, v): a fan about a far centre, waves, then a turn.
    pub(crate) fn point(&self, u: f32, v: f32) -> [f32; 2] {
        let wave = std::f32::consts::TAU / self.shape.wobble_length_m;
        let u1 = u + self.shape.wobble_m * (v * wave + self.phase[0]).sin();
        let v1 = v + self.shape.wobble_m * (u * wave * 0.8 + self.phase[1]).sin();
        let bend = self.shape.bend_per_m;
        let (x, y) = if bend.abs() < 1e-6 {
            (u1, v1)
        } else {
            let (radius, angle) = (1.0 / bend + v1, u1 * bend);
            (radius * angle.sin(), radius * angle.cos() - 1.0 / bend)
        };
        let (sin, cos) = self.shape.turn_rad.sin_cos();
        [x * cos - y * sin, x * sin + y * cos]
    }

    /// The local frame at (u, v), `right` along growing u.
    pub(crate) fn place(&self, u: f32, v: f32) -> Place {
        let (a, b) = (self.point(u - 1.0, v), self.point(u + 1.0, v));
        let (de, dn) = (b[0] - a[0], b[1] - a[1]);
        let length = de.hypot(dn).max(1e-3);
        Place { at: self.point(u, v), right: [de / length, dn / length] }
    }

    /// A street line as ENU points about every 6 m, `offset` metres to the left of growing u or v.
    pub(crate) fn run(&self, along_u: bool, at: f32, from: f32, to: f32, offset: f32) -> Vec<[f32; 2]> {
        let steps = ((to - from).abs() / 6.0).ceil().max(1.0) as usize;
        (0..=steps)
            .map(|k| {
                let s = from + (to - from) * k as f32 / steps as f32;
                let ahead = |t: f32| if along_u { self.point(t, at) } else { self.point(at, t) };
                let (p, a, b) = (ahead(s), ahead(s - 0.5), ahead(s + 0.5));
                let (de, dn) = (b[0] - a[0], b[1] - a[1]);
                let length = de.hypot(dn).max(1e-3);
                [p[0] - offset * dn / length, p[1] + offset * de / length]
            })
            .collect()
    }

    /// The outline of a plan rectangle on the ground, counter-clockwise.
    pub(crate) fn outline(&self, u: (f32, f32), v: (f32, f32)) -> Vec<[f32; 2]> {
        let mut points = self.run(true, v.0, u.0, u.1, 0.0);
        points.extend(self.run(false, u.1, v.0, v.1, 0.0));
        points.extend(self.run(true, v.1, u.1, u.0, 0.0));
        points.extend(self.run(false, u.0, v.1, v.0, 0.0));
        points
    }

    fn lay_out(&mut self, seed: u64, dice: &mut Dice) {
        let (columns, rows) = (self.columns.clone(), self.rows.clone());
        let in_town = |plan: &Plan, i: usize, j: usize| {
            let [e, n] = plan.point((columns[i].at + columns[i + 1].at) / 2.0, (rows[j].at + rows[j + 1].at) / 2.0);
            let edge = 40.0 * crate::noise::value(seed, e / 160.0, n / 160.0);
            e.abs().max(n.abs()) + edge < TOWN_HALF_M - 40.0
        };
        let merged: Vec<Vec<bool>> = (0..rows.len() - 1)
            .map(|_| (0..columns.len() - 1).map(|_| dice.chance(self.shape.merge_share)).collect())
            .collect();
        // A merge across an arterial or beside another merge would leave a street without an end.
        let merges = |i: usize, j: usize| {
            merged[j][i] && i + 2 < columns.len() && !columns[i + 1].arterial && (i == 0 || !merged[j][i - 1])
        };
        for j in 0..rows.len() - 1 {
            let river = self.river_row == Some(j);
            let mut i = 0;
            while i + 1 < columns.len() {
                let inside = in_town(self, i, j);
                let wide = inside && !river && merges(i, j) && in_town(self, i + 1, j);
                let end = if wide { i + 2 } else { i + 1 };
                let u = (self.edge(columns[i], 1.0), self.edge(columns[end], -1.0));
                let v = (self.edge(rows[j], 1.0), self.edge(rows[j + 1], -1.0));
                self.blocks.push(Block { u, v, in_town: inside, river });
                let right = columns[end];
                let street = inside || (end + 1 < columns.len() && in_town(self, end, j));
                if (street && !river) || right.arterial {
                    let (from, to) = (rows[j], rows[j + 1]);
                    self.push(right, false, from, to, river && right.arterial);
                }
                i = end;
            }
        }
        for (j, row) in rows.iter().enumerate().take(rows.len() - 1).skip(1) {
            for i in 0..columns.len() - 1 {
                if row.arterial || in_town(self, i, j) || in_town(self, i, j - 1) {
                    self.push(*row, true, columns[i], columns[i + 1], false);
                }
            }
        }
    }

    fn edge(&self, line: Line, side: f32) -> f32 {
        line.at + side * (line.width_m / 2.0 + self.shape.pavement_m)
    }

    fn push(&mut self, line: Line, along_u: bool, from: Line, to: Line, bridge: bool) {
        let trim = (from.width_m / 2.0, to.width_m / 2.0);
        self.pieces.push(Piece { line, along_u, from: from.at, to: to.at, trim, bridge });
    }
}

fn lines(dice: &mut Dice, shape: &Streets, step: (f32, f32)) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut at = -PLAN_HALF_M + dice.range(0.0, step.0);
    let mut until_arterial = dice.count(1, 3);
    while at < PLAN_HALF_M {
        let arterial = until_arterial == 0;
        until_arterial = if arterial { dice.count(2, 4) } else { until_arterial - 1 };
        let width_m = if arterial { shape.arterial_m } else { shape.street_m };
        lines.push(Line { at, width_m, arterial });
        at += dice.range(step.0, step.1);
    }
    lines
}

/// Chooses the row of blocks that carries the water and makes it as wide as the water needs.
fn river_row(dice: &mut Dice, shape: &Streets, rows: &mut [Line]) -> Option<usize> {
    let needed = match shape.river {
        River::None => return None,
        River::Natural { width_m } => width_m + 44.0,
        River::Canal { width_m } => width_m + 22.0,
    };
    let target = dice.range(-300.0, 300.0);
    let row = rows.iter().position(|line| line.at > target)?.min(rows.len().saturating_sub(2));
    let grow = needed + rows[row].width_m / 2.0 + rows[row + 1].width_m / 2.0 - (rows[row + 1].at - rows[row].at);
    for line in &mut rows[row + 1..] {
        line.at += grow;
    }
    Some(row)
}
