//! Shift, turn and zoom of a cloud of points, in spite of strays among them.

/// Is a similarity about a centre: `q = centre + shift + scale * turned(p - centre)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// How far the centre moves, pixels.
    pub shift: [f64; 2],
    /// Scale times cosine, and scale times sine, of the turn (clockwise, as y points down).
    pub turn: [f64; 2],
}

/// Is a fit and what it is worth.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    /// The similarity.
    pub similarity: Similarity,
    /// Pairs that agree with it.
    pub inliers: usize,
    /// One standard deviation of an agreeing point about it, per axis, pixels.
    pub residual_px: f64,
}

/// Rounds of fitting and leaving out; the set of strays settles in two or three.
const ROUNDS: usize = 4;
/// From the median of absolute deviations to the standard deviation of a normal distribution.
const SIGMA_PER_MEDIAN: f64 = 1.4826;
/// Points nearer to the fit than this agree with it, however well the others do: no better than the finding itself.
const AGREEMENT_PX_MIN: f64 = 0.15;
const AGREEMENT_SIGMAS: f64 = 3.0;

impl Similarity {
    /// Moves nothing.
    pub const IDENTITY: Similarity = Similarity { shift: [0.0, 0.0], turn: [1.0, 0.0] };

    /// Returns an offset from the old centre as an offset from the new one.
    pub fn turned(self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [c, s] = self.turn;
        [c * x - s * y, s * x + c * y]
    }

    /// Returns an offset from the new centre as an offset from the old one.
    #[inline]
    pub fn turned_back(self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [c, s] = self.turn;
        let squared = (c * c + s * s).max(f64::MIN_POSITIVE);
        [(c * x + s * y) / squared, (c * y - s * x) / squared]
    }

    /// Returns the scale.
    pub fn scale(self) -> f64 {
        self.turn[0].hypot(self.turn[1])
    }

    /// Returns the turn that follows `self` by `next`.
    pub fn turn_then(self, next: Similarity) -> [f64; 2] {
        let ([a, b], [c, d]) = (self.turn, next.turn);
        [a * c - b * d, a * d + b * c]
    }
}

/// Fits pairs of (place before, place after) about `centre`, from the best of some simple guesses inwards. At least three
/// pairs.
pub fn fit(pairs: &[([f64; 2], [f64; 2])], centre: [f64; 2]) -> Option<Fit> {
    if pairs.len() < 3 {
        return None;
    }
    let mut similarity = guess(pairs, centre);
    let mut agreeing: Vec<([f64; 2], [f64; 2])> = Vec::with_capacity(pairs.len());
    let (mut sorted, mut sigma_px) = (Vec::with_capacity(pairs.len()), 0.0);
    for round in 0..ROUNDS {
        let squared = |pair: &([f64; 2], [f64; 2])| squared_distance(similarity, centre, *pair);
        // Of a distance in the plane: its median is 1.1774 sigma (Rayleigh).
        sigma_px = median(&mut sorted, pairs.iter().map(squared)).sqrt() / 1.1774;
        let limit_px =
            (AGREEMENT_SIGMAS * sigma_px * if round == 0 { SIGMA_PER_MEDIAN } else { 1.0 }).max(AGREEMENT_PX_MIN);
        agreeing.clear();
        agreeing.extend(pairs.iter().filter(|pair| squared(pair) <= limit_px * limit_px));
        similarity = least_squares(&agreeing, centre)?;
    }
    Some(Fit { similarity, inliers: agreeing.len(), residual_px: sigma_px })
}

/// Guesses by the median shift and by every pair of pairs half the list apart, and takes what most points agree with best: a
/// third of strays that move together would draw a mean or a median away.
fn guess(pairs: &[([f64; 2], [f64; 2])], centre: [f64; 2]) -> Similarity {
    let mut sorted = Vec::with_capacity(pairs.len());
    let mut shift_of =
        |axis: usize| median(&mut sorted, pairs.iter().map(|(before, after)| after[axis] - before[axis]));
    let shifted = Similarity { shift: [shift_of(0), shift_of(1)], turn: [1.0, 0.0] };
    let mut spread = |similarity: Similarity| {
        median(&mut sorted, pairs.iter().map(|pair| squared_distance(similarity, centre, *pair)))
    };
    let half = pairs.len() / 2;
    let by_two =
        (0..pairs.len()).filter_map(|index| through(pairs[index], pairs[(index + half) % pairs.len()], centre));
    let guesses = std::iter::once(shifted).chain(by_two).map(|similarity| (spread(similarity), similarity));
    guesses.min_by(|one, other| one.0.total_cmp(&other.0)).map_or(shifted, |(_, similarity)| similarity)
}

