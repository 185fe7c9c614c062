//! Pair sets: a folder with `pairs.jsonl`, one pair a line, and the pictures it names. Every evaluation runs on this form, which
//! the engine reads; here it is also written.

use std::io::Write;
use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::Serialize;
use smgeo_engine::pairs::{self, LIST};
use smgeo_engine::{EncoderImage, TILE_PX};

use super::batch::Batch;
use super::ground::{Ground, Source};
use super::recipe::Recipe;
use super::region::Region;
use super::sampler::Sampler;
use super::{DataError, Raster};

/// One line of `pairs.jsonl`. Pixels are those of the named pictures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Path of the drone view, relative to the folder.
    pub query: String,
    /// Path of the satellite view, relative to the folder.
    pub reference: String,
    /// The click on the query.
    pub click: [f64; 2],
    /// The object on the reference: left, top, right, bottom.
    #[serde(rename = "box")]
    pub box_xyxy: [f64; 4],
    /// Metres per pixel of the reference.
    pub gsd_m: f64,
    /// What the object is.
    pub class: String,
    /// The unit of resampling for confidence intervals.
    pub group: String,
    /// Whether the query is laid out like the reference, north up at its scale; written only where it is not.
    #[serde(skip_serializing_if = "is_true")]
    pub rectified: bool,
}

fn is_true(flag: &bool) -> bool {
    *flag
}

impl From<pairs::Pair> for Pair {
    fn from(pair: pairs::Pair) -> Self {
        Self {
            query: pair.query.to_string_lossy().into_owned(),
            reference: pair.reference.to_string_lossy().into_owned(),
            click: pair.click.map(f64::from),
            box_xyxy: pair.box_xyxy_px.map(f64::from),
            gsd_m: pair.gsd_m,
            class: pair.class,
            group: pair.group,
            rectified: pair.rectified,
        }
    }
}

/// A pair set on disk.
#[derive(Clone, Debug)]
pub struct PairSet {
    folder: PathBuf,
    /// All pairs, in the order of the file.
    pub pairs: Vec<Pair>,
}

impl PairSet {
    /// Reads `pairs.jsonl`; the pictures are read when asked for.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let read = pairs::PairSet::open(folder)
            .map_err(|error| DataError::Malformed { path: folder.to_owned(), reason: error.to_string() })?;
        Ok(Self { folder: folder.to_owned(), pairs: read.pairs.into_iter().map(Pair::from).collect() })
    }

    /// The query as the encoder takes it, and the click on it. A query of another size than 256 px is cut out around its
    /// click.
    pub fn query(&self, pair: &Pair) -> Result<(EncoderImage, [f32; 2]), DataError> {
        let picture = Raster::open(&self.folder.join(&pair.query))?;
        let malformed = |reason: String| DataError::Malformed { path: self.folder.join(&pair.query), reason };
        let [x, y] = pair.click;
        if !picture.contains(x, y) {
            return Err(malformed(format!("the click {x}, {y} lies outside")));
        }
        let (picture, [x, y]) = if (picture.width(), picture.height()) == (TILE_PX, TILE_PX) {
            (picture, [x, y])
        } else {
            let corner = [x, y].map(|place| place.floor() - TILE_PX as f64 / 2.0);
            let cut = picture.crop(corner[0] as i64, corner[1] as i64, TILE_PX, TILE_PX, [0; 3]);
            (cut, [x - corner[0], y - corner[1]])
        };
        let click = [x as f32, y as f32];
        let image =
            EncoderImage::query(picture.rgb(), (click[0], click[1])).map_err(|error| malformed(error.to_string()))?;
        Ok((image, click))
    }

    /// The query as the camera took it.
    pub fn photo(&self, pair: &Pair) -> Result<RgbImage, DataError> {
        let path = self.folder.join(&pair.query);
        let picture = Raster::open(&path)?;
        let (width, height) = (picture.width() as u32, picture.height() as u32);
        RgbImage::from_raw(width, height, picture.rgb().to_vec())
            .ok_or_else(|| DataError::Malformed { path, reason: "its size is not that of its pixels".into() })
    }

    /// Where a picture of the set lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The reference picture.
    pub fn reference(&self, pair: &Pair) -> Result<Raster, DataError> {
        Raster::open(&self.folder.join(&pair.reference))
    }
}

