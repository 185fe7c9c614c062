//! The mixture of experts: each kernel by itself on what the one before gave, and all four together.

use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};
use rayon::slice::ParallelSlice;

use super::noise::Noise;
use super::{Extent, Report, compare};
use crate::device::{Buffer, Device};
use crate::element::Element;
use crate::error::GpuError;
use crate::gmoe::{GmoeInputs, GmoeShape, Layer, TILE, Tile, Workspace, gmoe};

/// How the router's logits are made.
#[derive(Clone, Copy, Debug)]
enum Logits {
    Noise,
    /// Every cell prefers the last expert.
    OneExpert,
    /// All equal: ties everywhere.
    Equal,
    /// As noise, but not a number in the second cell.
    Broken,
    /// As noise, but the second cell's for the last expert is no number: never the best, as nothing compares with it.
    PartlyBroken,
}

type Row = (&'static str, [usize; 2], [usize; 2], [usize; 2], Logits);

const EDGES: &[Row] = &[
    ("one cell", [1, 64], [6, 2], [32, 64], Logits::Noise),
    ("one token, one expert", [1, 1], [1, 1], [8, 8], Logits::Noise),
    ("all cells to one expert", [19, 4], [6, 1], [64, 128], Logits::OneExpert),
    ("as many chosen as there are", [9, 16], [3, 3], [40, 72], Logits::Noise),
    ("ties", [33, 4], [6, 2], [64, 64], Logits::Equal),
    ("experts without cells", [3, 16], [16, 2], [64, 192], Logits::Noise),
    ("single tokens", [300, 1], [6, 2], [48, 96], Logits::Noise),
    ("more cells than threads", [777, 1], [8, 5], [16, 24], Logits::Noise),
    ("logits that are no numbers", [70, 1], [4, 2], [16, 16], Logits::Broken),
    ("a logit that is no number", [70, 1], [4, 2], [16, 16], Logits::PartlyBroken),
];

/// Blocks of nano and tiny for four 256 px images, and the released networks' routing of single tokens.
const FLOWN: &[Row] = &[
    ("nano stage 1", [64, 64], [6, 2], [64, 128], Logits::Noise),
    ("nano stage 3", [64, 4], [6, 2], [256, 512], Logits::Noise),
    ("tiny stage 1", [64, 64], [6, 2], [192, 768], Logits::Noise),
    ("tiny stage 2", [64, 16], [6, 2], [384, 1536], Logits::Noise),
    ("tiny stage 3", [64, 4], [6, 2], [768, 3072], Logits::Noise),
    ("released stage 2, a part", [1024, 1], [6, 2], [384, 1536], Logits::Noise),
];

pub fn check<T: Element, D: Device>(device: &D, extent: Extent, report: &mut Report) -> Result<(), GpuError> {
    let flown = if extent == Extent::Flown { FLOWN } else { &[] };
    for &(name, cells, experts, channels, logits) in EDGES.iter().chain(flown) {
        let shape = GmoeShape::new(cells, experts, channels)?;
        for with_residual in [false, true] {
            let mixture = Mixture::<T>::new(&shape, logits, with_residual);
            let residual = if with_residual { ", residual" } else { "" };
            mixture.check(device, &format!("{} {name}{residual}", T::NAME), report)?;
        }
    }
    Ok(())
}

/// A mixture's operands on the host.
struct Mixture<T> {
    shape: GmoeShape,
    x: Vec<T>,
    logits: Vec<f32>,
    /// Weight and bias of both layers.
    layers: [[Vec<T>; 2]; 2],
    /// The same for the reference.
    wide_layers: [[Vec<f64>; 2]; 2],
    residual: Option<Vec<T>>,
}

/// What the kernels gave, on the host.
struct Given<T> {
    order: Vec<i32>,
    place: Vec<i32>,
    gate: Vec<f32>,
    tiles: Vec<Tile>,
    hidden: Vec<T>,
    mixed: Vec<T>,
    out: Vec<T>,
}

impl<T: Element> Mixture<T> {
    fn given<D: Device>(&self, device: &D) -> Result<Given<T>, GpuError> {
        let layer = |[weight, bias]: &[Vec<T>; 2]| -> Result<Layer<T, D>, GpuError> {
            Ok(Layer { weight: Buffer::of(device, weight)?, bias: Buffer::of(device, bias)? })
        };
        let (x, logits) = (Buffer::of(device, &self.x)?, Buffer::of(device, &self.logits)?);
        let (fc1, fc2) = (layer(&self.layers[0])?, layer(&self.layers[1])?);
        let residual = self.residual.as_ref().map(|residual| Buffer::of(device, residual)).transpose()?;
        let mut workspace = Workspace::new(device, &self.shape)?;
        let mut out = Buffer::new(device, self.shape.numbers())?;
        let inputs = GmoeInputs { x: &x, logits: &logits, fc1: &fc1, fc2: &fc2, residual: residual.as_ref() };
        gmoe(device, &self.shape, &inputs, &mut workspace, &mut out)?;
        let Workspace { routing, hidden, mixed } = &workspace;
        Ok(Given {
            order: routing.order().read(device)?,
            place: routing.place().read(device)?,
            gate: routing.gate().read(device)?,
            tiles: routing.tiles().read(device)?,
            hidden: hidden.read(device)?,
            mixed: mixed.read(device)?,
            out: out.read(device)?,
        })
    }
}

impl<T: Element> Mixture<T> {
    fn new(shape: &GmoeShape, kind: Logits, with_residual: bool) -> Self {
        let mut noise = Noise::new(shape.rows() as u64);
        let (experts, channels, width) = (shape.experts(), shape.channels(), shape.width());
        let mut logits = noise.numbers(shape.cells() * experts, 2.0, |value| value as f32);
        for (at, logit) in logits.iter_mut().enumerate() {
            match kind {
                Logits::OneExpert if at % experts == experts - 1 => *logit = 9.0,
                Logits::Equal => *logit = 0.25,
                Logits::Broken if at / experts == 1 => *logit = f32::NAN,
                Logits::PartlyBroken if at == 2 * experts - 1 => *logit = f32::NAN,
                _ => {}
            }
        }
        // Weights of a trained layer's size: products of about one.
        let mut layer = |inputs: usize, outputs: usize| {
            let reach = (3.0 / inputs as f64).sqrt();
            [noise.numbers(experts * inputs * outputs, reach, T::of), noise.numbers(experts * outputs, 0.3, T::of)]
        };
        let layers = [layer(channels, width), layer(width, channels)];
        let x = noise.numbers(shape.numbers(), 1.7, T::of);
        let residual = with_residual.then(|| noise.numbers(shape.numbers(), 1.7, T::of));
        let wide_layers = layers.each_ref().map(|layer| layer.each_ref().map(|values| wide(values)));
        Self { shape: *shape, x, logits, layers, wide_layers, residual }
    }

    fn check<D: Device>(&self, device: &D, name: &str, report: &mut Report) -> Result<(), GpuError> {
        let given = self.given(device)?;
        let routes = self.routes();
        let name = |kernel: &str| format!("{kernel} {name}");
        let exact = |wanted: Vec<i32>, found: &[i32]| {
            let wanted: Vec<f64> = wanted.into_iter().map(f64::from).collect();
            compare(found.iter().map(|&value| f64::from(value)), &wanted)
        };
        report.add(name("gmoe_route order"), 0.0, exact(routes.order.clone(), &given.order));
        report.add(name("gmoe_route place"), 0.0, exact(routes.place(), &given.place));
        report.add(name("gmoe_route tiles"), 0.0, exact(self.tiles(&routes), given.tiles.as_flattened()));
        // Cells whose logits are no numbers have no gate and no output; both have to say so, and no other cell may.
        let sound = |cell: usize| self.row(cell).iter().all(|logit| logit.is_finite());
        let top_k = self.shape.top_k();
        let sound_slots = |slot: &usize| sound(slot / top_k);
        let gates: Vec<f64> = (0..given.gate.len()).filter(sound_slots).map(|slot| routes.gate[slot]).collect();
        let found = (0..given.gate.len()).filter(sound_slots).map(|slot| f64::from(given.gate[slot]));
        report.add(name("gmoe_route gate"), 1e-6, compare(found, &gates));
        let silent = (0..given.gate.len()).filter(|slot| !sound_slots(slot) && !given.gate[*slot].is_nan()).count();
        report.add(name("gmoe_route gates of no number"), 0.0, compare([silent as f64], &[0.0]));

        let rounding = T::ROUNDING;
        let hidden = self.hidden(&routes, &wide(&self.x));
        report.add(name("gmoe_fc1"), 1.2 * rounding, compare(wide(&given.hidden), &hidden));
        let rows = |values: &[f64], per: usize| -> Vec<f64> {
            let kept =
                (0..self.shape.rows()).filter(|row| sound_slots(&(routes.order[row / self.shape.size()] as usize)));
            kept.flat_map(|row| values[row * per..(row + 1) * per].to_vec()).collect()
        };
        let channels = self.shape.channels();
        let mixed = self.mixed(&routes, &wide(&given.hidden));
        let found = rows(&wide(&given.mixed), channels);
        report.add(name("gmoe_fc2"), 1.2 * rounding, compare(found, &rows(&mixed, channels)));
        let tokens = |values: &[f64]| -> Vec<f64> {
            let per = self.shape.size() * channels;
            let kept = (0..self.shape.cells()).filter(|&cell| sound(cell));
            kept.flat_map(|cell| values[cell * per..(cell + 1) * per].to_vec()).collect()
        };
        let combined = self.combined(&routes, &wide(&given.mixed));
        report.add(name("gmoe_combine"), 1.2 * rounding, compare(tokens(&wide(&given.out)), &tokens(&combined)));
        // Three roundings on the way: hidden, mixed, out.
        let whole = self.combined(&routes, &self.mixed(&routes, &hidden));
        report.add(name("gmoe"), 3.0 * rounding, compare(tokens(&wide(&given.out)), &tokens(&whole)));
        let of_cell = self.shape.size() * channels;
        let silent = (0..given.out.len()).filter(|at| !sound(at / of_cell) && !given.out[*at].wide().is_nan()).count();
        report.add(name("gmoe of no number"), 0.0, compare([silent as f64], &[0.0]));
        Ok(())
    }

    fn row(&self, cell: usize) -> &[f32] {
        let experts = self.shape.experts();
        &self.logits[cell * experts..(cell + 1) * experts]
    }
}

/// Where cells go, as it should be.
struct Routes {
    /// Expert of each slot.
    expert: Vec<usize>,
    gate: Vec<f64>,
    order: Vec<i32>,
}

impl Routes {
    fn place(&self) -> Vec<i32> {
        let mut place = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(at, &slot)| place[slot as usize] = at as i32);
        place
    }
}

