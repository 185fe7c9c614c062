//! Why the page cannot be served.

use std::io;
use std::net::SocketAddr;

/// Is what keeps the server from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The address can be reached by other machines, and that was not allowed.
    #[error(
        "web.listen = \"{listen}\" can be reached by other machines and there is no login: listen on 127.0.0.1, \
         or set web.allow_remote = true if the network is trusted"
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
    },
    /// Something else listens there.
    #[error(
        "port {port} of {ip} is in use: end the other program (`ss -ltnp 'sport = :{port}'` names it) \
         or choose another port with web.listen",
        port = listen.port(),
        ip = listen.ip()
    )]
    PortInUse {
        /// The address.
        listen: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: choose another address with web.listen")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A limit of zero would serve nobody.
    #[error("web.{key} = 0 would serve nobody: give at least 1")]
    NothingServed {
        /// The key.
        key: &'static str,
    },
}

impl WebError {
    /// Explains why the address could not be had.
    pub(super) fn listening(listen: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { listen },
            _ => Self::Listen { listen, source },
        }
    }
}
