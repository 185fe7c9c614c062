//! Tiles in a folder: `z/x/y.png`, `.jpg`, `.jpeg` or `.webp`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use smgeo_geo::{TileBounds, TileId};

use super::{EncodedTile, TILE_BYTES_MAX, TileError, TileSource, TilesInfo};

const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Reads tiles from a folder.
pub struct FolderTiles {
    folder: PathBuf,
    info: TilesInfo,
}

impl FolderTiles {
    /// Opens a folder that has at least one numbered folder of a zoom.
    pub fn open(folder: &Path, date: Option<Arc<str>>) -> Result<Self, TileError> {
        let name: Arc<str> = folder.display().to_string().into();
        let zooms = numbers(folder).map_err(|error| TileError::io(&name, &error))?;
        let zooms: Vec<u8> = zooms.filter_map(|zoom| u8::try_from(zoom).ok()).filter(|zoom| *zoom <= 30).collect();
        let (Some(zoom_min), Some(zoom_max)) = (zooms.iter().min().copied(), zooms.iter().max().copied()) else {
            let reason =
                "it has no folder named by a zoom; files are looked for as z/x/y.png, .jpg or .webp".to_owned();
            return Err(TileError::NotAStore { store: name, reason });
        };
        let imagery = hex::encode(Sha256::digest(format!("folder {name} {zooms:?} {date:?}"))).into();
        let bounds = held_bounds(folder, zoom_max);
        let info = TilesInfo { name, imagery, date, attribution: None, bounds, zoom_min, zoom_max };
        Ok(Self { folder: folder.to_owned(), info })
    }
}

impl TileSource for FolderTiles {
    fn info(&self) -> &TilesInfo {
        &self.info
    }

    fn encoded(&self, tile: TileId) -> Result<EncodedTile, TileError> {
        // The path is made of three integers, so that no request can leave the folder.
        let stem = self.folder.join(tile.z.to_string()).join(tile.x.to_string());
        for extension in EXTENSIONS {
            let file = stem.join(format!("{}.{extension}", tile.y));
            match fs::metadata(&file) {
                Ok(metadata) if metadata.len() > TILE_BYTES_MAX as u64 => {
                    let store = self.info.name.clone();
                    return Err(TileError::TooLarge { tile, store, bytes_max: TILE_BYTES_MAX });
                }
                Ok(_) => {
                    let bytes = fs::read(&file).map_err(|error| TileError::io(&self.info.name, &error))?;
                    return EncodedTile::new(Bytes::from(bytes), tile, &self.info.name);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(TileError::io(&self.info.name, &error)),
            }
        }
        Err(TileError::Missing { tile, store: self.info.name.clone() })
    }
}

/// Returns the numbers that the entries of a folder are named by, whatever they end in.
fn numbers(folder: &Path) -> io::Result<impl Iterator<Item = u32> + use<>> {
    let number =
        |entry: io::Result<fs::DirEntry>| Path::new(&entry.ok()?.file_name()).file_stem()?.to_str()?.parse().ok();
    Ok(fs::read_dir(folder)?.filter_map(number))
}

/// Returns the bounds of the tiles of a zoom: nothing else says what a folder covers.
fn held_bounds(folder: &Path, z: u8) -> Option<TileBounds> {
    let columns = folder.join(z.to_string());
    let rows = |x: u32| numbers(&columns.join(x.to_string())).into_iter().flatten();
    let extent = |x: u32| Some((rows(x).min()?, rows(x).max()?));
    numbers(&columns)
        .ok()?
        .filter_map(|x| extent(x).map(|(north, south)| (x, north, south)))
        .map(|(x, north, south)| TileId { z, x, y: north }.bounds().with(TileId { z, x, y: south }.bounds()))
        .reduce(TileBounds::with)
}
