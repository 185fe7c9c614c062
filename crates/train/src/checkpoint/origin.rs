//! Whose network a checkpoint file is of, told by the names of its tensors, and its weights under our names.

use std::path::Path;

use super::import::{released_of, state, swin_of};
use super::{CheckpointError, Weights};
use crate::model::Config;

/// Whose network a checkpoint file is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This one: the file's names are ours.
    Own,
    /// Swin, as Microsoft and timm publish it.
    Swin,
    /// SMGeo, as its released script saves it.
    Released,
}

/// A tensor that every file of an origin has, and no file of another.
const TOLD_BY: [(Origin, &str); 3] = [
    (Origin::Own, "patch_embed.query.proj.weight"),
    (Origin::Swin, "patch_embed.proj.weight"),
    (Origin::Released, "backbone.patch_embeds.query.proj.weight"),
];
/// Names shown of a file that is not understood.
const SHOWN_MAX: usize = 3;

impl Origin {
    /// Whether files of this origin never have a parameter of ours, so that it starts at random.
    pub fn never_has(self, name: &str) -> bool {
        let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        match self {
            Self::Own => false,
            Self::Swin => {
                name.contains(".moe.routers.") || begins(&["locator.", "pyramid.", "finer.", "fusion.", "head."])
            }
            // Its script leaves the fusion out where it does not train it.
            Self::Released => begins(&["locator.", "pyramid.", "finer.", "fusion."]),
        }
    }
}

/// Reads a safetensors or PyTorch file and recognises whose it is. Answers with weights for the network of `config`, under our names.
pub fn recognised(path: &Path, config: &Config) -> Result<(Origin, Weights), CheckpointError> {
    let theirs = state(path)?;
    let told = TOLD_BY.into_iter().find(|(_, name)| theirs.get(name).is_some());
    let Some((origin, _)) = told else { return Err(unknown(&theirs, path)) };
    let weights = match origin {
        Origin::Own => theirs,
        Origin::Swin => swin_of(theirs, path, config)?,
        Origin::Released => released_of(theirs, path, config)?,
    };
    Ok((origin, weights))
}

fn unknown(theirs: &Weights, path: &Path) -> CheckpointError {
    let names: Vec<&str> = theirs.0.keys().take(SHOWN_MAX).map(String::as_str).collect();
    let found = match names.is_empty() {
        true => "it has no tensors".to_owned(),
        false => format!("it has {} tensors, among them {}", theirs.0.len(), names.join(", ")),
    };
    let understood = TOLD_BY.map(|(origin, name)| format!("{origin:?} with {name}")).join(", ");
    CheckpointError::Broken { path: path.into(), problem: format!("{found}; understood are {understood}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Weight;

    #[test]
    fn a_file_that_is_nobodys_is_refused_with_what_it_has_and_what_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resnet.safetensors");
        let one = |name: &str| (name.to_owned(), Weight::new([1], vec![0.0]));
        Weights(["conv1.weight", "fc.bias"].map(one).into()).write(&path, &[]).unwrap();
        let error = recognised(&path, &Config::tiny()).unwrap_err().to_string();
        assert!(error.contains("2 tensors, among them conv1.weight, fc.bias;"), "{error}");
        assert!(error.contains("Swin with patch_embed.proj.weight"), "{error}");
    }
}
