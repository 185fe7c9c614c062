//! What can be wrong with a position, a tile, an attitude or an estimate; each error names the value it refuses.

/// A refusal of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EarthError {
    /// A latitude beyond a pole, or not a number.
    #[error("latitude {0} deg is not within -90 to 90")]
    Latitude(f64),
    /// A longitude that is not a number.
    #[error("longitude {0} deg is not a finite number")]
    Longitude(f64),
    /// A quantity that is NaN or infinite.
    #[error("{0} is not a finite number")]
    NotFinite(&'static str),
    /// A point so deep inside the Earth that it has no one latitude.
    #[error("point is {0:.0} m from the centre of the Earth: it has no latitude")]
    NearCentre(f64),
    /// A tile that the pyramid does not have.
    #[error("tile {z}/{x}/{y} does not exist: zoom is 0 to 30, x and y are below 2^zoom")]
    Tile {
        /// Zoom.
        z: u8,
        /// Column.
        x: u32,
        /// Row.
        y: u32,
    },
    /// A tile window that is empty or leaves the pyramid.
    #[error("tile window of {columns} x {rows} tiles does not fit the pyramid at zoom {z}")]
    Window {
        /// Zoom.
        z: u8,
        /// Columns asked for.
        columns: u32,
        /// Rows asked for.
        rows: u32,
    },
    /// A quadkey with a digit other than 0 to 3, or too many of them.
    #[error("quadkey '{0}' is not up to 30 digits of 0 to 3")]
    Quadkey(String),
    /// A camera that cannot form an image.
    #[error("camera has {0}: give its size in pixels and a positive focal length")]
    Camera(&'static str),
    /// A quaternion whose length is not near one.
    #[error("attitude quaternion has length {0}, not 1")]
    Quaternion(f64),
    /// A gimbal attitude in the vehicle frame, and no heading to turn it by.
    #[error("gimbal attitude is relative to the vehicle and no vehicle yaw is known: send ATTITUDE")]
    VehicleYaw,
    /// A matrix that is no covariance.
    #[error("[[{nn}, {ne}], [{ne}, {ee}]] m2 is not a covariance: it is not finite or not positive semidefinite")]
    Covariance {
        /// North variance.
        nn: f64,
        /// North-east covariance.
        ne: f64,
        /// East variance.
        ee: f64,
    },
    /// A time step that goes backwards, or is not a number.
    #[error("time step {0} s is not zero or more")]
    TimeStep(f64),
    /// A UTM zone outside 1 to 60.
    #[error("utm zone {0} is not 1 to 60")]
    Zone(u8),
    /// A position outside the area of a grid.
    #[error("{0} is outside the grid asked for")]
    OutsideGrid(String),
    /// A text that is no MGRS reference.
    #[error("'{0}' is not an mgrs reference such as 40RCN2613287898")]
    Mgrs(String),
    /// An elevation or undulation grid that is not what its shape says.
    #[error(
        "{values} values do not make a grid of {columns} x {rows} nodes: one number each, 2 x 2 or more, cell above 0"
    )]
    Grid {
        /// Nodes in a row.
        columns: usize,
        /// Rows.
        rows: usize,
        /// Values given.
        values: usize,
    },
}