impl<T: Element> Mixture<T> {
    fn routes(&self) -> Routes {
        let top_k = self.shape.top_k();
        let (mut expert, mut gate) = (Vec::new(), Vec::new());
        for cell in 0..self.shape.cells() {
            let logits = self.row(cell);
            let mut left: Vec<usize> = (0..logits.len()).collect();
            let mut best = Vec::new();
            for _ in 0..top_k {
                // The first of the largest. What is no number is larger than nothing, and nothing is larger than it.
                let better = |at: usize, next: usize| if logits[left[next]] > logits[left[at]] { next } else { at };
                best.push(left.remove((0..left.len()).fold(0, better)));
            }
            let parts: Vec<f64> = best.iter().map(|&e| f64::from(logits[e]).exp()).collect();
            let sum: f64 = parts.iter().sum();
            gate.extend(parts.iter().map(|part| part / sum));
            expert.extend(best);
        }
        let mut order: Vec<i32> = (0..expert.len() as i32).collect();
        order.sort_by_key(|&slot| expert[slot as usize]);
        Routes { expert, gate, order }
    }

    fn tiles(&self, routes: &Routes) -> Vec<i32> {
        let size = self.shape.size();
        let mut tiles = Vec::new();
        let mut begin = 0;
        for expert in 0..self.shape.experts() {
            let end = begin + size * routes.expert.iter().filter(|&&chosen| chosen == expert).count();
            while begin < end {
                let next = (begin + TILE).min(end);
                tiles.extend([expert as i32, begin as i32, next as i32, 0]);
                begin = next;
            }
        }
        tiles.resize(4 * self.shape.tiles(), 0);
        tiles
    }

