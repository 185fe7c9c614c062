//! Sharing rows among threads, with sums that do not depend on how many threads there are.

use rayon::prelude::*;

/// Rows that one pass over the weights takes; their hidden values fit the second cache.
pub const BLOCK: usize = 64;
/// Parts that a sum over rows is made of.
const PARTS: usize = 8;
/// Fewer rows are not worth a part of their own.
const PART_ROWS_MIN: usize = 256;

/// Rows of a part, a multiple of [`BLOCK`].
pub fn part_rows(rows: usize) -> usize {
    rows.div_ceil(PARTS).max(PART_ROWS_MIN).next_multiple_of(BLOCK)
}

/// Adds up sums over parts of the rows, in their order.
pub fn joined<const N: usize>(parts: Vec<[Vec<f32>; N]>) -> [Vec<f32>; N] {
    let add = |mut sums: [Vec<f32>; N], parts: [Vec<f32>; N]| {
        for (sums, part) in sums.iter_mut().zip(&parts) {
            sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        sums
    };
    parts.into_iter().reduce(add).unwrap_or([const { Vec::new() }; N])
}

/// Zeros for the output and, row by row, what `fill` makes of them; `fill` gets the first row of its block.
pub fn filled(rows: usize, width: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut out = vec![0.0; rows * width];
    let part = part_rows(rows);
    out.par_chunks_mut((part * width).max(1)).enumerate().for_each(|(index, out)| fill(index * part, out));
    out
}
