//! Collects the grounds of a run, and splits them into what is trained on and what is held out by place.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::ground::Ground;
use super::{DataError, dubai, naip, town_folder};

/// Where imagery lies and what is never trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataPlan {
    /// Folder of aerial places on several dates, as `naip::read` takes it.
    pub naip: Option<PathBuf>,
    /// Folder of continuous scenes, as `dubai::read` takes it.
    pub dubai: Option<PathBuf>,
    /// Folder of rendered towns, as `towns` writes them; those with seeds from 1,000,000 on are held out.
    pub towns: Option<PathBuf>,
    /// Groups (cities, scenes) that are held out.
    pub held_out: Vec<String>,
    /// Pair sets to train on, in place of the grounds above: CVOGL, or pairs of one's own.
    pub pairs: Vec<PathBuf>,
    /// Pair sets to look at while training on pairs.
    pub pairs_held_out: Vec<PathBuf>,
}

/// All grounds of a run.
#[derive(Clone)]
pub struct Library {
    /// What is trained on.
    pub trained: Arc<Vec<Ground>>,
    /// What is not.
    pub held_out: Arc<Vec<Ground>>,
}

impl Library {
    /// Reads everything a plan names.
    pub fn read(plan: &DataPlan) -> Result<Self, DataError> {
        let mut grounds = Vec::new();
        if let Some(folder) = &plan.naip {
            grounds.extend(naip::read(folder)?);
        }
        if let Some(folder) = &plan.dubai {
            grounds.extend(dubai::read(folder)?);
        }
        if let Some(folder) = &plan.towns {
            grounds.extend(town_folder::read(folder)?);
        }
        if let Some(group) = plan.held_out.iter().find(|group| !grounds.iter().any(|ground| ground.group == **group)) {
            return Err(DataError::NoGround(format!("held_out names {group}, which is not there")));
        }
        Ok(Self::split(grounds, &plan.held_out))
    }

    fn split(grounds: Vec<Ground>, held_out: &[String]) -> Self {
        let is_held_out = |ground: &Ground| held_out.contains(&ground.group) || town_folder::is_held_out(&ground.group);
        let (held_out, trained) = grounds.into_iter().partition(is_held_out);
        Self { trained: Arc::new(trained), held_out: Arc::new(held_out) }
    }

    /// SHA-256 over all that is known of what is trained on, in hexadecimal.
    pub fn hash(&self) -> String {
        let mut fingerprint = Fingerprint::default();
        self.trained.iter().for_each(|ground| fingerprint.ground(ground));
        fingerprint.finish()
    }
}
