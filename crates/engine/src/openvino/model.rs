//! One compiled network, and its inputs, which are kept as long as their shapes stay.

use ::openvino::{Core, DeviceType, ElementType, InferRequest, Shape, Tensor};

use super::failed;
use crate::error::EngineError;
use crate::package::Package;

/// A compiled network.
pub struct Model {
    request: InferRequest,
    network: &'static str,
    names: Vec<String>,
    inputs: Vec<Input>,
}

struct Input {
    name: &'static str,
    shape: Vec<i64>,
    tensor: Tensor,
}

impl Model {
    /// Compiles the network in `onnx`, which comes from `file` of the package.
    pub fn compile(core: &mut Core, package: &Package, file: &'static str, onnx: &[u8]) -> Result<Model, EngineError> {
        let failed = |error| failed(format!("load {}", package.folder().join(file).display()), error);
        let model = core.read_model_from_buffer(onnx, None).map_err(failed)?;
        let mut names = Vec::new();
        for index in 0..model.get_inputs_len().map_err(failed)? {
            names.push(model.get_input_by_index(index).and_then(|input| input.get_name()).map_err(failed)?);
        }
        let mut compiled = core.compile_model(&model, DeviceType::CPU).map_err(failed)?;
        let request = compiled.create_infer_request().map_err(failed)?;
        Ok(Model { request, network: file.trim_end_matches(".onnx"), names, inputs: Vec::new() })
    }

    /// Lets `write` fill the input `name`. An input that the network does not read is left out.
    pub fn give<T>(
        &mut self,
        name: &'static str,
        kind: ElementType,
        shape: &[i64],
        write: impl FnOnce(&mut [T]),
    ) -> Result<(), EngineError> {
        if !self.reads(name) {
            return Ok(());
        }
        let failed = |error| failed(format!("take `{name}`"), error);
        let at = match self.inputs.iter().position(|input| input.name == name && input.shape == shape) {
            Some(at) => at,
            None => {
                let tensor = Tensor::new(kind, &Shape::new(shape).map_err(failed)?).map_err(failed)?;
                self.request.set_tensor(name, &tensor).map_err(failed)?;
                self.inputs.retain(|input| input.name != name);
                self.inputs.push(Input { name, shape: shape.into(), tensor });
                self.inputs.len() - 1
            }
        };
        write(self.inputs[at].tensor.get_data_mut::<T>().map_err(failed)?);
        Ok(())
    }

    /// Copies `values` to the input `name`.
    pub fn copy<T: Copy>(
        &mut self,
        name: &'static str,
        kind: ElementType,
        shape: &[i64],
        values: &[T],
    ) -> Result<(), EngineError> {
        self.give(name, kind, shape, |place: &mut [T]| place.copy_from_slice(values))
    }

    /// Lets the input `name` be `tensor`, which stays the caller's.
    pub fn share(&mut self, name: &str, tensor: &Tensor) -> Result<(), EngineError> {
        match self.reads(name) {
            true => self.request.set_tensor(name, tensor).map_err(|error| failed(format!("take `{name}`"), error)),
            false => Ok(()),
        }
    }

    /// Runs the network on its inputs.
    pub fn run(&mut self) -> Result<(), EngineError> {
        self.request.infer().map_err(|error| failed(format!("run the {}", self.network), error))
    }

    /// The last run's output, which the next one overwrites.
    pub fn output(&self, name: &str) -> Result<Tensor, EngineError> {
        self.request.get_tensor(name).map_err(|error| failed(format!("read `{name}`"), error))
    }

    /// Copies the output `name`, which must be of this shape, into a buffer.
    pub fn read(&self, name: &str, shape: &[i64], into: &mut Vec<f32>) -> Result<(), EngineError> {
        let failed = |error| failed(format!("read `{name}`"), error);
        let tensor = self.output(name)?;
        let given = tensor.get_shape().map_err(failed)?;
        if given.get_dimensions() != shape {
            let problem = format!("`{name}` of shape {:?}, not {shape:?}", given.get_dimensions());
            return Err(EngineError::Output { network: self.network, problem });
        }
        into.clear();
        into.extend_from_slice(tensor.get_data::<f32>().map_err(failed)?);
        Ok(())
    }

    fn reads(&self, name: &str) -> bool {
        self.names.iter().any(|input| input == name)
    }
}