    /// `[rows, width]`.
    fn hidden(&self, routes: &Routes, x: &[f64]) -> Vec<f64> {
        let (size, channels) = (self.shape.size(), self.shape.channels());
        let of_slot = |&slot: &i32| {
            let cell = slot as usize / self.shape.top_k();
            let tokens = x[cell * size * channels..][..size * channels].chunks(channels);
            tokens.flat_map(|from| self.linear(0, routes.expert[slot as usize], from).into_iter().map(gelu)).collect()
        };
        routes.order.par_iter().map(of_slot).collect::<Vec<Vec<f64>>>().concat()
    }

    /// `[rows, channels]`.
    fn mixed(&self, routes: &Routes, hidden: &[f64]) -> Vec<f64> {
        let of_row = |(row, from): (usize, &[f64])| {
            let slot = routes.order[row / self.shape.size()] as usize;
            let out = self.linear(1, routes.expert[slot], from);
            out.into_iter().map(|value| value * routes.gate[slot]).collect()
        };
        hidden.par_chunks(self.shape.width()).enumerate().map(of_row).collect::<Vec<Vec<f64>>>().concat()
    }

    fn combined(&self, routes: &Routes, mixed: &[f64]) -> Vec<f64> {
        let (size, channels) = (self.shape.size(), self.shape.channels());
        let residual = self.residual.as_ref().map(|values| values.iter().map(|value| value.wide()).collect());
        let mut out: Vec<f64> = residual.unwrap_or_else(|| vec![0.0; self.shape.numbers()]);
        for (row, from) in mixed.chunks(channels).enumerate() {
            let cell = routes.order[row / size] as usize / self.shape.top_k();
            let to = &mut out[(cell * size + row % size) * channels..][..channels];
            to.iter_mut().zip(from).for_each(|(sum, part)| *sum += part);
        }
        out
    }

