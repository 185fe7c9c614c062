//! Small matrix products, for windows that stay in the nearest cache.

use pulp::Simd;

/// Rows and vectors of columns of the block that stays in registers.
const ROWS: usize = 4;
const VECTORS: usize = 2;

/// The left factor of a product: element (row, column) lies at `row * down + column * along`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    values: &'a [f32],
    down: usize,
    along: usize,
}

impl<'a> Left<'a> {
    /// Row-major values of `k` columns.
    #[inline(always)]
    pub fn plain(values: &'a [f32], k: usize) -> Self {
        Self { values, down: k, along: 1 }
    }

    /// The transpose of row-major values of `m` columns.
    #[inline(always)]
    pub fn turned(values: &'a [f32], m: usize) -> Self {
        Self { values, down: 1, along: m }
    }
}

/// `c += a b` for `a` of m x k, `b` of k rows that are `stride` apart, and row-major `c` `[m, n]`.
#[inline(always)]
pub fn multiply_add<S: Simd>(simd: S, a: Left, (b, stride): (&[f32], usize), c: &mut [f32], [m, k, n]: [usize; 3]) {
    let width = VECTORS.wrapping_mul(S::F32_LANES);
    let whole = n - n % width;
    let mut row = 0_usize;
    for rows in c.chunks_mut(ROWS.wrapping_mul(n)).take(m.div_ceil(ROWS)) {
        let from = Left { values: &a.values[row.wrapping_mul(a.down)..], ..a };
        let mut column = 0_usize;
        while column < whole {
            let right = (&b[column..], stride);
            if rows.len() == ROWS.wrapping_mul(n) {
                block::<S, ROWS>(simd, from, right, rows, column, [k, n]);
            } else {
                for (index, row) in rows.chunks_exact_mut(n).enumerate() {
                    let from = Left { values: &from.values[index.wrapping_mul(a.down)..], ..a };
                    block::<S, 1>(simd, from, right, row, column, [k, n]);
                }
            }
            column = column.wrapping_add(width);
        }
        edge(from, (b, stride), rows, [k, n], whole);
        row = row.wrapping_add(ROWS);
    }
}

/// Columns of a panel; two of the widest vectors.
const PANEL: usize = 32;

/// A right factor `[k, n]` cut into panels of [`PANEL`] columns that lie one after the other, so that a panel stays in the
/// nearest cache whatever n is. Columns beyond n are never read into a result.
pub struct Panels {
    values: Vec<f32>,
    k: usize,
    n: usize,
}

impl Panels {
    /// Room for `[k, n]`.
    pub fn new([k, n]: [usize; 2]) -> Self {
        Self { values: vec![0.0; k * n.next_multiple_of(PANEL)], k, n }
    }

    /// Packs row-major values `[k, n]`.
    pub fn of(values: &[f32], shape: [usize; 2]) -> Self {
        let mut panels = Self::new(shape);
        panels.fill(values);
        panels
    }

    /// Packs the transpose of row-major values `[n, k]`.
    pub fn turned(values: &[f32], [k, n]: [usize; 2]) -> Self {
        let mut panels = Self::new([k, n]);
        for (column, line) in values.chunks_exact(k).enumerate() {
            let places = panels.values[column / PANEL * PANEL * k + column % PANEL..].iter_mut().step_by(PANEL);
            places.zip(line).for_each(|(place, &value)| *place = value);
        }
        panels
    }

    /// Puts other values of the same n and at most as many rows in place; k follows.
    #[inline(always)]
    pub fn fill(&mut self, values: &[f32]) {
        self.k = values.len() / self.n;
        for (depth, row) in values.chunks_exact(self.n).enumerate() {
            for (panel, part) in row.chunks(PANEL).enumerate() {
                let at = (panel * self.k + depth) * PANEL;
                self.values[at..at + part.len()].copy_from_slice(part);
            }
        }
    }
}

