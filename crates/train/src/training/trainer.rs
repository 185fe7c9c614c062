//! One training step: encode tiles and queries once, locate all clicks, go down the gradient.

use anyhow::Context;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use smgeo_engine::TILE_PX;

use super::plan::{Plan, Training};
use super::{average, devices, gradients, schedule};
use crate::data::batch::{Batch, Click};
use crate::loss::Objective;
use crate::model::{Config, LocatorMaps, Pass, SmGeo, View};

/// A network in training.
pub struct Trainer {
    /// The live weights.
    pub model: SmGeo,
    /// Their moving average, without autodiff.
    pub average: SmGeo,
    /// AdamW's state.
    pub optimizer: ModuleOptimizer,
    /// Steps done.
    pub step: u64,
    config: Config,
    training: Training,
    objective: Objective,
    /// The first one holds the weights; the others get copies for each step.
    devices: Vec<Device>,
    gathered: GradientsAccumulator<SmGeo>,
}

/// What a step says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepReport {
    /// The whole loss.
    pub loss: f64,
    /// Cross-entropy of the place, nats.
    pub place: f64,
    /// Box loss.
    pub bounds: f64,
    /// Mean entropy of the gates, nats.
    pub entropy: f64,
    /// Length of the gradients before clipping.
    pub gradient: f64,
    /// Learning rate.
    pub rate: f64,
    /// Share of clicks whose best cell is the true one or a neighbour.
    pub hits: f64,
    /// Clicks.
    pub clicks: usize,
}

impl Trainer {
    /// A network with random weights drawn from the plan's seed, on as many devices as the plan asks for.
    pub fn new(plan: &Plan) -> anyhow::Result<Self> {
        Self::on(plan, devices::first(plan.training.devices))
    }

    /// The same on given devices.
    pub fn on(plan: &Plan, devices: Vec<Device>) -> anyhow::Result<Self> {
        let devices: Vec<Device> = devices.into_iter().map(Device::autodiff).collect();
        let device = devices.first().context("a network needs a device")?.clone();
        device.seed(plan.training.seed);
        let config = plan.config()?;
        let model = SmGeo::new(&config, &device)?;
        let optimizer = AdamWConfig::new().with_beta_2(0.98).with_weight_decay(plan.training.weight_decay as f32);
        Ok(Self {
            average: model.valid(),
            model,
            optimizer: optimizer.init(),
            step: 0,
            objective: Objective::new(&config, &plan.loss, &plan.paper_loss),
            config,
            training: plan.training.clone(),
            devices,
            gathered: GradientsAccumulator::new(),
        })
    }

    /// Takes one optimiser step on `accumulate` batches, spread over the devices.
    pub fn step(&mut self, batches: &[Batch]) -> StepReport {
        let mut report = StepReport::default();
        let share = 1.0 / batches.len() as f64;
        for (part, gradients) in self.backwards(batches) {
            self.gathered.accumulate(&self.model, gradients);
            report.loss += part.loss * share;
            report.place += part.place * share;
            report.bounds += part.bounds * share;
            report.entropy += part.entropy * share;
            report.hits += part.hits * share;
            report.clicks += part.clicks;
        }
        let training = &self.training;
        report.rate = schedule::rate(self.step, training.steps, training.warm_up, training.rate, training.rate_floor);
        let (clipped, norm) = gradients::clipped(&self.model, self.gathered.grads(), training.clip);
        report.gradient = norm;
        if norm.is_finite() {
            self.model = self.optimizer.step(report.rate, self.model.clone(), clipped);
            let decay = average::decay_at(self.step, training.average);
            self.average = average::follow(self.average.clone(), &self.model, decay);
        }
        self.step += 1;
        report
    }

    /// Reports and gradients of all batches, in their order; each device works through every n-th batch.
    fn backwards(&self, batches: &[Batch]) -> Vec<(StepReport, GradientsParams)> {
        let (count, home) = (self.devices.len(), &self.devices[0]);
        let (seed, step) = (self.training.seed, self.step);
        let frozen = self.training.frozen_encoder;
        let stride_px = self.config.stride_px();
        let pass = Backward { objective: &self.objective, stride_px, seed, step, frozen, batches };
        if count == 1 {
            return (0..batches.len()).map(|index| pass.of(&self.model, home, index)).collect();
        }
        let copies: Vec<SmGeo> = self.devices.iter().map(|device| self.model.clone().fork(device)).collect();
        let mut found: Vec<_> = std::thread::scope(|scope| {
            let work = |(first, (model, device)): (usize, (SmGeo, &Device))| {
                let (device, pass) = (device.clone(), &pass);
                scope.spawn(move || {
                    let indices = (first..pass.batches.len()).step_by(count);
                    indices.map(|index| (index, pass.of(&model, &device, index))).collect::<Vec<_>>()
                })
            };
            let threads: Vec<_> = copies.into_iter().zip(&self.devices).enumerate().map(work).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a device's thread panicked")).collect()
        });
        found.sort_by_key(|(index, _)| *index);
        let brought = |(_, (report, gradients)): (usize, (StepReport, GradientsParams))| {
            (report, gradients.to_device(home, &self.model))
        };
        found.into_iter().map(brought).collect()
    }

    /// The network's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Forward and backward of a step's batches.
struct Backward<'a> {
    objective: &'a Objective,
    stride_px: usize,
    seed: u64,
    step: u64,
    frozen: bool,
    batches: &'a [Batch],
}

