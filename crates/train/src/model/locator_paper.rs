//! The paper's locator: the mean query gates the reference map, and a convolution head reads heat and box from it.

use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::{relu, sigmoid, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::smgeo::{LocatorInputs, LocatorOutputs};
use super::{BatchNorm, Config, Convolution, Fusion, LocatorMaps, Norm, Pass};
use crate::onnx::{Graph, Value};

/// Gate and head.
#[derive(Module, Debug)]
pub struct LocatorPaper {
    /// How the query enters; absent for the released training script, which drops it.
    pub fusion: Option<Gate>,
    /// Heat and box.
    pub head: Head,
}

/// Cosine of the mean query with every cell, turned into a gate.
#[derive(Module, Debug)]
pub struct Gate {
    /// Over the query's channels.
    pub norm_q: Norm,
    /// Over the reference's channels.
    pub norm_r: Norm,
    /// Scale and offset of the cosine inside the sigmoid; absent for the released softmax over positions.
    pub scale: Option<Param<Tensor<1>>>,
    /// Offset of the scaled cosine.
    pub bias: Option<Param<Tensor<1>>>,
}

/// Two 3 x 3 convolutions, then 1 x 1 to heat and box.
#[derive(Module, Debug)]
pub struct Head {
    /// C to hidden.
    pub conv1: Convolution,
    /// After the first convolution.
    pub bn1: BatchNorm,
    /// Hidden to hidden.
    pub conv2: Convolution,
    /// After the second convolution.
    pub bn2: BatchNorm,
    /// Hidden to 1.
    pub heat: Convolution,
    /// Hidden to 4: dx, dy, w, h in cells.
    pub bounds: Convolution,
}

impl LocatorPaper {
    /// Random weights.
    pub fn new(config: &Config, device: &Device) -> Self {
        let channels = config.channels();
        let constant = |value| Initializer::Constant { value }.init([1], device);
        let gate = |sigmoid: bool| Gate {
            norm_q: Norm::new(channels, device),
            norm_r: Norm::new(channels, device),
            scale: sigmoid.then(|| constant(8.0)),
            bias: sigmoid.then(|| constant(0.0)),
        };
        let fusion = match config.fusion {
            Fusion::Paper => Some(gate(true)),
            Fusion::Softmax => Some(gate(false)),
            Fusion::None | Fusion::Template => None,
        };
        let hidden = config.head_channels;
        Self {
            fusion,
            head: Head {
                conv1: Convolution::new(channels, hidden, 3, device),
                bn1: BatchNorm::new(hidden, device),
                conv2: Convolution::new(hidden, hidden, 3, device),
                bn2: BatchNorm::new(hidden, device),
                heat: Convolution::near_constant(hidden, 1, -2.0, device),
                bounds: Convolution::near_constant(hidden, 4, 0.0, device),
            },
        }
    }

    /// `query` `[K, F, F, C]` against `reference` `[R, H, W, C]`; query k looks at window `window[k]`.
    pub fn forward(&self, query: Tensor<4>, reference: Tensor<4>, window: &[usize], pass: &mut Pass) -> LocatorMaps {
        let windows: Vec<i64> = window.iter().map(|&index| index as i64).collect();
        let device = reference.device();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(windows, [window.len()]), &device);
        let map = reference.select(0, indices);
        let (fused, attention) = match &self.fusion {
            Some(gate) => {
                let attention = gate.forward(query, map.clone());
                pass.record(|| "fusion.attn".into(), &attention);
                let fused = map * attention.clone().unsqueeze_dim::<4>(3);
                (fused, attention)
            }
            None => {
                let [k, height, width, _] = map.dims();
                (map, Tensor::ones([k, height, width], &device))
            }
        };
        pass.record(|| "fusion.fused".into(), &fused);
        let (heat, bounds) = self.head.forward(fused.permute([0, 3, 1, 2]), pass);
        let [k, _, height, width] = heat.dims();
        LocatorMaps {
            heat: heat.reshape([k, height, width]),
            bounds: bounds.permute([0, 2, 3, 1]),
            attention,
            fine: None,
        }
    }
}