/// The one similarity that takes two points where they went; none if they lie together.
fn through(one: ([f64; 2], [f64; 2]), other: ([f64; 2], [f64; 2]), centre: [f64; 2]) -> Option<Similarity> {
    let p = [other.0[0] - one.0[0], other.0[1] - one.0[1]];
    let q = [other.1[0] - one.1[0], other.1[1] - one.1[1]];
    let squared = p[0] * p[0] + p[1] * p[1];
    if squared < 1.0 {
        return None;
    }
    let turn = [(p[0] * q[0] + p[1] * q[1]) / squared, (p[0] * q[1] - p[1] * q[0]) / squared];
    let arm = Similarity { shift: [0.0; 2], turn }.turned([one.0[0] - centre[0], one.0[1] - centre[1]]);
    Some(Similarity { shift: [one.1[0] - arm[0] - centre[0], one.1[1] - arm[1] - centre[1]], turn })
}

/// Squared, because what is compared and what is in the middle is the same, and the root of each would cost more than all else.
fn squared_distance(similarity: Similarity, centre: [f64; 2], (before, after): ([f64; 2], [f64; 2])) -> f64 {
    let turned = similarity.turned([before[0] - centre[0], before[1] - centre[1]]);
    let there = [centre[0] + similarity.shift[0] + turned[0], centre[1] + similarity.shift[1] + turned[1]];
    let off = [after[0] - there[0], after[1] - there[1]];
    off[0] * off[0] + off[1] * off[1]
}

/// The closed form of the least squares of a plane similarity: turn from the products about both means.
fn least_squares(pairs: &[([f64; 2], [f64; 2])], centre: [f64; 2]) -> Option<Similarity> {
    if pairs.len() < 3 {
        return None;
    }
    let count = pairs.len() as f64;
    let mut mean = [[0.0; 2]; 2];
    for (before, after) in pairs {
        for axis in 0..2 {
            mean[0][axis] += before[axis] / count;
            mean[1][axis] += after[axis] / count;
        }
    }
    let (mut dot, mut cross, mut spread) = (0.0, 0.0, 0.0);
    for (before, after) in pairs {
        let p = [before[0] - mean[0][0], before[1] - mean[0][1]];
        let q = [after[0] - mean[1][0], after[1] - mean[1][1]];
        dot += p[0] * q[0] + p[1] * q[1];
        cross += p[0] * q[1] - p[1] * q[0];
        spread += p[0] * p[0] + p[1] * p[1];
    }
    let turn = if spread > 1.0 { [dot / spread, cross / spread] } else { [1.0, 0.0] };
    let similarity = Similarity { shift: [0.0; 2], turn };
    let arm = similarity.turned([centre[0] - mean[0][0], centre[1] - mean[0][1]]);
    let shift = [mean[1][0] + arm[0] - centre[0], mean[1][1] + arm[1] - centre[1]];
    Some(Similarity { shift, turn })
}

/// Returns the middle one of the values; `sorted` is memory for them.
fn median(sorted: &mut Vec<f64>, values: impl Iterator<Item = f64>) -> f64 {
    sorted.clear();
    sorted.extend(values);
    let middle = sorted.len() / 2;
    if sorted.is_empty() {
        return 0.0;
    }
    *sorted.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shift_turn_and_zoom_are_found_among_strays() {
        let centre = [100.0, 60.0];
        for (turn_deg, scale, strays) in [(0.0, 1.0, 0), (5.0, 1.0, 10), (-20.0, 1.1, 15), (0.5, 0.9, 18)] {
            let angle = f64::to_radians(turn_deg);
            let truth = Similarity { shift: [7.0, -3.0], turn: [scale * angle.cos(), scale * angle.sin()] };
            let pairs: Vec<_> = (0..49)
                .map(|index| {
                    let offset = [f64::from(index % 7) * 5.0 - 15.0, f64::from(index / 7) * 5.0 - 15.0];
                    let turned = truth.turned(offset);
                    let stray = if index < strays { 9.0 } else { 0.0 };
                    let after = [centre[0] + 7.0 + turned[0] + stray, centre[1] - 3.0 + turned[1] - stray];
                    ([centre[0] + offset[0], centre[1] + offset[1]], after)
                })
                .collect();
            let found = fit(&pairs, centre).expect("49 pairs").similarity;
            let error_px = (found.shift[0] - 7.0).hypot(found.shift[1] + 3.0);
            assert!(error_px < 1e-6, "turn {turn_deg}, scale {scale}, {strays} strays: {error_px} px");
            assert!((found.scale() - scale).abs() < 1e-9);
        }
    }

    #[test]
    fn turning_back_undoes_turning() {
        let similarity = Similarity { shift: [0.0; 2], turn: [0.8, 0.9] };
        let back = similarity.turned_back(similarity.turned([3.0, -4.0]));
        assert!((back[0] - 3.0).abs() < 1e-12 && (back[1] + 4.0).abs() < 1e-12);
    }
}
