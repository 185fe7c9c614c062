//! What the weights of a run start from: weights of this network, or a checkpoint of Swin or of the released SMGeo.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;

use super::store;
use crate::checkpoint::{self, Weights};
use crate::model::{Config, SmGeo};

/// Names of files that hold tensors of anyone's network.
const EXTENSIONS: [&str; 4] = ["safetensors", "pth", "pt", "bin"];

/// Loads weights into a network of `config`: from a safetensors or PyTorch file of a network that is known, or as
/// [`store::load_weights`] does. What files of a known origin never have keeps its values, and so do parameters whose names begin
/// with one of `fresh`.
pub fn started(model: SmGeo, config: &Config, path: &Path, fresh: &[String]) -> anyhow::Result<SmGeo> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if path.is_dir() || !EXTENSIONS.contains(&extension) {
        return store::load_weights(model, config, path, fresh);
    }
    let reading = || format!("reading the weights of {}", path.display());
    let (origin, mut weights) = checkpoint::recognised(path, config).with_context(reading)?;
    let is_fresh = |name: &str| fresh.iter().any(|start| name.starts_with(start));
    weights.0.retain(|name, _| !is_fresh(name));
    leave_out_locator(&mut weights, &model);
    let (model, mut report) = checkpoint::load(model, weights).with_context(reading)?;
    let random = report.missing.len();
    report.missing.retain(|name| !is_fresh(name) && !origin.never_has(name));
    report.complete().with_context(reading)?;
    tracing::info!(file = %path.display(), ?origin, parameters_random = random, "weights read");
    Ok(model)
}

/// Takes out the head and the fusion of the released network where this one locates otherwise.
fn leave_out_locator(weights: &mut Weights, model: &SmGeo) {
    let ours: BTreeSet<String> = checkpoint::parameters(model).into_iter().map(|parameter| parameter.name).collect();
    let foreign = |name: &str| (name.starts_with("head.") || name.starts_with("fusion.")) && !ours.contains(name);
    weights.0.retain(|name, _| !foreign(name));
}
