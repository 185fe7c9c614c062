//! What can be wrong with a telemetry source.

use std::io;

/// Says what is wrong with a source of telemetry, and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The address is none.
    #[error("'{address}' is no telemetry address: write udpin:HOST:PORT, udpout:HOST:PORT or serial:DEVICE:BAUD")]
    Address {
        /// What was given.
        address: String,
    },
    /// The port or device cannot be opened.
    #[error("{address} cannot be opened: is it in use, or not there?")]
    Open {
        /// The address.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The open port or device cannot be read.
    #[error("{address} cannot be read: was it unplugged?")]
    Read {
        /// The address.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key for signed messages cannot be read.
    #[error("the MAVLink key in {file} is not 64 hexadecimal digits")]
    Key {
        /// The file.
        file: String,
    },
    /// A file cannot be read or written.
    #[error("{file} cannot be read or written")]
    File {
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line of a log is no sample.
    #[error("line {line} of {file} is no telemetry: {reason}")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}
