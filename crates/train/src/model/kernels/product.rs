//! Small matrix products, for windows that stay in the nearest cache.

use pulp::Simd;

/// Rows and vectors of columns of the block that stays in registers.
const ROWS: usize = 4;
const VECTORS: usize = 2;

/// A left factor of m rows and k columns: row-major, or the transpose of what lies there row-major.
#[derive(Clone, Copy)]
pub enum Left<'a> {
    /// `[m, k]`.
    Plain(&'a [f32]),
    /// `[k, m]`.
    Turned(&'a [f32]),
}

impl<'a> Left<'a> {
    /// The values, and the distances between neighbours of a column and of a row.
    #[inline(always)]
    fn strides(self, [m, k]: [usize; 2]) -> (&'a [f32], usize, usize) {
        match self {
            Left::Plain(values) => (values, k, 1),
            Left::Turned(values) => (values, 1, m),
        }
    }
}

/// `c += a b` for `a` of m x k, row-major `b` `[k, n]` and `c` `[m, n]`.
#[inline(always)]
pub fn multiply_add<S: Simd>(simd: S, a: Left, b: &[f32], c: &mut [f32], [m, k, n]: [usize; 3]) {
    let (values, down, along) = a.strides([m, k]);
    let whole = n - n % (VECTORS * S::F32_LANES);
    let mut row = 0_usize;
    for rows in c.chunks_mut(ROWS.wrapping_mul(n)) {
        if rows.len() == ROWS.wrapping_mul(n) {
            let mut column = 0_usize;
            while column < whole {
                let from = &values[row.wrapping_mul(down)..];
                block(simd, (from, down, along), &b[column..], rows, column, [k, n]);
                column = column.wrapping_add(VECTORS.wrapping_mul(S::F32_LANES));
            }
            edge((values, down, along), b, rows, row, [k, n], whole);
        } else {
            edge((values, down, along), b, rows, row, [k, n], 0);
        }
        row = row.wrapping_add(ROWS);
    }
}

/// Four rows and two vectors of columns; `b` starts at the first column.
#[inline(always)]
fn block<S: Simd>(
    simd: S,
    (a, down, along): (&[f32], usize, usize),
    b: &[f32],
    rows: &mut [f32],
    column: usize,
    [k, n]: [usize; 2],
) {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    let mut first = 0_usize;
    for right in b.chunks(n).take(k) {
        let (right, _) = S::as_simd_f32s(right);
        let right = [right[0], right[1]];
        let mut place = first;
        for sums in &mut sums {
            let left = simd.splat_f32s(a[place]);
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = simd.mul_add_e_f32s(left, right, *sum);
            }
            place = place.wrapping_add(down);
        }
        first = first.wrapping_add(along);
    }
    for (row, sums) in rows.chunks_exact_mut(n).zip(sums) {
        let (out, _) = S::as_mut_simd_f32s(&mut row[column..]);
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = simd.add_f32s(*out, sum);
        }
    }
}

/// Whatever is left of `rows` from column `whole` on; `row` is the first one's place.
#[inline(always)]
fn edge(
    (a, down, along): (&[f32], usize, usize),
    b: &[f32],
    rows: &mut [f32],
    row: usize,
    [k, n]: [usize; 2],
    whole: usize,
) {
    if whole == n {
        return;
    }
    for (index, out) in rows.chunks_exact_mut(n).enumerate() {
        for (depth, right) in b.chunks_exact(n).take(k).enumerate() {
            let left = a[(row + index) * down + depth * along];
            for (out, &right) in out[whole..].iter_mut().zip(&right[whole..]) {
                *out += left * right;
            }
        }
    }
}
