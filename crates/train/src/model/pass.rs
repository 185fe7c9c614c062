//! How a forward pass behaves: inference, or training with its noise; and what it lets one look at.

use burn::tensor::{Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A forward pass. `Pass::default()` is inference.
#[derive(Default)]
pub struct Pass<'a> {
    /// Source of the router's noise and of DropPath; present while training.
    pub noise: Option<&'a mut ChaCha8Rng>,
    /// Whether batch norms use the batch's own statistics (and update the running ones).
    pub batch_statistics: bool,
    /// Receives named activations, for comparison with another implementation.
    pub trace: Option<&'a mut Trace>,
}

/// Named activations in the order they are met.
pub type Trace = Vec<(String, TensorData)>;

impl<'a> Pass<'a> {
    /// A training pass drawing from `noise`.
    pub fn training(noise: &'a mut ChaCha8Rng) -> Self {
        Self { noise: Some(noise), batch_statistics: true, trace: None }
    }

    /// An inference pass that records activations.
    pub fn traced(trace: &'a mut Trace) -> Self {
        Self { trace: Some(trace), ..Self::default() }
    }

    /// Records an activation where a trace is wanted.
    pub fn record<const D: usize>(&mut self, name: impl FnOnce() -> String, tensor: &Tensor<D>) {
        if let Some(trace) = self.trace.as_mut() {
            trace.push((name(), tensor.to_data()));
        }
    }

    /// Drops a residual branch of each sample with probability `rate` and scales the rest up (stochastic depth,
    /// Huang et al. 2016). `branch` is `[B, N, C]`.
    pub fn drop_path(&mut self, branch: Tensor<3>, rate: f64) -> Tensor<3> {
        let Some(noise) = self.noise.as_mut().filter(|_| rate > 0.0) else {
            return branch;
        };
        let [batch, ..] = branch.dims();
        let kept = 1.0 - rate;
        let factors: Vec<f32> =
            (0..batch).map(|_| if noise.random_bool(kept) { (1.0 / kept) as f32 } else { 0.0 }).collect();
        let factors = Tensor::<3>::from_data(TensorData::new(factors, [batch, 1, 1]), &branch.device());
        branch * factors
    }
}