/// Writes a pair set. Its list has another name until [`PairWriter::finish`], so that what broke off is never taken for a set.
pub struct PairWriter {
    folder: PathBuf,
    file: std::fs::File,
    count: usize,
    windows: usize,
}

impl PairWriter {
    /// Makes the folder and begins its list. A folder that holds a set is refused.
    pub fn create(folder: &Path) -> Result<Self, DataError> {
        let whole = folder.join(LIST);
        if whole.exists() {
            return Err(DataError::Exists { path: whole });
        }
        let fail = |path: &Path, source| DataError::Write { path: path.to_owned(), source };
        for part in ["q", "r"] {
            let path = folder.join(part);
            std::fs::create_dir_all(&path).map_err(|source| fail(&path, source))?;
        }
        let path = partial(folder);
        let file = std::fs::File::create(&path).map_err(|source| fail(&path, source))?;
        Ok(Self { folder: folder.to_owned(), file, count: 0, windows: 0 })
    }

    /// Gives the list its name. Answers with the number of pairs.
    pub fn finish(self) -> Result<usize, DataError> {
        let path = self.folder.join(LIST);
        let named = self.file.sync_all().and_then(|()| std::fs::rename(partial(&self.folder), &path));
        named.map_err(|source| DataError::Write { path, source })?;
        Ok(self.count)
    }

    /// Pairs written.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Adds a window picture; pairs name it by what this returns.
    pub fn window(&mut self, picture: &Raster) -> Result<String, DataError> {
        let name = format!("r/{:04}.jpg", self.windows);
        picture.save(&self.folder.join(&name))?;
        self.windows += 1;
        Ok(name)
    }

    /// Adds a pair; `pair.query` is filled in.
    pub fn pair(&mut self, query: &Raster, mut pair: Pair) -> Result<(), DataError> {
        pair.query = format!("q/{:05}.jpg", self.count);
        query.save(&self.folder.join(&pair.query))?;
        self.line(&pair)
    }

    /// Adds a pair whose pictures are in place.
    pub fn line(&mut self, pair: &Pair) -> Result<(), DataError> {
        let path = partial(&self.folder);
        let text = serde_json::to_string(pair)
            .map_err(|error| DataError::Malformed { path: path.clone(), reason: error.to_string() })?;
        writeln!(self.file, "{text}").map_err(|source| DataError::Write { path, source })?;
        self.count += 1;
        Ok(())
    }
}

/// Writes about `count` pairs drawn from grounds: windows of 4 x 4 tiles, one object clicked a query, no absent objects. A set
/// without any pair is not finished: nothing can be measured on it.
pub fn write_drawn(sampler: &Sampler, count: usize, folder: &Path) -> Result<usize, DataError> {
    if !sampler.has_objects() {
        return Err(DataError::NoPairs("the ground has no boxes, and pairs ask about boxed objects"));
    }
    let mut writer = PairWriter::create(folder)?;
    let mut step = 0;
    while writer.count() < count && step < 4 * count as u64 + 16 {
        let batch = sampler.batch(step);
        let name = writer.window(&window_of(&batch))?;
        for click in &batch.clicks {
            let (Some(bounds), Some([ground, object])) = (click.box_xyxy, click.object) else { continue };
            let ground = &sampler.grounds()[ground];
            let pair = Pair {
                query: String::new(),
                reference: name.clone(),
                click: click.at.map(f64::from),
                box_xyxy: bounds.map(f64::from),
                gsd_m: resolution_m(ground, object, &bounds),
                class: ground.boxes[object].class.clone(),
                group: group_of(ground, step),
                rectified: sampler.recipe().unposed == 0.0,
            };
            if writer.count() < count && is_inside(&pair.box_xyxy, &batch) {
                writer.pair(&picture_of(&batch.queries[click.query]), pair)?;
            }
        }
        step += 1;
    }
    if writer.count() == 0 {
        return Err(DataError::NoPairs("no object was found that lies whole in a window and shows in a view of it"));
    }
    writer.finish()
}