impl Gate {
    /// `[K, F, F, C]` and `[K, H, W, C]` to `[K, H, W]`.
    fn forward(&self, query: Tensor<4>, map: Tensor<4>) -> Tensor<3> {
        let [k, rows, columns, channels] = query.dims();
        let [_, height, width, _] = map.dims();
        let mean = query.reshape([k, rows * columns, channels]).mean_dim(1);
        let query = unit(self.norm_q.forward(mean));
        let map = unit(self.norm_r.forward(map.reshape([k, height * width, channels])));
        let cosine = map.matmul(query.swap_dims(1, 2)).reshape([k, height * width]);
        let gate = match (&self.scale, &self.bias) {
            (Some(scale), Some(bias)) => sigmoid(cosine * scale.val().unsqueeze::<2>() + bias.val().unsqueeze::<2>()),
            _ => softmax(cosine, 1),
        };
        gate.reshape([k, height, width])
    }
}

impl Head {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> (Tensor<4>, Tensor<4>) {
        let x = relu(self.bn1.forward(self.conv1.forward(x), pass));
        let x = relu(self.bn2.forward(self.conv2.forward(x), pass));
        (self.heat.forward(x.clone()), self.bounds.forward(x))
    }
}

/// Smallest length a vector is divided by.
const LENGTH_MIN: f64 = 1e-12;

/// Scales vectors along the last axis to length 1.
fn unit(x: Tensor<3>) -> Tensor<3> {
    let length = x.clone().square().sum_dim(2).sqrt().clamp_min(LENGTH_MIN);
    x / length
}

impl LocatorPaper {
    /// Emits [`LocatorPaper::forward`] between the values of [`super::Locator::emit`].
    pub fn emit(&self, graph: &mut Graph, inputs: &LocatorInputs) -> LocatorOutputs {
        let map = graph.gather(&inputs.reference, &inputs.window, 0);
        let shape = graph.unary("Shape", &map);
        let map_shape = graph.slice(&shape, &[0], &[0], &[3]);
        let (fused, attention) = match &self.fusion {
            Some(gate) => {
                let attention = gate.emit(graph, inputs, &map, &map_shape);
                let last = graph.vector(&[3]);
                let gates = graph.node("Unsqueeze", &[&attention, &last], Vec::new());
                (graph.multiply(&map, &gates), attention)
            }
            None => {
                let zeros = graph.node("ConstantOfShape", &[&map_shape], Vec::new());
                let one = graph.number(1.0);
                (map.clone(), graph.add(&zeros, &one))
            }
        };
        let planes = graph.transpose(&fused, &[0, 3, 1, 2]);
        let (heat, bounds) = self.head.emit(graph, &planes);
        LocatorOutputs {
            heat: graph.reshape_to(&heat, &map_shape),
            bounds: graph.transpose(&bounds, &[0, 2, 3, 1]),
            attention,
        }
    }
}

impl Gate {
    fn emit(&self, graph: &mut Graph, inputs: &LocatorInputs, map: &Value, map_shape: &Value) -> Value {
        let [channels] = self.norm_q.weight.dims();
        let squared_min = (LENGTH_MIN * LENGTH_MIN) as f32;
        let query = graph.reshape(&inputs.query, &[0, -1, channels as i64]);
        let mean = graph.mean(&query, 1, true);
        let query = self.norm_q.emit(graph, "fusion.norm_q", &mean);
        let query = graph.unit(&query, -1, squared_min);
        let query = graph.transpose(&query, &[0, 2, 1]);
        let map = graph.reshape(map, &[0, -1, channels as i64]);
        let map = self.norm_r.emit(graph, "fusion.norm_r", &map);
        let map = graph.unit(&map, -1, squared_min);
        let cosine = graph.matmul(&map, &query);
        let cosine = graph.reshape(&cosine, &[0, -1]);
        let gate = match (&self.scale, &self.bias) {
            (Some(scale), Some(bias)) => {
                let scale = graph.weights("fusion.scale", scale.val());
                let bias = graph.weights("fusion.bias", bias.val());
                let scaled = graph.multiply(&cosine, &scale);
                let shifted = graph.add(&scaled, &bias);
                graph.unary("Sigmoid", &shifted)
            }
            _ => graph.softmax(&cosine, 1),
        };
        graph.reshape_to(&gate, map_shape)
    }
}

impl Head {
    fn emit(&self, graph: &mut Graph, x: &Value) -> (Value, Value) {
        let x = self.conv1.emit_scaled(graph, "head.conv1", x, Some(self.bn1.folded()));
        let x = graph.unary("Relu", &x);
        let x = self.conv2.emit_scaled(graph, "head.conv2", &x, Some(self.bn2.folded()));
        let x = graph.unary("Relu", &x);
        (self.heat.emit(graph, "head.heat", &x), self.bounds.emit(graph, "head.box", &x))
    }
}
