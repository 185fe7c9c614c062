//! The UDP side of a link: a socket, whom it tells first, and whom it answers.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use smgeo_flow::Stamp;

/// Peers of one UDP port; a ninth takes the place of the one silent longest.
const PEERS_MAX: usize = 8;
/// A peer that was silent for so long is not written to any more.
const PEER_SILENCE_MAX: Duration = Duration::from_secs(30);

/// Is a UDP port. One that sends first is opened once its peer's name is known, which at boot may be later.
pub(super) struct UdpPort {
    place: Place,
    only: Option<IpAddr>,
    read_timeout: Duration,
    open: OnceLock<Open>,
    peers: Mutex<HashMap<SocketAddr, Stamp>>,
}

/// Says what is opened.
pub(super) enum Place {
    /// The address that is listened on.
    Listen(String),
    /// The peer that is told first.
    Send(String),
}

/// Is an open socket.
pub(super) struct Open {
    pub(super) socket: UdpSocket,
    fixed: Option<SocketAddr>,
}

impl UdpPort {
    /// Describes a port and opens nothing. `only` may name the one address that is listened to.
    pub(super) fn new(place: Place, only: Option<IpAddr>, read_timeout: Duration) -> Self {
        Self { place, only, read_timeout, open: OnceLock::new(), peers: Mutex::default() }
    }

    /// Returns the socket, opened if it is not. Looking up a name may take seconds.
    pub(super) fn connected(&self) -> io::Result<&Open> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let (socket, fixed) = match &self.place {
            Place::Listen(place) => (UdpSocket::bind(place)?, None),
            Place::Send(place) => {
                let unknown = || io::Error::new(ErrorKind::NotFound, "the name has no address");
                let to = place.to_socket_addrs()?.next().ok_or_else(unknown)?;
                (UdpSocket::bind(if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" })?, Some(to))
            }
        };
        socket.set_read_timeout(Some(self.read_timeout))?;
        Ok(self.open.get_or_init(|| Open { socket, fixed }))
    }

    /// The address that is listened on, once it is open.
    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        self.open.get()?.socket.local_addr().ok()
    }

    /// Says whether an address is not listened to.
    pub(super) fn is_stranger(&self, from: SocketAddr) -> bool {
        self.only.is_some_and(|only| only != from.ip())
    }

    /// Sends to `to` alone, or else to the fixed peer and everyone heard lately. Returns for each whether it went out; a port
    /// that is not open yet fails once.
    pub(super) fn send(&self, bytes: &[u8], to: Option<SocketAddr>, now: Stamp) -> Vec<bool> {
        let Some(Open { socket, fixed }) = self.open.get() else { return vec![false] };
        let sent = |address: SocketAddr| socket.send_to(bytes, address).is_ok();
        match to {
            Some(to) => vec![sent(to)],
            None => self.peers(*fixed, now).into_iter().map(sent).collect(),
        }
    }

    fn peers(&self, fixed: Option<SocketAddr>, now: Stamp) -> Vec<SocketAddr> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, heard| now.since(*heard) < PEER_SILENCE_MAX);
        let others = peers.keys().filter(|address| Some(**address) != fixed);
        fixed.iter().chain(others).copied().collect()
    }

    /// Notes who was heard, to be answered.
    pub(super) fn remember(&self, from: SocketAddr, arrived: Stamp) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS_MAX && !peers.contains_key(&from) {
            let silent = peers.iter().min_by_key(|(_, heard)| **heard).map(|(address, _)| *address);
            silent.map(|address| peers.remove(&address));
        }
        peers.insert(from, arrived);
    }
}