/// The list while it is written.
fn partial(folder: &Path) -> PathBuf {
    folder.join(format!("{LIST}.partial"))
}

/// The recipe for pair sets: 4 x 4 tiles at the ground's own scale, one click a query, always on an object. Queries are rectified by
/// a pose unless they are `unposed`.
pub fn recipe(source: Source, unposed: bool) -> Recipe {
    let share = |other: Source| f64::from(u8::from(other == source));
    Recipe {
        rows: 4,
        columns: 4,
        queries: 12,
        clicks_per_query: 1,
        share_naip: share(Source::Naip),
        share_dubai: share(Source::Dubai),
        share_town: share(Source::Town),
        absent: 0.0,
        raw: 0.0,
        mistaken: 0.0,
        mirrored: 1.0,
        unposed: f64::from(u8::from(unposed)),
        on_object: 1.0,
        even_classes: 0.0,
        zoom_naip: [1.0; 2],
        zoom_dubai: [1.2; 2],
        zoom_town: [1.0; 2],
        ..Recipe::default()
    }
}

/// The recipe with windows of so many metres a pixel, whatever the ground has.
pub fn at_scale(recipe: Recipe, grounds: &[Ground], gsd_m: f64) -> Result<Recipe, DataError> {
    let zoom = |source: Source| {
        let ground = grounds.iter().find(|ground| ground.source == source);
        ground.map_or(1.0, |ground| ground.gsd_m / gsd_m)
    };
    let [naip, dubai, town] = [Source::Naip, Source::Dubai, Source::Town].map(zoom);
    if recipe.share_naip > 0.0 && naip < 1.0 {
        return Err(DataError::NoPairs("places are as large as one tile, and coarser they do not fill it"));
    }
    Ok(Recipe { zoom_naip: [naip; 2], zoom_dubai: [dubai; 2], zoom_town: [town; 2], ..recipe })
}

/// Metres per window pixel, from how large an object is on the ground's grid and in the window.
fn resolution_m(ground: &Ground, object: usize, bounds: &[f32; 4]) -> f64 {
    let [width, height] = ground.boxes[object].size();
    let area_px = f64::from((bounds[2] - bounds[0]) * (bounds[3] - bounds[1]));
    ground.gsd_m * (width * height / area_px.max(1e-6)).sqrt()
}

fn group_of(ground: &Ground, window: u64) -> String {
    match ground.source {
        Source::Naip | Source::Town => ground.name.clone(),
        Source::Dubai => format!("{}/{window}", ground.name),
    }
}

fn is_inside(bounds: &[f64; 4], batch: &Batch) -> bool {
    let (width, height) = Region::size_px((batch.rows, batch.columns));
    bounds[0] >= 0.0 && bounds[1] >= 0.0 && bounds[2] <= width && bounds[3] <= height
}

fn window_of(batch: &Batch) -> Raster {
    let mut window = Raster::filled(batch.columns * TILE_PX, batch.rows * TILE_PX, [0; 3]);
    for (index, tile) in batch.tiles.iter().enumerate() {
        let (row, column) = (index / batch.columns, index % batch.columns);
        window.paste_offset(&picture_of(tile), (column * TILE_PX) as i64, (row * TILE_PX) as i64);
    }
    window
}

