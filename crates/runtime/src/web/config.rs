//! Where the page is served, and to whom.

use std::net::SocketAddr;

use serde::Deserialize;

use super::error::WebError;

/// Says where the server listens and how many it serves.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// Address and port. Anything but loopback also needs `allow_remote`.
    pub listen: SocketAddr,
    /// Serves other machines too. There is no login yet: whoever reaches the port can see the video and set targets.
    pub allow_remote: bool,
    /// Host names, besides IP addresses and `localhost`, under which the server may be addressed.
    pub hosts: Vec<String>,
    /// The most connections at once.
    pub connections_max: usize,
    /// The most clients that may watch the video at once.
    pub video_clients_max: usize,
    /// The most clients that may follow tracks over WebSocket at once.
    pub live_clients_max: usize,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            allow_remote: false,
            hosts: Vec::new(),
            connections_max: 256,
            video_clients_max: 16,
            live_clients_max: 64,
        }
    }
}

impl WebConfig {
    /// Checks what can be checked before anything listens.
    pub fn check(&self) -> Result<(), WebError> {
        if !self.listen.ip().is_loopback() && !self.allow_remote {
            return Err(WebError::Exposed { listen: self.listen });
        }
        let counts = [
            ("connections_max", self.connections_max),
            ("video_clients_max", self.video_clients_max),
            ("live_clients_max", self.live_clients_max),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((key, _)) => Err(WebError::NothingServed { key }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &str, allow_remote: bool) -> WebConfig {
        WebConfig { listen: listen.parse().unwrap(), allow_remote, ..WebConfig::default() }
    }

    #[test]
    fn only_loopback_is_served_unless_told_otherwise() {
        for (listen, allow_remote, served) in [
            ("127.0.0.1:8080", false, true),
            ("127.8.8.8:8080", false, true),
            ("[::1]:8080", false, true),
            ("0.0.0.0:8080", false, false),
            ("[::]:8080", false, false),
            ("192.168.1.2:8080", false, false),
            ("0.0.0.0:8080", true, true),
        ] {
            assert_eq!(config(listen, allow_remote).check().is_ok(), served, "{listen}");
        }
        let refused = config("0.0.0.0:8080", false).check().unwrap_err().to_string();
        assert!(refused.contains("allow_remote = true"), "{refused}");
    }

    #[test]
    fn the_defaults_are_what_an_empty_section_says() {
        assert_eq!(toml::from_str::<WebConfig>("").unwrap(), WebConfig::default());
        assert!(toml::from_str::<WebConfig>("listem = 1").unwrap_err().to_string().contains("listem"));
    }
}
