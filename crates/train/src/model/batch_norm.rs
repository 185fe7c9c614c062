//! Batch normalisation over the cells of a map, with running statistics for inference.

use burn::module::{Initializer, Module, Param, RunningState};
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, Tensor};

use super::Pass;

/// Batch normalisation of `[B, C, H, W]` (Ioffe and Szegedy 2015).
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale `[C]`.
    pub weight: Param<Tensor<1>>,
    /// Offset `[C]`.
    pub bias: Param<Tensor<1>>,
    /// Mean used at inference.
    pub running_mean: RunningState<Tensor<1>>,
    /// Variance used at inference.
    pub running_var: RunningState<Tensor<1>>,
}

impl BatchNorm {
    /// Added to the variance.
    pub const EPSILON: f64 = 1e-5;
    /// Weight of a batch in the running statistics.
    pub const MOMENTUM: f64 = 0.1;

    /// The identity.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
        }
    }

    /// Normalises `[B, C, H, W]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if !pass.batch_statistics {
            let (mean, variance) = (self.running_mean.value(), self.running_var.value());
            return batch_norm(x, weight, bias, mean, variance, Self::EPSILON);
        }
        let [batch, _, height, width] = x.dims();
        let count = (batch * height * width) as f64;
        let result = batch_norm_train(x, weight, bias, Self::EPSILON);
        let blend = |old: Tensor<1>, new: Tensor<1>| old * (1.0 - Self::MOMENTUM) + new * Self::MOMENTUM;
        // Running variances are unbiased, the batch's own is not.
        let variance = result.variance.detach() * (count / (count - 1.0).max(1.0));
        // Reading a state in step makes the update visible to whoever saves the weights next.
        self.running_mean.update(blend(self.running_mean.value_sync(), result.mean.detach()));
        self.running_mean.value_sync();
        self.running_var.update(blend(self.running_var.value_sync(), variance));
        self.running_var.value_sync();
        result.output
    }

    /// Scale and offset that stand for the layer at inference: `y = x * scale + offset`.
    pub fn folded(&self) -> (Tensor<1>, Tensor<1>) {
        let deviation = (self.running_var.value() + Self::EPSILON).sqrt();
        let scale = self.weight.val() / deviation;
        let offset = self.bias.val() - self.running_mean.value() * scale.clone();
        (scale, offset)
    }
}