/// `c += a b` for `a` of m x k and row-major `c` `[m, n]`.
#[inline(always)]
pub fn multiply_add_panels<S: Simd>(simd: S, a: Left, b: &Panels, c: &mut [f32], m: usize) {
    let (k, n, width) = (b.k, b.n, VECTORS.wrapping_mul(S::F32_LANES));
    for (index, panel) in b.values.chunks_exact(k.wrapping_mul(PANEL)).take(n.div_ceil(PANEL)).enumerate() {
        let first = index.wrapping_mul(PANEL);
        let columns = PANEL.min(n - first);
        let mut row = 0_usize;
        for rows in c.chunks_mut(ROWS.wrapping_mul(n)).take(m.div_ceil(ROWS)) {
            let from = Left { values: &a.values[row.wrapping_mul(a.down)..], ..a };
            let whole = rows.len() == ROWS.wrapping_mul(n);
            for part in (0..columns).step_by(width) {
                let right = (&panel[part..], PANEL);
                if part + width > columns {
                    last_columns(simd, from, right, rows, first + part..n.min(first + part + width), [k, n]);
                } else if whole {
                    block::<S, ROWS>(simd, from, right, rows, first + part, [k, n]);
                } else {
                    for (index, row) in rows.chunks_exact_mut(n).enumerate() {
                        let from = Left { values: &from.values[index.wrapping_mul(a.down)..], ..a };
                        block::<S, 1>(simd, from, right, row, first + part, [k, n]);
                    }
                }
            }
            row = row.wrapping_add(ROWS);
        }
    }
}

/// The columns that do not fill two vectors: as if they did, in a row of their own.
#[inline(always)]
fn last_columns<S: Simd>(
    simd: S,
    a: Left,
    right: (&[f32], usize),
    rows: &mut [f32],
    columns: std::ops::Range<usize>,
    [k, n]: [usize; 2],
) {
    for (index, row) in rows.chunks_exact_mut(n).enumerate() {
        let mut wide = [0.0; PANEL];
        let from = Left { values: &a.values[index.wrapping_mul(a.down)..], ..a };
        block::<S, 1>(simd, from, right, &mut wide, 0, [k, PANEL]);
        row[columns.clone()].iter_mut().zip(&wide).for_each(|(place, value)| *place += value);
    }
}

/// R rows and two vectors of columns; `b` starts at the first column.
#[inline(always)]
fn block<S: Simd, const R: usize>(
    simd: S,
    a: Left,
    (b, stride): (&[f32], usize),
    rows: &mut [f32],
    column: usize,
    [k, n]: [usize; 2],
) {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; R];
    let mut first = 0_usize;
    for right in b.chunks(stride).take(k) {
        let (right, _) = S::as_simd_f32s(right);
        let right = [right[0], right[1]];
        let mut place = first;
        for sums in &mut sums {
            let left = simd.splat_f32s(a.values[place]);
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = simd.mul_add_e_f32s(left, right, *sum);
            }
            place = place.wrapping_add(a.down);
        }
        first = first.wrapping_add(a.along);
    }
    for (row, sums) in rows.chunks_exact_mut(n).zip(sums) {
        let (out, _) = S::as_mut_simd_f32s(&mut row[column..]);
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = simd.add_f32s(*out, sum);
        }
    }
}

/// Whatever is left of `rows` from column `whole` on.
#[inline(always)]
fn edge(a: Left, (b, stride): (&[f32], usize), rows: &mut [f32], [k, n]: [usize; 2], whole: usize) {
    if whole == n {
        return;
    }
    for (index, out) in rows.chunks_exact_mut(n).enumerate() {
        for (depth, right) in b.chunks(stride).take(k).enumerate() {
            let left = a.values[index * a.down + depth * a.along];
            for (out, &right) in out[whole..].iter_mut().zip(&right[whole..]) {
                *out += left * right;
            }
        }
    }
}
