//! A flight on film: pictures encoded once, played many times.
//!
//! Rendering a made town costs more than a live stream allows beside everything else, so the simulator films its flight
//! before it takes off. A film is one H.264 elementary stream and an index of its access units, in one folder.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use serde::{Deserialize, Serialize};

use crate::ingest::{IngestError, packages};

/// The stream's file in a film's folder.
const STREAM: &str = "film.h264";
/// The index's file in a film's folder. It is written last: a film without one is not finished.
const INDEX: &str = "film.json";

/// Says how a film is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilmPlan {
    /// Columns, even.
    pub width_px: u32,
    /// Rows, even.
    pub height_px: u32,
    /// Pictures a second.
    pub fps: u32,
    /// Bit rate, kb/s.
    pub bitrate_kbps: u32,
}

/// Is one access unit of a film.
#[derive(Clone, Debug)]
pub struct FilmUnit {
    /// H.264, Annex B.
    pub bytes: Bytes,
    /// Whether decoding can begin here.
    pub key: bool,
}

#[derive(Serialize, Deserialize)]
struct Index {
    plan: FilmPlan,
    // Length and key flag of each access unit, in order.
    units: Vec<(u32, bool)>,
}

/// Says what is wrong with a film.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilmError {
    /// A file cannot be read or written.
    #[error("the film {} cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The index does not fit the stream.
    #[error("the film {} is damaged; delete it and it is made anew", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
    },
    /// The encoder failed.
    #[error(transparent)]
    Encoder(#[from] IngestError),
}

/// Encodes pictures into a film.
pub struct FilmWriter {
    folder: PathBuf,
    plan: FilmPlan,
    pipeline: gst::Pipeline,
    pictures: gst_app::AppSrc,
    encoded: gst_app::AppSink,
    stream: BufWriter<File>,
    units: Vec<(u32, bool)>,
    pushed: u64,
}

impl FilmWriter {
    /// Begins a film in `folder`, which exists.
    pub fn create(folder: &Path, plan: FilmPlan) -> Result<Self, FilmError> {
        packages::require(&["appsrc", "videoconvert", "x264enc", "h264parse", "appsink"])?;
        let FilmPlan { width_px, height_px, fps, bitrate_kbps } = plan;
        let launch = format!(
            "appsrc name=pictures format=time block=true max-bytes=0 max-buffers=8 \
             caps=video/x-raw,format=RGB,width={width_px},height={height_px},framerate={fps}/1 \
             ! videoconvert ! video/x-raw,format=I420 \
             ! x264enc speed-preset=superfast bframes=0 rc-lookahead=0 sync-lookahead=0 sliced-threads=false \
               key-int-max={fps} bitrate={bitrate_kbps} \
             ! video/x-h264,profile=main ! h264parse config-interval=-1 \
             ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=encoded sync=false max-buffers=0"
        );
        let failed = |what: String| FilmError::Encoder(IngestError::Pipeline(what));
        let pipeline = gst::parse::launch(&launch).map_err(|error| failed(error.to_string()))?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| failed("not a pipeline".to_owned()))?;
        let pictures = pipeline.by_name("pictures").and_then(|element| element.downcast::<gst_app::AppSrc>().ok());
        let encoded = pipeline.by_name("encoded").and_then(|element| element.downcast::<gst_app::AppSink>().ok());
        let (Some(pictures), Some(encoded)) = (pictures, encoded) else {
            return Err(failed("the encoder has no ends".to_owned()));
        };
        pipeline.set_state(gst::State::Playing).map_err(|error| failed(error.to_string()))?;
        let path = folder.join(STREAM);
        let stream = File::create(&path).map_err(|source| FilmError::File { path, source })?;
        let (folder, stream) = (folder.to_owned(), BufWriter::new(stream));
        Ok(Self { folder, plan, pipeline, pictures, encoded, stream, units: Vec::new(), pushed: 0 })
    }

    /// Adds a picture: `height_px` rows of `width_px` RGB pixels.
    pub fn push(&mut self, rgb: Vec<u8>) -> Result<(), FilmError> {
        let frame = gst::ClockTime::SECOND / u64::from(self.plan.fps.max(1));
        let mut buffer = gst::Buffer::from_slice(rgb);
        if let Some(plain) = buffer.get_mut() {
            plain.set_pts(frame * self.pushed);
            plain.set_duration(frame);
        }
        self.pushed += 1;
        let pushed = self.pictures.push_buffer(buffer);
        pushed.map_err(|error| FilmError::Encoder(IngestError::Pipeline(error.to_string())))?;
        while let Some(sample) = self.encoded.try_pull_sample(gst::ClockTime::ZERO) {
            self.keep(&sample)?;
        }
        Ok(())
    }

    /// Ends the film; it can be opened afterwards.
    pub fn finish(mut self) -> Result<(), FilmError> {
        let ended = self.pictures.end_of_stream();
        ended.map_err(|error| FilmError::Encoder(IngestError::Pipeline(error.to_string())))?;
        while let Ok(sample) = self.encoded.pull_sample() {
            self.keep(&sample)?;
        }
        let path = self.folder.join(STREAM);
        self.stream.flush().map_err(|source| FilmError::File { path, source })?;
        let path = self.folder.join(INDEX);
        let index = Index { plan: self.plan.clone(), units: std::mem::take(&mut self.units) };
        let written = File::create(&path).and_then(|file| Ok(serde_json::to_writer(file, &index)?));
        written.map_err(|source| FilmError::File { path, source })
    }

    fn keep(&mut self, sample: &gst::Sample) -> Result<(), FilmError> {
        let Some(buffer) = sample.buffer() else { return Ok(()) };
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let bytes = buffer.map_readable().map_err(|error| IngestError::Pipeline(error.to_string()))?;
        let path = || self.folder.join(STREAM);
        self.stream.write_all(&bytes).map_err(|source| FilmError::File { path: path(), source })?;
        self.units.push((u32::try_from(bytes.len()).unwrap_or(u32::MAX), key));
        Ok(())
    }
}

impl Drop for FilmWriter {
    fn drop(&mut self) {
        // Going to Null cannot fail in a way that anyone could mend.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Is a finished film, in memory.
pub struct Film {
    /// How it was made.
    pub plan: FilmPlan,
    /// Its access units, one a picture.
    pub units: Vec<FilmUnit>,
}

impl Film {
    /// Opens a film; `None` if there is none, or none that was finished to this plan.
    pub fn open(folder: &Path, plan: &FilmPlan) -> Result<Option<Self>, FilmError> {
        let path = folder.join(INDEX);
        let Ok(text) = std::fs::read(&path) else { return Ok(None) };
        let damaged = || FilmError::Damaged { path: folder.to_owned() };
        let index: Index = serde_json::from_slice(&text).map_err(|_| damaged())?;
        if index.plan != *plan {
            return Ok(None);
        }
        let path = folder.join(STREAM);
        let stream = std::fs::read(&path).map_err(|source| FilmError::File { path, source })?;
        let mut rest = Bytes::from(stream);
        let mut units = Vec::with_capacity(index.units.len());
        for (length, key) in index.units {
            if rest.len() < length as usize {
                return Err(damaged());
            }
            units.push(FilmUnit { bytes: rest.split_to(length as usize), key });
        }
        if units.first().is_none_or(|unit| !unit.key) {
            return Err(damaged());
        }
        Ok(Some(Self { plan: index.plan, units }))
    }
}
