//! Tile features on disk, so that an area encoded before a flight is there after a restart. One SQLite file, one row a
//! tile. Every row carries a digest of its key and numbers: a row that does not match is dropped and encoded again, never read.
//! A file that SQLite finds damaged is put aside and a new one begun: what was in it can be encoded again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use half::f16;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use crate::cache::{EncoderHash, FeatureKey};
use crate::error::EngineError;
use crate::features::Features;

/// Features by key in one file, the oldest given up first when a budget is reached. Shared by all threads.
pub struct DiskCache {
    path: PathBuf,
    bytes_max: u64,
    numbers: Numbers,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    bytes: u64,
}

/// How numbers are written.
#[derive(Clone, Copy)]
enum Numbers {
    F32,
    F16,
}

// "SMgf" marks the file as ours, so that nobody's MBTiles file is taken for a cache and thinned out.
const APPLICATION_ID: i32 = 0x534D_6766;
const SCHEMA_VERSION: i32 = 2;

/// What a damaged cache is called once it was put aside: its own name and this.
pub const DAMAGED_SUFFIX: &str = ".damaged";

// A write-ahead log that may lose its last rows in a power cut, but is synchronised before it is carried into the database: with
// OFF instead of NORMAL the database itself could be torn.
const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;";
// Another process that encodes into the same file holds it for milliseconds at a time; a flight does not wait longer for its own.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);
const SCHEMA: &str = "CREATE TABLE features (
    id INTEGER PRIMARY KEY,
    encoder BLOB NOT NULL, imagery BLOB NOT NULL, tile INTEGER NOT NULL,
    cells INTEGER NOT NULL, channels INTEGER NOT NULL, digest BLOB NOT NULL, numbers BLOB NOT NULL,
    UNIQUE (encoder, imagery, tile)) STRICT;";

impl DiskCache {
    /// Opens the cache as [`open`](Self::open) does. A file that SQLite finds damaged is renamed, with [`DAMAGED_SUFFIX`] after its
    /// name and over an earlier one of that name, and a new cache begun in its place.
    pub fn open_or_renew(path: &Path, bytes_max: u64) -> Result<DiskCache, EngineError> {
        match DiskCache::open(path, bytes_max) {
            Err(EngineError::CacheDamaged { path, source }) => {
                let aside = put_aside(&path)?;
                tracing::warn!(
                    path = %path.display(),
                    kept = %aside.display(),
                    reason = %source,
                    "the feature cache is damaged, it was put aside and a new one is begun"
                );
                DiskCache::open(&path, bytes_max)
            }
            other => other,
        }
    }

    /// Opens the cache in the file at `path`, or makes it, to hold at most about `bytes_max` bytes. A file of another application's
    /// and one that is damaged are refused and left as they are.
    pub fn open(path: &Path, bytes_max: u64) -> Result<DiskCache, EngineError> {
        let connection = connect(path).map_err(|source| failed(path, "open", source))?;
        let bytes = connection
            .query_row("SELECT coalesce(sum(length(numbers)), 0) FROM features", [], |row| row.get::<_, i64>(0))
            .map_err(|source| failed(path, "read", source))?;
        let state = Mutex::new(State { connection, bytes: bytes as u64 });
        Ok(DiskCache { path: path.into(), bytes_max, numbers: Numbers::F32, state })
    }

    /// The same cache with numbers of 16 bits, rounded by one part in 2,000 at most: twice the tiles in the same file. What was
    /// written in 32 bits is not found any more, nor the other way around.
    pub fn in_f16(self) -> DiskCache {
        DiskCache { numbers: Numbers::F16, ..self }
    }

    /// The features under `key`. A damaged row is deleted and counts as not there.
    pub fn get(&self, key: &FeatureKey) -> Result<Option<Features>, EngineError> {
        let key = &self.numbers.key(key);
        let mut state = self.lock();
        let found = state.row(key).map_err(|source| failed(&self.path, "read", source))?;
        let Some(row) = found else { return Ok(None) };
        if row.digest == digest(key, row.cells, row.channels, &row.numbers)
            && let Some(features) = row.features(self.numbers)
        {
            return Ok(Some(features));
        }
        state.remove(row.id, row.numbers.len()).map_err(|source| failed(&self.path, "clean", source))?;
        tracing::warn!(path = %self.path.display(), tile = key.tile, "damaged features dropped");
        Ok(None)
    }

