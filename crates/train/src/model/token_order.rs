//! Tokens stand in Z-order inside the encoder, so windows, cells and merges are plain reshapes.
//!
//! A map of `height` x `width` tokens is cut into square blocks (the largest power of two that divides both edges);
//! blocks are row-major, tokens inside a block follow the Morton curve with y in the even bits. Every aligned square of
//! 2^j tokens then is one contiguous run: attention windows and GMoE cells need no copy, and the four children that
//! Swin's patch merging joins lie side by side in Swin's own order (row 0 column 0, row 1 column 0, row 0 column 1,
//! row 1 column 1). Only shifted windows move tokens, by one gather there and one back.

/// The order of the tokens of one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenOrder {
    /// Tokens from top to bottom.
    pub height: usize,
    /// Tokens from left to right.
    pub width: usize,
    block: usize,
}

impl TokenOrder {
    /// The order of a map of `height` x `width` tokens.
    pub fn new(height: usize, width: usize) -> Self {
        let block = 1 << height.trailing_zeros().min(width.trailing_zeros());
        Self { height, width, block }
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.height * self.width
    }

    /// Edge of the largest square that is one contiguous run.
    pub fn block(&self) -> usize {
        self.block
    }

    /// The order of the map after one patch merging.
    pub fn merged(&self) -> Self {
        Self { height: self.height / 2, width: self.width / 2, block: self.block / 2 }
    }

    /// Place in Z-order of the token at row `y`, column `x`.
    pub fn index(&self, y: usize, x: usize) -> usize {
        let block = (y / self.block) * (self.width / self.block) + x / self.block;
        block * self.block * self.block + morton(y % self.block, x % self.block)
    }

    /// For each row-major place, the place in Z-order of its token: gathering with it restores row-major order.
    pub fn row_major_sources(&self) -> Vec<i64> {
        let rows = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (y, x)));
        rows.map(|(y, x)| self.index(y, x) as i64).collect()
    }

    /// For each place in Z-order, the row-major place of its token: gathering with it makes Z-order.
    pub fn z_order_sources(&self) -> Vec<i64> {
        let mut places = vec![0; self.tokens()];
        for (row_major, z) in self.row_major_sources().into_iter().enumerate() {
            places[z as usize] = row_major as i64;
        }
        places
    }

    /// For each place of the map rolled up and left by `shift`, the place its token comes from.
    pub fn rolled(&self, shift: usize) -> Vec<i64> {
        self.moved(|y, x| ((y + shift) % self.height, (x + shift) % self.width))
    }

    /// Undoes [`TokenOrder::rolled`].
    pub fn rolled_back(&self, shift: usize) -> Vec<i64> {
        let (down, right) = (self.height - shift, self.width - shift);
        self.moved(|y, x| ((y + down) % self.height, (x + right) % self.width))
    }

    /// Row and column of every token, in Z-order.
    pub fn places(&self) -> Vec<(usize, usize)> {
        let mut places = vec![(0, 0); self.tokens()];
        for y in 0..self.height {
            for x in 0..self.width {
                places[self.index(y, x)] = (y, x);
            }
        }
        places
    }

    fn moved(&self, source: impl Fn(usize, usize) -> (usize, usize)) -> Vec<i64> {
        let places = self.places().into_iter();
        places
            .map(|(y, x)| {
                let (from_y, from_x) = source(y, x);
                self.index(from_y, from_x) as i64
            })
            .collect()
    }
}

/// Interleaves the bits of `y` (even) and `x` (odd).
fn morton(y: usize, x: usize) -> usize {
    (0..usize::BITS / 2)
        .map(|bit| (((y >> bit) & 1) << (2 * bit)) | (((x >> bit) & 1) << (2 * bit + 1)))
        .fold(0, |code, bits| code | bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_children_of_a_merge_are_neighbours_in_swin_order() {
        let order = TokenOrder::new(8, 16);
        let merged = order.merged();
        for y in 0..4 {
            for x in 0..8 {
                let parent = merged.index(y, x);
                let children = [(0, 0), (1, 0), (0, 1), (1, 1)];
                for (place, (dy, dx)) in children.into_iter().enumerate() {
                    assert_eq!(order.index(2 * y + dy, 2 * x + dx), 4 * parent + place);
                }
            }
        }
    }

    #[test]
    fn rolling_back_restores_every_token() {
        let order = TokenOrder::new(8, 8);
        let (there, back) = (order.rolled(2), order.rolled_back(2));
        for token in 0..order.tokens() {
            assert_eq!(there[back[token] as usize], token as i64);
        }
    }

    #[test]
    fn row_major_and_back_is_the_identity() {
        let order = TokenOrder::new(16, 32);
        let (there, back) = (order.row_major_sources(), order.z_order_sources());
        for token in 0..order.tokens() {
            assert_eq!(there[back[token] as usize], token as i64);
        }
    }
}
