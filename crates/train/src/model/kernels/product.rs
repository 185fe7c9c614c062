//! Small matrix products, for windows that stay in the nearest cache.

/// Rows and columns of the block that stays in registers.
const ROWS: usize = 4;
const COLUMNS: usize = 32;

/// `c += a b` for row-major `a` `[m, k]`, `b` `[k, n]`, `c` `[m, n]`.
#[inline(always)]
pub fn multiply_add(a: &[f32], b: &[f32], c: &mut [f32], [m, k, n]: [usize; 3]) {
    let (a, b, c) = (&a[..m * k], &b[..k * n], &mut c[..m * n]);
    let mut row = 0;
    while row + ROWS <= m {
        let mut column = 0;
        while column + COLUMNS <= n {
            block(a, b, c, [k, n], [row, column]);
            column += COLUMNS;
        }
        edge(a, b, c, [k, n], row..row + ROWS, column..n);
        row += ROWS;
    }
    edge(a, b, c, [k, n], row..m, 0..n);
}

#[inline(always)]
fn block(a: &[f32], b: &[f32], c: &mut [f32], [k, n]: [usize; 2], [row, column]: [usize; 2]) {
    let mut sums = [[0.0_f32; COLUMNS]; ROWS];
    let rows: [&[f32]; ROWS] = std::array::from_fn(|i| &a[(row + i) * k..(row + i + 1) * k]);
    for depth in 0..k {
        let right: &[f32; COLUMNS] = b[depth * n + column..].first_chunk().expect("a whole block");
        for (sums, left) in sums.iter_mut().zip(rows) {
            let left = left[depth];
            for (sum, &right) in sums.iter_mut().zip(right) {
                *sum = left.mul_add(right, *sum);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let out = &mut c[(row + i) * n + column..][..COLUMNS];
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
    }
}

#[inline(always)]
fn edge(
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
    [k, n]: [usize; 2],
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) {
    for row in rows {
        for depth in 0..k {
            let left = a[row * k + depth];
            let right = &b[depth * n + columns.start..depth * n + columns.end];
            let out = &mut c[row * n + columns.start..row * n + columns.end];
            out.iter_mut().zip(right).for_each(|(out, &right)| *out = left.mul_add(right, *out));
        }
    }
}

/// Writes the transpose of row-major `a` `[m, k]` into `out` `[k, m]`.
#[inline(always)]
pub fn transpose(a: &[f32], out: &mut [f32], [m, k]: [usize; 2]) {
    for row in 0..m {
        for column in 0..k {
            out[column * m + row] = a[row * k + column];
        }
    }
}
