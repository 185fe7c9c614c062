//! Rendered towns on disk, a folder each: satellite pictures, drone frames with the ground they show, boxes.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::camera::DroneCamera;
use super::ground::{DroneFrame, Ground, GroundBox, Source, Surface};
use super::{DataError, Raster};

/// Edge of a block of frame pixels with one ground position.
pub const BLOCK_PX: usize = 4;
/// Seeds from here on are never trained on.
pub const HELD_OUT_SEED_MIN: u64 = 1_000_000;

/// Whether a group is a town that is never trained on.
pub fn is_held_out(group: &str) -> bool {
    let seed = group.strip_prefix("town-").and_then(|seed| seed.parse::<u64>().ok());
    seed.is_some_and(|seed| seed >= HELD_OUT_SEED_MIN)
}

#[derive(Serialize, Deserialize)]
struct Record {
    seed: u64,
    gsd_m: f64,
    layers: usize,
    boxes: Vec<([f64; 4], String)>,
    frames: Vec<FrameRecord>,
}

#[derive(Serialize, Deserialize)]
struct FrameRecord {
    camera: DroneCamera,
    objects: Vec<(usize, [f64; 2])>,
}

/// Writes a rendered town into `folder/town-SEED`.
pub fn write(ground: &Ground, seed: u64, folder: &Path) -> Result<(), DataError> {
    let folder = folder.join(&ground.name);
    let fail = |path: &Path, source| DataError::Write { path: path.to_owned(), source };
    fs::create_dir_all(&folder).map_err(|source| fail(&folder, source))?;
    for (index, layer) in ground.layers.iter().enumerate() {
        layer.save(&folder.join(format!("satellite-{index}.jpg")))?;
    }
    let mut frames = Vec::new();
    for (index, frame) in ground.frames.iter().enumerate() {
        frame.picture.save(&folder.join(format!("drone-{index:03}.jpg")))?;
        let Surface::Relief { ground, .. } = &frame.surface else { continue };
        let bytes: Vec<u8> = ground.iter().flatten().flat_map(|place| place.to_le_bytes()).collect();
        let path = folder.join(format!("drone-{index:03}.f32"));
        fs::write(&path, bytes).map_err(|source| fail(&path, source))?;
        frames.push(FrameRecord { camera: frame.camera.clone(), objects: frame.objects.clone() });
    }
    let boxes = ground.boxes.iter().map(|object| (object.xyxy, object.class.clone())).collect();
    let record = Record { seed, gsd_m: ground.gsd_m, layers: ground.layers.len(), boxes, frames };
    // The record comes last: a folder without one is a town that was not finished.
    let path = folder.join("town.json");
    let text = serde_json::to_string(&record)
        .map_err(|error| DataError::Malformed { path: path.clone(), reason: error.to_string() })?;
    fs::write(&path, text).map_err(|source| fail(&path, source))
}

/// Reads all finished towns in a folder, in the order of their names.
pub fn read(folder: &Path) -> Result<Vec<Ground>, DataError> {
    let entries = fs::read_dir(folder).map_err(|source| DataError::Read { path: folder.to_owned(), source })?;
    let mut towns: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    towns.retain(|town| town.join("town.json").exists());
    towns.sort();
    towns.par_iter().map(|town| read_one(town)).collect()
}

fn read_one(folder: &Path) -> Result<Ground, DataError> {
    let path = folder.join("town.json");
    let text = fs::read_to_string(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
    let record: Record = serde_json::from_str(&text)
        .map_err(|error| DataError::Malformed { path: path.clone(), reason: error.to_string() })?;
    let layers = (0..record.layers).map(|index| Raster::open(&folder.join(format!("satellite-{index}.jpg"))));
    let layers = layers.collect::<Result<_, _>>()?;
    let frames = record.frames.into_iter().enumerate().map(|(index, frame)| read_frame(folder, index, frame));
    let name = format!("town-{}", record.seed);
    Ok(Ground {
        group: name.clone(),
        name,
        source: Source::Town,
        gsd_m: record.gsd_m,
        layers,
        boxes: record.boxes.into_iter().map(|(xyxy, class)| GroundBox { xyxy, class }).collect(),
        frames: frames.collect::<Result<_, _>>()?,
    })
}

fn read_frame(folder: &Path, index: usize, record: FrameRecord) -> Result<DroneFrame, DataError> {
    let picture = Raster::open(&folder.join(format!("drone-{index:03}.jpg")))?;
    let path = folder.join(format!("drone-{index:03}.f32"));
    let bytes = fs::read(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
    let number = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let ground: Vec<[f32; 2]> = bytes.chunks_exact(8).map(|pair| [number(&pair[..4]), number(&pair[4..])]).collect();
    let (columns, rows) = (picture.width() / BLOCK_PX, picture.height() / BLOCK_PX);
    if ground.len() != columns * rows {
        return Err(DataError::Malformed {
            path,
            reason: format!("{} positions, not {}", ground.len(), columns * rows),
        });
    }
    let surface = Surface::Relief { block_px: BLOCK_PX, columns, ground };
    Ok(DroneFrame { picture, camera: record.camera, surface, objects: record.objects })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn towns_from_a_million_on_are_held_out() {
        assert!(is_held_out("town-1000000"));
        assert!(!is_held_out("town-999999"));
        assert!(!is_held_out("riverside"));
    }
}
