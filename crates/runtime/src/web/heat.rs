//! Where the network thinks a target may be, as a picture to lay over the map.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use image::{ImageError, ImageFormat, Rgba, RgbaImage};
use smgeo_engine::Posterior;
use smgeo_flow::Stamp;
use smgeo_geo::{LatLon, Pixel, TileWindow};
use smgeo_messages::{Detection, FrameId, Outcome, PromptSet, TargetId};
use tokio::sync::watch;

/// The colour scale, from unlikely to the most likely cell: dark violet, magenta, orange, pale yellow. Lightness grows
/// throughout, so it reads in grey and to the colour-blind.
const SCALE: [[f32; 3]; 4] = [[60.0, 15.0, 110.0], [190.0, 55.0, 120.0], [250.0, 140.0, 50.0], [252.0, 250.0, 180.0]];
/// The opacity of the most likely cell; the map stays visible through it.
const ALPHA_MAX: f32 = 220.0;

/// Is the network's last answer about one target.
#[derive(Clone)]
pub struct HeatMap {
    /// The frame it is about.
    pub frame: FrameId,
    /// When that frame was captured.
    pub captured: Stamp,
    /// The probability of each cell.
    pub posterior: Arc<Posterior>,
    /// Where the cells lie.
    pub window: TileWindow,
}

impl HeatMap {
    /// Returns the map under a detection; none when nothing was found.
    pub fn of(detection: &Detection) -> Option<Self> {
        let Outcome::Found(found) = &detection.outcome else { return None };
        let (posterior, window) = (found.posterior.clone(), found.window);
        Some(Self { frame: detection.frame, captured: detection.captured, posterior, window })
    }

    /// Returns the corners on the Earth, as `[longitude, latitude]` degrees: north-west, north-east, south-east, south-west.
    pub fn corners_deg(&self) -> Option<[[f64; 2]; 4]> {
        let (right, bottom) = (self.window.width_px(), self.window.height_px());
        let corner = |x, y| self.window.lat_lon(Pixel::new(x, y)).map(|at: LatLon| [at.lon_deg(), at.lat_deg()]);
        Some([corner(0.0, 0.0)?, corner(right, 0.0)?, corner(right, bottom)?, corner(0.0, bottom)?])
    }

    /// Draws one pixel a cell, as PNG. Colour and opacity grow with the square root of the probability over that of the
    /// most likely cell, so that the second best place is seen too.
    pub fn png(&self) -> Result<Vec<u8>, ImageError> {
        let cells = self.posterior.probabilities();
        let most = cells.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let columns = self.posterior.width();
        let picture = RgbaImage::from_fn(columns as u32, self.posterior.height() as u32, |x, y| {
            let cell = cells.get(y as usize * columns + x as usize).copied().unwrap_or(0.0);
            colour((cell.max(0.0) / most).sqrt())
        });
        let mut png = Cursor::new(Vec::new());
        picture.write_to(&mut png, ImageFormat::Png)?;
        Ok(png.into_inner())
    }
}

/// Returns the colour of a value from 0 to 1.
fn colour(value: f32) -> Rgba<u8> {
    let value = if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
    let along = value * (SCALE.len() - 1) as f32;
    let from = (along as usize).min(SCALE.len() - 2);
    let part = along - from as f32;
    let channel = |index: usize| (SCALE[from][index] * (1.0 - part) + SCALE[from + 1][index] * part) as u8;
    Rgba([channel(0), channel(1), channel(2), (value * ALPHA_MAX) as u8])
}

/// Keeps the last heat map of every target; clones share it. The locator writes it, the page reads it.
#[derive(Clone, Default)]
pub struct HeatBoard {
    maps: Arc<Mutex<BTreeMap<u32, HeatMap>>>,
}

impl HeatBoard {
    /// Takes the map under a detection, if something was found.
    pub fn take(&self, detection: &Detection) {
        if let Some(map) = HeatMap::of(detection) {
            self.put(detection.target, map);
        }
    }

    /// Takes a target's map.
    pub fn put(&self, target: TargetId, map: HeatMap) {
        self.lock().insert(target.0, map);
    }

    /// Returns the last map of a target.
    pub fn get(&self, target: u32) -> Option<HeatMap> {
        self.lock().get(&target).cloned()
    }

    /// Forgets the maps of targets that are not followed any more, until the prompts' sender is gone.
    pub async fn forget_deleted(self, mut prompts: watch::Receiver<PromptSet>) {
        while prompts.changed().await.is_ok() {
            let set = prompts.borrow_and_update();
            self.lock().retain(|target, _| set.targets.iter().any(|prompt| prompt.target.0 == *target));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, HeatMap>> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_grows_lighter_and_more_opaque_and_nan_is_nothing() {
        let lightness = |value: f32| {
            let Rgba([red, green, blue, alpha]) = colour(value);
            (u32::from(red) * 3 + u32::from(green) * 6 + u32::from(blue), alpha)
        };
        let steps: Vec<(u32, u8)> = (0..=10).map(|step| lightness(step as f32 / 10.0)).collect();
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
        assert_eq!(colour(f32::NAN).0[3], 0);
        assert_eq!(colour(9.0), colour(1.0));
    }
}
