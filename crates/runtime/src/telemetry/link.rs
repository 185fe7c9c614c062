//! One MAVLink link: a UDP port or a serial line, read by one thread and written by several.
//!
//! A UDP port answers everyone it heard from lately, so that an autopilot, a simulator and a ground station may share it. What
//! is at the other end may come late: a serial line that is plugged in after the start, a name that is known once the network
//! is up. Bytes that are no MAVLink, a signature that is wrong, a system that is not ours: each is counted and dropped.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use mavlink::dialects::ardupilotmega::MavMessage;
use mavlink::error::MessageReadError;
use mavlink::{
    MAVLinkMessageRaw, MAVLinkV2MessageRaw, MavConnection, MavHeader, MavlinkReader, Message, SerialConfig,
    SigningConfig, SigningData,
};
use serde::Deserialize;
use smgeo_flow::{SharedClock, Stamp};

use super::serial_line::SerialLine;
use super::udp_port::{Place, UdpPort};
use super::{LinkAddress, TelemetryError};

/// How long a read waits, so that a stage can end.
const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// The largest UDP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// Says how messages are signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// A file whose first line is the secret key: 64 hexadecimal digits.
    pub key_file: PathBuf,
    /// Our link's number in signatures.
    #[serde(default)]
    pub link_id: u8,
    /// Whether unsigned messages are taken as well.
    #[serde(default)]
    pub allow_unsigned: bool,
}

/// Counts what was dropped on a link.
#[derive(Debug, Default)]
pub struct LinkCounts {
    /// Messages received and understood.
    pub received: AtomicU64,
    /// Datagrams without one MAVLink message.
    pub not_mavlink: AtomicU64,
    /// Messages with a wrong, old or missing signature.
    pub unsigned: AtomicU64,
    /// Messages that the dialect does not know.
    pub unknown: AtomicU64,
    /// Datagrams from addresses that are not allowed.
    pub stranger: AtomicU64,
    /// Reads that failed.
    pub read_errors: AtomicU64,
    /// Messages sent.
    pub sent: AtomicU64,
    /// Messages that could not be sent.
    pub send_errors: AtomicU64,
}

/// Is a message and where it came from.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who sent it.
    pub header: MavHeader,
    /// What was sent.
    pub message: MavMessage,
    /// When it arrived.
    pub arrived: Stamp,
    /// The sender's address, for an answer to it alone; `None` on a serial line.
    pub from: Option<SocketAddr>,
}

/// Is one link.
pub struct Link {
    address: String,
    port: Port,
    signing: Option<SigningData>,
    sequence: AtomicU8,
    clock: SharedClock,
    counts: Arc<LinkCounts>,
}

enum Port {
    Udp(UdpPort),
    Serial(SerialLine),
}

impl Link {
    /// Opens `udpin:HOST:PORT` (listens), `udpout:HOST:PORT` (sends first) or `serial:DEVICE:BAUD`. Of a UDP link `only`
    /// may name the one address that is listened to.
    pub fn open(
        address: &str,
        only: Option<IpAddr>,
        signing: Option<&Signing>,
        clock: SharedClock,
    ) -> Result<Arc<Self>, TelemetryError> {
        let link = Self::prepare(address, only, signing, clock)?;
        link.connect()?;
        Ok(link)
    }

    /// Does the same, except that the other end may come later: [`connect`](Self::connect) opens a serial line and a port that
    /// sends first. A wrong address or key is an error here, and so is a port to listen on that cannot be had.
    pub fn prepare(
        address: &str,
        only: Option<IpAddr>,
        signing: Option<&Signing>,
        clock: SharedClock,
    ) -> Result<Arc<Self>, TelemetryError> {
        let signing = signing.map(read_signing).transpose()?;
        let udp = |place| Port::Udp(UdpPort::new(place, only, READ_TIMEOUT));
        let read = LinkAddress::read(address)?;
        let port = match read {
            LinkAddress::UdpIn(place) => udp(Place::Listen(place.to_owned())),
            LinkAddress::UdpOut(place) => udp(Place::Send(place.to_owned())),
            LinkAddress::Serial { device, baud } => {
                let config = SerialConfig::new(device.to_owned(), baud).timeout(READ_TIMEOUT);
                Port::Serial(SerialLine::new(config, signing.clone()))
            }
        };
        let signing = signing.map(SigningData::from_config);
        let sequence = AtomicU8::new(0);
        let counts = Arc::default();
        let link = Arc::new(Self { address: address.to_owned(), port, signing, sequence, clock, counts });
        if matches!(read, LinkAddress::UdpIn(_)) {
            link.connect()?;
        }
        Ok(link)
    }

    /// Opens what is not open yet.
    pub fn connect(&self) -> Result<(), TelemetryError> {
        let connected = match &self.port {
            Port::Udp(port) => port.connected().map(|_| ()),
            Port::Serial(line) => line.connected().map(|_| ()),
        };
        connected.map_err(|source| TelemetryError::Open { address: self.address.clone(), source })
    }

    /// The address it was opened with.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The counts so far.
    pub fn counts(&self) -> &Arc<LinkCounts> {
        &self.counts
    }

