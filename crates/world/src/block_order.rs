//! The order of texels in memory: small blocks of one cache line each, so that a look in any direction across a picture
//! touches few lines. The place of a texel is the sum of a part for its column and a part for its row.

/// Columns of a 4 x 4 block of four-byte texels.
#[inline(always)]
pub(crate) fn column_of_4(i: u32) -> u32 {
    ((i >> 2) << 4) | (i & 3)
}

/// Rows of a 4 x 4 block in a picture `side` texels wide.
#[inline(always)]
pub(crate) fn row_of_4(j: u32, side: u32) -> u32 {
    (j >> 2).wrapping_mul(side << 2).wrapping_add((j & 3) << 2)
}

/// Columns of an 8 x 4 block of two-byte texels.
#[inline(always)]
pub(crate) fn column_of_8(i: u32) -> u32 {
    ((i >> 3) << 5) | (i & 7)
}

/// Rows of an 8 x 4 block in a picture `side` texels wide.
#[inline(always)]
pub(crate) fn row_of_8(j: u32, side: u32) -> u32 {
    (j >> 2).wrapping_mul(side << 2).wrapping_add((j & 3) << 3)
}

/// Brings whole rows into block order: `columns` (4 or 8) columns and four rows a block.
pub(crate) fn into_blocks<T: Copy>(rows: &[T], side: usize, columns: usize, out: &mut [T]) {
    for (four, out) in rows.chunks_exact(4 * side).zip(out.chunks_exact_mut(4 * side)) {
        for (block, out) in out.chunks_exact_mut(4 * columns).enumerate() {
            for (row, out) in out.chunks_exact_mut(columns).enumerate() {
                let from = row * side + block * columns;
                out.copy_from_slice(&four[from..from + columns]);
            }
        }
    }
}
