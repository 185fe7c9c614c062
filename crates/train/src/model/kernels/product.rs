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