    /// The UDP address that is listened on; `None` for a serial line, and before the port is open.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.port {
            Port::Udp(port) => port.local_address(),
            Port::Serial(_) => None,
        }
    }

    /// Makes the reading end. One thread reads.
    pub fn reader(self: &Arc<Self>) -> LinkReader {
        LinkReader { link: self.clone(), datagram: vec![0; DATAGRAM_BYTES_MAX] }
    }

    /// Sends a message as `system_id` and `component_id`: to `to` alone, or else to everyone on the link. A peer that cannot be
    /// reached is counted and hinders nobody.
    pub fn send(&self, system_id: u8, component_id: u8, message: &MavMessage, to: Option<SocketAddr>) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let header = MavHeader { system_id: u32::from(system_id), component_id, sequence };
        let mut raw = MAVLinkV2MessageRaw::new();
        match &self.signing {
            Some(signing) => {
                raw.serialize_message_for_signing(header, message);
                signing.sign_message(&mut raw);
            }
            None => raw.serialize_message(header, message),
        }
        match &self.port {
            Port::Udp(port) => {
                let sent = port.send(raw.raw_bytes(), to, self.clock.now());
                sent.into_iter().for_each(|sent| self.count_sent(sent));
            }
            Port::Serial(line) => self.count_sent(line.send(&MAVLinkMessageRaw::V2(raw))),
        }
    }

    fn count_sent(&self, sent: bool) {
        let count = if sent { &self.counts.sent } else { &self.counts.send_errors };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Checks the signature and parses; counts what it refuses.
    fn understood(&self, raw: &MAVLinkMessageRaw) -> Option<(MavHeader, MavMessage)> {
        let signed = match (&self.signing, raw) {
            (None, _) => true,
            (Some(signing), MAVLinkMessageRaw::V2(raw)) => signing.verify_signature(raw),
            (Some(_), MAVLinkMessageRaw::V1(_)) => false,
        };
        if !signed {
            self.counts.unsigned.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let header =
            MavHeader { system_id: raw.system_id(), component_id: raw.component_id(), sequence: raw.sequence() };
        match MavMessage::parse(raw.version(), raw.message_id(), raw.payload()) {
            Ok(message) => {
                self.counts.received.fetch_add(1, Ordering::Relaxed);
                Some((header, message))
            }
            Err(_) => {
                self.counts.unknown.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

/// Is the reading end of a link.
pub struct LinkReader {
    link: Arc<Link>,
    datagram: Vec<u8>,
}

impl LinkReader {
    /// The link it reads.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Waits a short while for messages and puts them into `into`.
    pub fn read(&mut self, into: &mut Vec<Received>) -> io::Result<()> {
        let link = self.link.clone();
        let result = match &link.port {
            Port::Udp(port) => self.read_datagram(port, into),
            Port::Serial(line) => self.read_serial(line, into),
        };
        if result.is_err() {
            link.counts.read_errors.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    fn read_datagram(&mut self, port: &UdpPort, into: &mut Vec<Received>) -> io::Result<()> {
        let (length, from) = match port.connected()?.socket.recv_from(&mut self.datagram) {
            Ok(received) => received,
            // A peer that is gone shows as a refused connection on a later read.
            Err(error) if is_nothing(error.kind()) || error.kind() == ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) => return Err(error),
        };
        if port.is_stranger(from) {
            self.link.counts.stranger.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let arrived = self.link.clock.now();
        let mut reader = MavlinkReader::with_capacity(length, &self.datagram[..length]);
        let (mut messages, before) = (0, into.len());
        while let Ok(raw) = reader.read_any_raw_message::<MavMessage>() {
            messages += 1;
            let Some((header, message)) = self.link.understood(&raw) else { continue };
            into.push(Received { header, message, arrived, from: Some(from) });
        }
        if messages == 0 {
            self.link.counts.not_mavlink.fetch_add(1, Ordering::Relaxed);
        }
        // Only who speaks MAVLink to us, and signs it where asked to, is answered.
        if into.len() > before {
            port.remember(from, arrived);
        }
        Ok(())
    }

    fn read_serial(&self, line: &SerialLine, into: &mut Vec<Received>) -> io::Result<()> {
        // The crate checks signatures of a serial line itself. Its `recv` would wait for ever on a silent one.
        match line.connected()?.try_recv() {
            Ok((header, message)) => {
                self.link.counts.received.fetch_add(1, Ordering::Relaxed);
                into.push(Received { header, message, arrived: self.link.clock.now(), from: None });
                Ok(())
            }
            Err(MessageReadError::Io(error)) if is_nothing(error.kind()) => Ok(()),
            Err(MessageReadError::Io(error)) => {
                line.forget();
                Err(error)
            }
            Err(MessageReadError::Parse(_)) => {
                self.link.counts.unknown.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

fn is_nothing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn read_signing(signing: &Signing) -> Result<SigningConfig, TelemetryError> {
    let key = read_key(&signing.key_file)?;
    Ok(SigningConfig::new(key, signing.link_id, true, signing.allow_unsigned))
}

fn read_key(file: &Path) -> Result<[u8; 32], TelemetryError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|source| TelemetryError::File { file: name.clone(), source })?;
    let mut key = [0; 32];
    let first = text.lines().next().unwrap_or_default().trim();
    hex::decode_to_slice(first, &mut key).map_err(|_| TelemetryError::Key { file: name })?;
    Ok(key)
}