/// The colours of an encoder image, without the click map.
pub fn picture_of(image: &EncoderImage) -> Raster {
    let mut picture = Raster::filled(TILE_PX, TILE_PX, [0; 3]);
    let pixels = picture.rgb_mut().chunks_exact_mut(3).zip(image.bytes().chunks_exact(4));
    pixels.for_each(|(pixel, bytes)| pixel.copy_from_slice(&bytes[..3]));
    picture
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::ground::GroundBox;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PairWriter::create(folder.path()).unwrap();
        let reference = writer.window(&Raster::filled(512, 256, [90; 3])).unwrap();
        let pair = Pair {
            query: String::new(),
            reference,
            click: [30.0, 40.0],
            box_xyxy: [1.0, 2.0, 30.0, 40.0],
            gsd_m: 0.6,
            class: "building".into(),
            group: "town-7".into(),
            rectified: true,
        };
        writer.pair(&Raster::filled(300, 400, [80; 3]), pair.clone()).unwrap();
        assert!(PairSet::open(folder.path()).is_err(), "it is not finished");
        assert_eq!(writer.finish().unwrap(), 1);
        let set = PairSet::open(folder.path()).unwrap();
        assert_eq!(set.pairs, [Pair { query: "q/00000.jpg".into(), ..pair }]);
        assert_eq!(set.reference(&set.pairs[0]).unwrap().width(), 512);
        let (image, click) = set.query(&set.pairs[0]).unwrap();
        assert_eq!(click, [128.0, 128.0]);
        assert_eq!(image.bytes()[3 + (128 * 256 + 128) * 4], 255);
    }

    /// Places with a building each, or with none.
    fn sampler(unposed: bool, boxes: usize) -> Sampler {
        let speckled = |seed: usize| {
            let rgb = (0..256 * 256 * 3).map(|at| ((at / 96 * 7 + seed * 31) * 37 % 251) as u8).collect();
            Raster::from_rgb(256, 256, rgb).unwrap()
        };
        let ground = |seed: usize| Ground {
            name: format!("place-{seed}"),
            group: "town".into(),
            source: Source::Naip,
            gsd_m: 0.6,
            layers: vec![speckled(seed), speckled(seed + 100)],
            boxes: vec![GroundBox { xyxy: [100.0, 90.0, 150.0, 140.0], class: "building".into() }; boxes],
            frames: Vec::new(),
        };
        Sampler::new(Arc::new((0..17).map(ground).collect()), recipe(Source::Naip, unposed), 1).unwrap()
    }

    #[test]
    fn a_set_says_which_of_its_queries_are_not_laid_out_like_the_map() {
        for unposed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            write_drawn(&sampler(unposed, 1), 2, folder.path()).unwrap();
            let set = PairSet::open(folder.path()).unwrap();
            assert!(set.pairs.iter().all(|pair| pair.rectified != unposed), "{unposed}");
            let list = std::fs::read_to_string(folder.path().join(LIST)).unwrap();
            assert_eq!(list.contains("\"rectified\":false"), unposed, "written only where it is not so: {list}");
        }
    }

    #[test]
    fn a_set_without_pairs_is_refused_before_anything_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("pairs");
        let error = write_drawn(&sampler(false, 0), 2, &out).unwrap_err().to_string();
        assert!(error.contains("no boxes") && error.contains("pseudo_boxes.json"), "{error}");
        assert!(!out.exists());
        let error = write_drawn(&sampler(false, 1), 0, &out).unwrap_err().to_string();
        assert!(error.contains("no pair"), "{error}");
        assert!(PairSet::open(&out).is_err(), "it is not finished");
    }

    #[test]
    fn a_set_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        PairWriter::create(folder.path()).unwrap();
        // What broke off is begun anew.
        PairWriter::create(folder.path()).unwrap().finish().unwrap();
        std::fs::write(folder.path().join(LIST), "pairs").unwrap();
        let error = PairWriter::create(folder.path()).err().unwrap().to_string();
        assert!(error.contains("pairs.jsonl exists already"), "{error}");
        assert_eq!(std::fs::read_to_string(folder.path().join(LIST)).unwrap(), "pairs");
    }

    #[test]
    fn a_line_that_is_no_pair_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LIST), "\n{\"query\": 3}\n").unwrap();
        let error = PairSet::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