    /// Whether there is a row under `key`; it may still turn out damaged.
    pub fn contains(&self, key: &FeatureKey) -> Result<bool, EngineError> {
        let key = &self.numbers.key(key);
        let state = self.lock();
        let mut asked = state
            .connection
            .prepare_cached("SELECT 1 FROM features WHERE encoder = ?1 AND imagery = ?2 AND tile = ?3")
            .map_err(|source| failed(&self.path, "read", source))?;
        asked
            .exists(params![key.encoder.0, key.imagery.0, key.tile as i64])
            .map_err(|source| failed(&self.path, "read", source))
    }

    /// Whether there are rows, and none of this encoder: what encoded them was another.
    pub fn is_of_others(&self, encoder: EncoderHash) -> Result<bool, EngineError> {
        let encoder = self.numbers.encoder(encoder);
        let sql = "SELECT EXISTS (SELECT 1 FROM features) AND NOT EXISTS (SELECT 1 FROM features WHERE encoder = ?1)";
        let asked = self.lock().connection.query_row(sql, [encoder.0], |row| row.get(0));
        asked.map_err(|source| failed(&self.path, "read", source))
    }

    /// Keeps features, and gives up the oldest ones where the budget asks for it. Features that 16 bits cannot hold, above 65,504,
    /// are not kept in them.
    pub fn put(&self, key: &FeatureKey, features: &Features) -> Result<(), EngineError> {
        let Some(numbers) = self.numbers.bytes(features) else { return Ok(()) };
        let key = &self.numbers.key(key);
        let mut state = self.lock();
        state.insert(key, features, numbers).map_err(|source| failed(&self.path, "write", source))?;
        while state.bytes > self.bytes_max {
            let thinned = state.remove_oldest().map_err(|source| failed(&self.path, "thin out", source))?;
            if !thinned {
                break;
            }
        }
        Ok(())
    }

    /// Features as they come back once they were kept: rounded where numbers of 16 bits are. What these cannot hold stays as it is.
    pub fn as_kept(&self, features: Features) -> Features {
        let rounded = match self.numbers {
            Numbers::F32 => None,
            Numbers::F16 => self.numbers.bytes(&features).and_then(|bytes| self.numbers.values(&bytes)),
        };
        let rounded = rounded.and_then(|values| Features::new(values, features.cells(), features.channels()).ok());
        rounded.unwrap_or(features)
    }

    /// Bytes of features held now.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    // A panic elsewhere leaves a connection that is whole: each statement is its own transaction.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for DiskCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskCache({}, {} of {} bytes)", self.path.display(), self.bytes(), self.bytes_max)
    }
}

impl Numbers {
    /// What features are found under: what is rounded is not what the encoder gave.
    fn key(self, key: &FeatureKey) -> FeatureKey {
        FeatureKey { encoder: self.encoder(key.encoder), ..*key }
    }

    fn encoder(self, encoder: EncoderHash) -> EncoderHash {
        match self {
            Numbers::F32 => encoder,
            Numbers::F16 => encoder.rounded("f16"),
        }
    }

    fn bytes(self, features: &Features) -> Option<Vec<u8>> {
        let values = features.values();
        match self {
            Numbers::F32 => Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Numbers::F16 => {
                let fits = values.iter().all(|value| f16::from_f32(*value).is_finite());
                fits.then(|| values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect())
            }
        }
    }

    fn values(self, bytes: &[u8]) -> Option<Arc<[f32]>> {
        match self {
            Numbers::F32 => {
                let (values, rest) = bytes.as_chunks::<4>();
                rest.is_empty().then(|| values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
            }
            Numbers::F16 => {
                let (values, rest) = bytes.as_chunks::<2>();
                rest.is_empty().then(|| values.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect())
            }
        }
    }
}

struct Row {
    id: i64,
    cells: i64,
    channels: i64,
    digest: Vec<u8>,
    numbers: Vec<u8>,
}

impl Row {
    fn features(&self, numbers: Numbers) -> Option<Features> {
        let size = |edge: i64| usize::try_from(edge).ok();
        Features::new(numbers.values(&self.numbers)?, size(self.cells)?, size(self.channels)?).ok()
    }
}

impl State {
    fn row(&self, key: &FeatureKey) -> rusqlite::Result<Option<Row>> {
        let mut asked = self.connection.prepare_cached(
            "SELECT id, cells, channels, digest, numbers FROM features WHERE encoder = ?1 AND imagery = ?2 AND tile = ?3",
        )?;
        asked
            .query_row(params![key.encoder.0, key.imagery.0, key.tile as i64], |row| {
                let (id, cells, channels) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(Row { id, cells, channels, digest: row.get(3)?, numbers: row.get(4)? })
            })
            .optional()
    }

