//! Gradients as one vector: their length, clipping, and gathering over several backward passes.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Scales all gradients of a module together so that their joint length is at most `norm_max`; returns the gradients and the
/// length before.
pub fn clipped<M: Module>(module: &M, gradients: GradientsParams, norm_max: f64) -> (GradientsParams, f64) {
    let mut length = Length { gradients: &gradients, squared: None };
    module.visit(&mut length);
    let norm = length.squared.map_or(0.0, |squared| f64::from(squared.into_scalar::<f32>())).sqrt();
    if norm <= norm_max || !norm.is_finite() {
        return (gradients, norm);
    }
    let mut scaled = Scaled { from: gradients, to: GradientsParams::new(), factor: norm_max / norm };
    module.visit(&mut scaled);
    (scaled.to, norm)
}

/// The sum stays on the device until it is complete: reading it waits for all that the device has to do.
struct Length<'a> {
    gradients: &'a GradientsParams,
    squared: Option<Tensor<1>>,
}

impl ModuleVisitor for Length<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let squared = gradient.square().sum();
            self.squared = Some(match self.squared.take() {
                Some(others) => others + squared,
                None => squared,
            });
        }
    }
}

struct Scaled {
    from: GradientsParams,
    to: GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scaled {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.remove::<D>(param.id) {
            self.to.register(param.id, gradient * self.factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    fn gradients(layer: &Linear, device: &Device) -> GradientsParams {
        let loss = layer.forward(Tensor::<2>::ones([1, 3], device)).sum();
        GradientsParams::from_grads(loss.backward(), layer)
    }

    #[test]
    fn clipping_bounds_the_joint_length_and_keeps_short_gradients() {
        let device = Device::default().autodiff();
        let layer = LinearConfig::new(3, 2).init(&device);
        // Eight ones: six weights and two biases.
        let (same, norm) = clipped(&layer, gradients(&layer, &device), 10.0);
        assert!((norm - 8f64.sqrt()).abs() < 1e-5);
        let kept: f32 = same.get::<2>(layer.weight.id).unwrap().max().into_scalar();
        assert!((kept - 1.0).abs() < 1e-6);
        let (short, _) = clipped(&layer, gradients(&layer, &device), 1.0);
        let (_, norm) = clipped(&layer, short, 10.0);
        assert!((norm - 1.0).abs() < 1e-5);
    }
}
