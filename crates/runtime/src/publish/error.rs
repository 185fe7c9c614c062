//! What can be wrong with an output.

/// Says what is wrong with an output, and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A name does not do as a part of a key.
    #[error("'{name}' does not do as the drone's name in zenoh keys: use up to 32 of a-z, 0-9, _ and -")]
    Name {
        /// What was given.
        name: String,
    },
    /// The bus cannot be joined.
    #[error("zenoh cannot start on {endpoints}: {reason}")]
    Bus {
        /// The configured endpoints.
        endpoints: String,
        /// What zenoh said.
        reason: String,
    },
    /// A client has nobody to connect to.
    #[error(
        "mode is \"client\", and neither connect nor the config_file names a router; give connect, or multicast_scouting = true"
    )]
    NoRouter,
    /// A record could not be handed to the bus.
    #[error("zenoh did not take {key}: {reason}")]
    Put {
        /// The key.
        key: String,
        /// What zenoh said.
        reason: String,
    },
    /// A file cannot be written.
    #[error("{file} cannot be written: {source}")]
    File {
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A record could not be put into JSON.
    #[error("a track could not be put into JSON")]
    Json(#[from] serde_json::Error),
}

impl PublishError {
    /// Names the cause in one word, for the label of a counter.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Name { .. } => "name",
            Self::Bus { .. } | Self::NoRouter => "bus",
            Self::Put { .. } => "put",
            Self::File { .. } => "file",
            Self::Json(_) => "json",
        }
    }
}
