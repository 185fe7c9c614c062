//! What the machine is made of, which does not change during a run.

/// Names the drone, the run, the network and the map.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The drone's name, as configured.
    pub drone: String,
    /// Names this run of the daemon.
    pub boot_id: String,
    /// The network in use.
    pub model: Option<ModelAbout>,
    /// The map in use.
    pub imagery: Option<ImageryAbout>,
}

/// Names the engine package.
#[derive(Clone, Debug)]
pub struct ModelAbout {
    /// The name of the package.
    pub name: String,
    /// Its hash, hexadecimal.
    pub hash: String,
    /// The backend that runs it.
    pub backend: String,
}

/// Names the imagery and says what it covers.
#[derive(Clone, Debug)]
pub struct ImageryAbout {
    /// The name of the store.
    pub name: String,
    /// The date of the imagery, as its source states it.
    pub date: Option<String>,
    /// Who is to be credited.
    pub attribution: Option<String>,
    /// The area covered, where it is known: west, south, east, north, degrees.
    pub bounds_deg: Option<[f64; 4]>,
    /// The smallest zoom held.
    pub zoom_min: u8,
    /// The largest zoom held.
    pub zoom_max: u8,
}