    /// One expert's layer on one token.
    fn linear(&self, layer: usize, expert: usize, from: &[f64]) -> Vec<f64> {
        let [weight, bias] = &self.wide_layers[layer];
        let outputs = bias.len() / self.shape.experts();
        let mut out = bias[expert * outputs..][..outputs].to_vec();
        for (input, value) in from.iter().enumerate() {
            let row = &weight[(expert * from.len() + input) * outputs..][..outputs];
            out.iter_mut().zip(row).for_each(|(sum, factor)| *sum += value * factor);
        }
        out
    }
}

fn wide<T: Element>(values: &[T]) -> Vec<f64> {
    values.iter().map(|value| value.wide()).collect()
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

/// The error function to 1e-15: its Maclaurin series, or the continued fraction of its complement (Abramowitz and Stegun 7.1.6
/// and 7.1.14).
fn erf(x: f64) -> f64 {
    let size = x.abs();
    let value = if size < 2.5 {
        let (mut term, mut sum) = (size, size);
        for n in 0..60 {
            term *= 2.0 * size * size / (2.0 * f64::from(n) + 3.0);
            sum += term;
        }
        2.0 / std::f64::consts::PI.sqrt() * (-size * size).exp() * sum
    } else {
        let fraction = (1..=60).rev().fold(size, |rest, n| size + 0.5 * f64::from(n) / rest);
        1.0 - (-size * size).exp() / (std::f64::consts::PI.sqrt() * fraction)
    };
    value.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn the_references_error_function_is_right() {
        // Abramowitz and Stegun, table 7.1.
        for (x, wanted) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
        ] {
            assert!((erf(x) - wanted).abs() < 1e-14 && (erf(-x) + wanted).abs() < 1e-14, "{x}: {}", erf(x));
        }
    }
}
