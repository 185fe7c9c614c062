//! The network's parameters by name, out of it and into it.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Gradients, Tensor, TensorData};

use super::{CheckpointError, Weight, Weights};
use crate::model::SmGeo;

/// One parameter (or running statistic) of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What burn's optimisers know it by.
    pub id: ParamId,
    /// Extents, in the PyTorch layout.
    pub shape: Vec<usize>,
}

/// What loading left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Names of the network that the checkpoint lacks; they keep their values.
    pub missing: Vec<String>,
    /// Names of the checkpoint that the network lacks.
    pub unknown: Vec<String>,
}

impl LoadReport {
    /// An error unless everything was found and used.
    pub fn complete(self) -> Result<(), CheckpointError> {
        match self.missing.is_empty() && self.unknown.is_empty() {
            true => Ok(()),
            false => Err(CheckpointError::Names { missing: self.missing, unknown: self.unknown }),
        }
    }
}

/// All parameters, in the order of the network.
pub fn parameters(model: &SmGeo) -> Vec<Parameter> {
    let mut found = Vec::new();
    let mut visitor = Visitor::new(|name, param: Seen| {
        let shape = param.weight.shape.clone();
        found.push(Parameter { name, id: param.id, shape });
    });
    model.visit(&mut visitor);
    found
}

/// All weights and running statistics.
pub fn weights_of(model: &SmGeo) -> Weights {
    let mut weights = BTreeMap::new();
    let mut visitor = Visitor::new(|name, param: Seen| drop(weights.insert(name, param.weight)));
    model.visit(&mut visitor);
    Weights(weights)
}

/// The gradients of all parameters that have one.
pub fn gradients(model: &SmGeo, gradients: &Gradients) -> Weights {
    let mut visitor = GradientVisitor { path: Path::default(), gradients, found: BTreeMap::new() };
    model.visit(&mut visitor);
    Weights(visitor.found)
}

/// Puts weights into the network; shapes have to agree, names are reported.
pub fn load(model: SmGeo, weights: Weights) -> Result<(SmGeo, LoadReport), CheckpointError> {
    let mut mapper = Loader { path: Path::default(), weights, missing: Vec::new(), problem: None };
    let model = model.map(&mut mapper);
    let report = LoadReport { missing: mapper.missing, unknown: mapper.weights.0.into_keys().collect() };
    match mapper.problem {
        Some(problem) => Err(problem),
        None => Ok((model, report)),
    }
}

/// Where a walk through the network is.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    /// The name: the encoder and the kinds of locator are no part of it, and a field's Rust name may differ.
    fn name(&self) -> String {
        let own = self.0.iter().filter(|part| !matches!(part.as_str(), "encoder" | "paper" | "Some"));
        let parts: Vec<&str> = own
            .map(|part| match part.as_str() {
                "bounds" => "box",
                other => other,
            })
            .collect();
        let name = parts.join(".");
        for (inside, outside) in
            [("locator.fusion.", "fusion."), ("locator.head.", "head."), ("locator.template.", "locator.")]
        {
            if let Some(rest) = name.strip_prefix(inside) {
                return format!("{outside}{rest}");
            }
        }
        name
    }
}

/// Linear weights lie `[in, out]` in the network and `[out, in]` outside.
fn is_linear(name: &str, rank: usize) -> bool {
    rank == 2 && name.ends_with(".weight")
}

fn outside<const D: usize>(name: &str, tensor: Tensor<D>) -> Weight {
    let weight = Weight::new(tensor.dims(), tensor.into_data().iter::<f32>().collect());
    if is_linear(name, D) { weight.transposed() } else { weight }
}

struct Seen {
    id: ParamId,
    weight: Weight,
}

struct Visitor<F> {
    path: Path,
    see: F,
}

impl<F: FnMut(String, Seen)> Visitor<F> {
    fn new(see: F) -> Self {
        Self { path: Path::default(), see }
    }
}

impl<F: FnMut(String, Seen)> ModuleVisitor for Visitor<F> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.name();
        let weight = outside(&name, param.val());
        (self.see)(name, Seen { id: param.id, weight });
    }
}

struct GradientVisitor<'a> {
    path: Path,
    gradients: &'a Gradients,
    found: BTreeMap<String, Weight>,
}

impl ModuleVisitor for GradientVisitor<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.name();
        if let Some(gradient) = param.val().grad(self.gradients) {
            let gradient = outside(&name, gradient);
            self.found.insert(name, gradient);
        }
    }
}

struct Loader {
    path: Path,
    weights: Weights,
    missing: Vec<String>,
    problem: Option<CheckpointError>,
}

impl ModuleMapper for Loader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let Some(weight) = self.weights.take(&name) else {
            self.missing.push(name);
            return param;
        };
        let weight = if is_linear(&name, D) { weight.transposed() } else { weight };
        let expected = param.val().dims().to_vec();
        if weight.shape != expected {
            self.problem.get_or_insert(CheckpointError::Shape { name, expected, found: weight.shape });
            return param;
        }
        param.map(|old| {
            let trained = old.is_require_grad();
            let new = Tensor::from_data(TensorData::new(weight.values, weight.shape), &old.device());
            new.set_require_grad(trained)
        })
    }
}