    /// Bytes of the numbers under a key. They are not read: they may be what cannot be.
    fn size(&self, key: &FeatureKey) -> rusqlite::Result<Option<u64>> {
        self.connection
            .prepare_cached("SELECT length(numbers) FROM features WHERE encoder = ?1 AND imagery = ?2 AND tile = ?3")?
            .query_row(params![key.encoder.0, key.imagery.0, key.tile as i64], |row| Ok(row.get::<_, i64>(0)? as u64))
            .optional()
    }

    /// Replaces what was under the key. Another process may write the same tile into the same file at the same time.
    fn insert(&mut self, key: &FeatureKey, features: &Features, numbers: Vec<u8>) -> rusqlite::Result<()> {
        let old = self.size(key)?.unwrap_or(0);
        let (cells, channels) = (features.cells() as i64, features.channels() as i64);
        let digest = digest(key, cells, channels, &numbers);
        let (encoder, imagery, tile) = (key.encoder.0, key.imagery.0, key.tile as i64);
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO features (encoder, imagery, tile, cells, channels, digest, numbers) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![encoder, imagery, tile, cells, channels, digest, numbers])?;
        self.bytes = self.bytes.saturating_sub(old) + numbers.len() as u64;
        Ok(())
    }

    fn remove(&mut self, id: i64, bytes: usize) -> rusqlite::Result<()> {
        self.connection.prepare_cached("DELETE FROM features WHERE id = ?1")?.execute([id])?;
        self.bytes = self.bytes.saturating_sub(bytes as u64);
        Ok(())
    }

    fn remove_oldest(&mut self) -> rusqlite::Result<bool> {
        let oldest = self
            .connection
            .prepare_cached("SELECT id, length(numbers) FROM features ORDER BY id LIMIT 1")?
            .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
            .optional()?;
        let Some((id, bytes)) = oldest else { return Ok(false) };
        self.remove(id, bytes as usize)?;
        Ok(true)
    }
}

/// What a database holds, judged by its marks.
enum Content {
    Ours,
    // What another version of this program kept can be computed again.
    OursOfAnotherVersion,
    Nothing,
    SomethingElse,
}

fn content(connection: &Connection) -> rusqlite::Result<Content> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (number("application_id")?, number("user_version")?, tables) {
        (APPLICATION_ID, SCHEMA_VERSION, _) => Content::Ours,
        (APPLICATION_ID, ..) => Content::OursOfAnotherVersion,
        (_, _, 0) => Content::Nothing,
        _ => Content::SomethingElse,
    })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    match content(&connection)? {
        Content::Ours => {}
        Content::Nothing | Content::OursOfAnotherVersion => make(&connection)?,
        Content::SomethingElse => return Err(rusqlite::Error::InvalidQuery),
    }
    connection.execute_batch(PRAGMAS)?;
    Ok(connection)
}

/// Makes table and marks together, so that no power cut leaves a table that nobody claims.
fn make(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    match content(&transaction)? {
        // Another process was quicker.
        Content::Ours => return Ok(()),
        Content::Nothing | Content::OursOfAnotherVersion => {}
        Content::SomethingElse => return Err(rusqlite::Error::InvalidQuery),
    }
    transaction.execute_batch(&format!("DROP TABLE IF EXISTS features; {SCHEMA}"))?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// Renames a damaged database and its log: a log that stayed would be played into the new file. Answers with the new name.
fn put_aside(path: &Path) -> Result<PathBuf, EngineError> {
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = with(DAMAGED_SUFFIX);
    let renamed = |from: PathBuf, to: PathBuf| match std::fs::rename(&from, to) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(EngineError::File { path: from, source }),
        _ => Ok(()),
    };
    renamed(with("-wal"), with(&format!("{DAMAGED_SUFFIX}-wal")))?;
    renamed(with("-shm"), with(&format!("{DAMAGED_SUFFIX}-shm")))?;
    renamed(path.into(), aside.clone())?;
    Ok(aside)
}

fn digest(key: &FeatureKey, cells: i64, channels: i64, numbers: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(key.encoder.0);
    hash.update(key.imagery.0);
    for value in [key.tile, cells as u64, channels as u64] {
        hash.update(value.to_le_bytes());
    }
    hash.update(numbers);
    hash.finalize().into()
}

fn failed(path: &Path, action: &'static str, source: rusqlite::Error) -> EngineError {
    let path = path.into();
    match source {
        rusqlite::Error::InvalidQuery => EngineError::NotACache { path },
        source if is_damage(&source) => EngineError::CacheDamaged { path, source: Box::new(source) },
        source => EngineError::Cache { path, action, source: Box::new(source) },
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
