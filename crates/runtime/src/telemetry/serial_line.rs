//! The serial side of a link: a line that may be plugged in late, and unplugged.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use mavlink::dialects::ardupilotmega::MavMessage;
use mavlink::{Connectable, Connection, MAVLinkMessageRaw, MavConnection, MavlinkVersion, SerialConfig, SigningConfig};

/// Is a serial line, opened when it is there and again when it was unplugged.
pub(super) struct SerialLine {
    config: SerialConfig,
    signing: Option<SigningConfig>,
    // The crate's serial port reads and writes at once behind two locks; none while it is unplugged.
    line: Mutex<Option<Arc<Connection<MavMessage>>>>,
}

impl SerialLine {
    /// Describes a line and opens nothing.
    pub(super) fn new(config: SerialConfig, signing: Option<SigningConfig>) -> Self {
        Self { config, signing, line: Mutex::default() }
    }

    /// Returns the line, opened if it is not.
    pub(super) fn connected(&self) -> io::Result<Arc<Connection<MavMessage>>> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = &*line {
            return Ok(line.clone());
        }
        let mut fresh = self.config.connect::<MavMessage>()?;
        fresh.set_protocol_version(MavlinkVersion::V2);
        fresh.set_allow_recv_any_version(true);
        fresh.setup_signing(self.signing.clone());
        Ok(line.insert(Arc::new(fresh)).clone())
    }

    /// Lets go of a line that fails.
    pub(super) fn forget(&self) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Sends, if the line is there.
    pub(super) fn send(&self, raw: &MAVLinkMessageRaw) -> bool {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner).clone();
        line.is_some_and(|line| line.send_raw(raw).is_ok())
    }
}
