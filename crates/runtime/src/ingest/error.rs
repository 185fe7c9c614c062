//! What can be wrong with a source before it runs. What happens to a running one is a [`super::SourceState`].

use std::path::PathBuf;

/// Says why no ingest can be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// GStreamer itself does not start.
    #[error("gstreamer cannot start: {0}")]
    Gstreamer(String),
    /// A GStreamer element is not installed.
    #[error("gstreamer element {element} is missing: install the Debian package {package}")]
    MissingElement {
        /// The element.
        element: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The decoder of the configuration cannot be made.
    #[error("ingest.decoder is {decoder}: {problem}")]
    Decoder {
        /// The decoder, as configured.
        decoder: String,
        /// What is wrong with it, and the way out.
        problem: String,
    },
    /// A key of the configuration has a value that cannot work.
    #[error("ingest.{key} is {value}: {remedy}")]
    BadValue {
        /// The key, without `ingest.`.
        key: &'static str,
        /// The value found.
        value: String,
        /// What to write instead.
        remedy: &'static str,
    },
    /// A path cannot be handed to GStreamer.
    #[error("path {0} is not valid UTF-8: rename the file")]
    BadPath(PathBuf),
    /// A pipeline cannot be put together.
    #[error("video pipeline cannot be built: {0}")]
    Pipeline(String),
    /// A server cannot listen on its port.
    #[error("rtsp server cannot listen on {address}:{port}: is the port in use? choose another ({reason})")]
    Port {
        /// The address.
        address: String,
        /// The port.
        port: u16,
        /// What the system says.
        reason: String,
    },
}
