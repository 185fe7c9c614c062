//! Where a MAVLink link goes.

use super::TelemetryError;

/// Is the address of a link, read and not opened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkAddress<'a> {
    /// `udpin:HOST:PORT`: listens there.
    UdpIn(&'a str),
    /// `udpout:HOST:PORT`: sends there first.
    UdpOut(&'a str),
    /// `serial:DEVICE:BAUD`.
    Serial {
        /// The device's file.
        device: &'a str,
        /// Symbols a second.
        baud: u32,
    },
}

impl<'a> LinkAddress<'a> {
    /// Reads an address; whether anything is there shows when it is opened.
    pub fn read(address: &'a str) -> Result<Self, TelemetryError> {
        Self::of(address).ok_or_else(|| TelemetryError::Address { address: address.to_owned() })
    }

    fn of(address: &'a str) -> Option<Self> {
        let (kind, place) = address.split_once(':')?;
        let (host, number) = place.rsplit_once(':').filter(|(host, _)| !host.is_empty())?;
        match kind {
            "udpin" => number.parse::<u16>().ok().map(|_| Self::UdpIn(place)),
            "udpout" => number.parse::<u16>().ok().filter(|port| *port > 0).map(|_| Self::UdpOut(place)),
            "serial" => number.parse().ok().filter(|baud| *baud > 0).map(|baud| Self::Serial { device: host, baud }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_kind_a_place_and_a_number() {
        let serial = LinkAddress::Serial { device: "/dev/ttyUSB0", baud: 57_600 };
        for (text, read) in [
            ("udpin:0.0.0.0:14550", Some(LinkAddress::UdpIn("0.0.0.0:14550"))),
            ("udpin:127.0.0.1:0", Some(LinkAddress::UdpIn("127.0.0.1:0"))),
            ("udpout:[::1]:14550", Some(LinkAddress::UdpOut("[::1]:14550"))),
            ("udpout:drone.local:14550", Some(LinkAddress::UdpOut("drone.local:14550"))),
            ("serial:/dev/ttyUSB0:57600", Some(serial)),
            ("udpin:14550", None),
            ("udpin::14550", None),
            ("udpin:0.0.0.0:70000", None),
            ("udpout:0.0.0.0:0", None),
            ("serial:/dev/ttyUSB0", None),
            ("serial:/dev/ttyUSB0:fast", None),
            ("serial:/dev/ttyUSB0:0", None),
            ("tcp:127.0.0.1:5760", None),
            ("14550", None),
            ("", None),
        ] {
            assert_eq!(LinkAddress::read(text).ok(), read, "{text}");
        }
    }
}
