//! The part of the locator that reads the window alone, as a compiled model.

use ::openvino::{Core, ElementType, Shape, Tensor};

use super::model::Model;
use crate::cut::Cut;
use crate::error::EngineError;
use crate::package::{LOCATOR, Package};

/// A compiled first half of a locator.
pub struct Map {
    model: Model,
    carried: Vec<String>,
}

impl Map {
    /// Cuts a locator and compiles its first half; gives the rest, or the whole where there is nothing to cut. The first half is
    /// run on `example`, because the rest has to declare the ranks of what it is given.
    pub fn compile(
        core: &mut Core,
        package: &Package,
        locator: Vec<u8>,
        example: &Tensor,
    ) -> Result<(Option<Map>, Vec<u8>), EngineError> {
        let Some((cut, bytes)) = Cut::of(&locator).and_then(|cut| cut.map().map(|bytes| (cut, bytes))) else {
            return Ok((None, locator));
        };
        let model = Model::compile(core, package, LOCATOR, &bytes)?;
        let mut map = Map { model, carried: cut.carried().to_vec() };
        let mut ranks = Vec::new();
        for (name, tensor) in map.run(example)? {
            let shape = tensor.get_shape().map_err(|error| super::failed(format!("read `{name}`"), error))?;
            ranks.push(shape.get_dimensions().len());
        }
        Ok(match cut.matching(Some(&ranks)) {
            Some(matching) => (Some(map), matching),
            None => (None, locator),
        })
    }

    /// What a window carries to every query, by name.
    pub fn run(&mut self, reference: &Tensor) -> Result<Vec<(String, Tensor)>, EngineError> {
        self.model.share("reference", reference)?;
        self.model.run()?;
        self.carried.iter().map(|name| Ok((name.clone(), self.copied(name)?))).collect()
    }

    // The model's own tensor is overwritten by the next window.
    fn copied(&self, name: &str) -> Result<Tensor, EngineError> {
        let failed = |error| super::failed(format!("read `{name}`"), error);
        let given = self.model.output(name)?;
        let kind = given.get_element_type().map_err(failed)?;
        if kind != ElementType::F32 {
            let problem = format!("`{name}` of {kind:?}, which depends on the window alone, not f32");
            return Err(EngineError::Output { network: "locator", problem });
        }
        let shape = given.get_shape().map_err(failed)?;
        let mut tensor =
            Tensor::new(ElementType::F32, &Shape::new(shape.get_dimensions()).map_err(failed)?).map_err(failed)?;
        tensor.get_data_mut::<f32>().map_err(failed)?.copy_from_slice(given.get_data::<f32>().map_err(failed)?);
        Ok(tensor)
    }
}
