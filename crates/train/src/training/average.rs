//! The exponential moving average of the weights, which is what is evaluated and shipped.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};

/// Moves `average` (on a device without autodiff) towards `live`: `average = decay * average + (1 - decay) * live`.
pub fn follow<M: Module>(average: M, live: &M, decay: f64) -> M {
    let mut reader = Reader::default();
    live.valid().visit(&mut reader);
    average.map(&mut Follower { live: reader.values, decay })
}

/// The decay of a step: short memories at the start, so that random initial weights are soon forgotten.
pub fn decay_at(step: u64, decay: f64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[derive(Default)]
struct Reader {
    values: HashMap<ParamId, TensorData>,
}

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.values.insert(param.id, param.val().into_data());
    }
}

struct Follower {
    live: HashMap<ParamId, TensorData>,
    decay: f64,
}

impl ModuleMapper for Follower {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(live) = self.live.remove(&param.id) else { return param };
        let decay = self.decay;
        param.map(|average| {
            let live = Tensor::<D>::from_data(live, &average.device());
            average * decay + live * (1.0 - decay)
        })
    }
}
