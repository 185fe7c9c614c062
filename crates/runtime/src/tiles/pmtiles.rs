//! Tiles in a PMTiles archive: one file, laid out along a Hilbert curve.
//!
//! The archive is read with plain positioned reads. A memory map would be faster and would end the process with SIGBUS
//! when the file is cut short or its disk goes away.

use std::fs::File;
use std::future::Future;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use pmtiles::{
    AsyncBackend, AsyncPmTilesReader, BackendResponse, Compression, PmtError, PmtResult, TileCoord, TileType,
};
use sha2::{Digest, Sha256};
use smgeo_geo::{TileBounds, TileId};

use super::mbtiles::identity;
use super::{EncodedTile, TileError, TileSource, TilesInfo};

/// The longest run that is read at once: directories and tiles are far smaller, a damaged length is not.
const READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads tiles from a PMTiles archive.
pub struct PmTiles {
    reader: AsyncPmTilesReader<Archive>,
    info: TilesInfo,
}

impl PmTiles {
    /// Opens an archive and checks that it holds pictures.
    pub fn open(file: &Path, date: Option<Arc<str>>) -> Result<Self, TileError> {
        let name: Arc<str> = file.display().to_string().into();
        let identity = identity(file).map_err(|error| TileError::io(&name, &error))?;
        let archive = Archive { file: File::open(file).map_err(|error| TileError::io(&name, &error))? };
        let reader = completed(AsyncPmTilesReader::try_from_source(archive)).map_err(|error| TileError::NotAStore {
            store: name.clone(),
            reason: format!("it cannot be read as PMTiles ({error}); give a PMTiles file of version 3"),
        })?;
        let header = reader.get_header();
        if !matches!(header.tile_type, TileType::Png | TileType::Jpeg | TileType::Webp) {
            let reason = format!("its tiles are {:?}; PNG, JPEG and WebP are read", header.tile_type);
            return Err(TileError::NotAStore { store: name, reason });
        }
        if !matches!(header.tile_compression, Compression::None | Compression::Unknown) {
            let reason = format!("its tiles are compressed ({:?}); pictures are not", header.tile_compression);
            return Err(TileError::NotAStore { store: name, reason });
        }
        let bounds = TileBounds {
            west_deg: header.min_longitude,
            south_deg: header.min_latitude,
            east_deg: header.max_longitude,
            north_deg: header.max_latitude,
        };
        let info = TilesInfo {
            name,
            imagery: hex::encode(Sha256::digest(identity)).into(),
            date,
            attribution: None,
            bounds: Some(bounds),
            zoom_min: header.min_zoom,
            zoom_max: header.max_zoom,
        };
        Ok(Self { reader, info })
    }
}

impl TileSource for PmTiles {
    fn info(&self) -> &TilesInfo {
        &self.info
    }

    fn encoded(&self, tile: TileId) -> Result<EncodedTile, TileError> {
        let store = &self.info.name;
        let failed = |error: PmtError| TileError::Io { store: store.clone(), reason: error.to_string() };
        // A tile off the pyramid cannot be in the archive.
        let Ok(place) = TileCoord::new(tile.z, tile.x, tile.y) else {
            return Err(TileError::Missing { tile, store: store.clone() });
        };
        match completed(self.reader.get_tile(place)).map_err(failed)? {
            Some(bytes) => EncodedTile::new(bytes, tile, store),
            None => Err(TileError::Missing { tile, store: store.clone() }),
        }
    }
}

struct Archive {
    file: File,
}

impl AsyncBackend for Archive {
    async fn read(&self, offset: u64, length: usize) -> PmtResult<BackendResponse> {
        if length > READ_BYTES_MAX {
            return Err(PmtError::InvalidEntry);
        }
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(PmtError::from(error)),
            }
        }
        bytes.truncate(filled);
        Ok(BackendResponse::new(Bytes::from(bytes)))
    }
}

/// Runs a future that waits for nothing: reads of [`Archive`] are done when they return.
fn completed<T>(future: impl Future<Output = PmtResult<T>>) -> PmtResult<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(PmtError::from(std::io::Error::other("a read of the archive did not complete"))),
    }
}