impl Backward<'_> {
    /// One batch on one device. Its noise depends on the seed, the step and the batch, not on the device.
    fn of(&self, model: &SmGeo, device: &Device, index: usize) -> (StepReport, GradientsParams) {
        let (batch, count) = (&self.batches[index], self.batches.len());
        let mut noise = ChaCha8Rng::seed_from_u64(self.seed ^ 0x006e_6f69_7365);
        noise.set_stream(self.step * count as u64 + index as u64);
        let (maps, entropy) = match self.frozen {
            false => forward(model, batch, &mut Pass::training(&mut noise), device),
            true => (forward_frozen(model, batch, device), None),
        };
        let loss = self.objective.of(&maps, &batch.clicks, self.stride_px, entropy.clone());
        let report = StepReport {
            loss: scalar(loss.total.clone()),
            place: scalar(loss.place),
            bounds: scalar(loss.bounds),
            entropy: entropy.map_or(0.0, scalar),
            hits: hits(&maps, &batch.clicks, self.stride_px, self.objective.knows_absence()),
            clicks: batch.clicks.len(),
            ..StepReport::default()
        };
        let gradients = (loss.total * (1.0 / count as f64)).backward();
        (report, GradientsParams::from_grads(gradients, model))
    }
}

/// Runs the network on a batch: maps of all clicks on the one window, and the mean entropy of the gates.
pub fn forward(model: &SmGeo, batch: &Batch, pass: &mut Pass, device: &Device) -> (LocatorMaps, Option<Tensor<1>>) {
    let tiles = model.encode(images(batch.tile_bytes(), device), View::Tile, pass);
    let queries = model.encode(images(batch.query_bytes(), device), View::Query, pass);
    let maps = located(model, batch, tiles.features, queries.features, pass, device);
    let entropy = match (tiles.entropy, queries.entropy) {
        (Some(tiles), Some(queries)) => Some((tiles + queries) * 0.5),
        (one, other) => one.or(other),
    };
    (maps, entropy)
}

/// The same with an encoder that takes no gradient.
fn forward_frozen(model: &SmGeo, batch: &Batch, device: &Device) -> LocatorMaps {
    let (still, plain) = (model.valid(), device.clone().inner());
    let encode = |bytes, view| {
        let features = still.encode(images(bytes, &plain), view, &mut Pass::default()).features;
        Tensor::from_inner(features)
    };
    let (tiles, queries) = (encode(batch.tile_bytes(), View::Tile), encode(batch.query_bytes(), View::Query));
    located(model, batch, tiles, queries, &mut Pass::default(), device)
}

/// Maps of all clicks on the window of these tiles.
fn located(
    model: &SmGeo,
    batch: &Batch,
    tiles: Tensor<4>,
    queries: Tensor<4>,
    pass: &mut Pass,
    device: &Device,
) -> LocatorMaps {
    let window = mosaic(tiles, batch.rows, batch.columns);
    let count = batch.clicks.len();
    let rows: Vec<i64> = batch.clicks.iter().map(|click| click.query as i64).collect();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), device);
    let at: Vec<f32> = batch.clicks.iter().flat_map(|click| click.at).collect();
    let at = Tensor::<2>::from_data(TensorData::new(at, [count, 2]), device);
    model.locate(queries.select(0, rows), at, window, &vec![0; count], pass)
}

/// Bytes of images `[B, 256, 256, 4]` as a tensor of values 0 to 255.
pub fn images(bytes: Vec<u8>, device: &Device) -> Tensor<4> {
    let count = bytes.len() / (TILE_PX * TILE_PX * 4);
    let values: Vec<f32> = bytes.into_iter().map(f32::from).collect();
    Tensor::from_data(TensorData::new(values, [count, TILE_PX, TILE_PX, 4]), device)
}

/// Tile features `[rows * columns, F, F, C]`, row by row, as one map `[1, rows * F, columns * F, C]`.
pub fn mosaic(tiles: Tensor<4>, rows: usize, columns: usize) -> Tensor<4> {
    let [_, edge, _, channels] = tiles.dims();
    tiles.reshape([rows, columns, edge, edge, channels]).swap_dims(1, 2).reshape([
        1,
        rows * edge,
        columns * edge,
        channels,
    ])
}

/// Share of clicks whose best cell is the true one or a neighbour; "not in this window" is an answer, and a possible truth,
/// only of maps that know absence.
pub fn hits(maps: &LocatorMaps, clicks: &[Click], stride_px: usize, knows_absence: bool) -> f64 {
    let [_, height, width] = maps.heat.dims();
    let heat: Vec<f32> = maps.heat.clone().into_data().iter::<f32>().collect();
    let is_hit = |(logits, click): (&[f32], &Click)| {
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let best = best.filter(|(_, logit)| **logit > 0.0 || !knows_absence).map(|(cell, _)| cell);
        match (best, click.target) {
            (None, None) => true,
            (Some(cell), Some(target)) => {
                let near = |cell: usize, place: f32| (cell as f32 + 0.5 - place / stride_px as f32).abs() <= 1.0;
                near(cell % width, target[0]) && near(cell / width, target[1])
            }
            _ => false,
        }
    };
    let asked = heat.chunks(height * width).zip(clicks).filter(|(_, click)| knows_absence || click.target.is_some());
    let hits: Vec<bool> = asked.map(is_hit).collect();
    hits.iter().filter(|hit| **hit).count() as f64 / hits.len().max(1) as f64
}

fn scalar(value: Tensor<1>) -> f64 {
    f64::from(value.into_scalar::<f32>())
}
