//! Why there is no pose at a moment, and why a sample was refused.

/// Says why there is no pose.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPose {
    /// A kind of sample never came, or not for seconds.
    #[error("no {0} from the vehicle")]
    Silent(&'static str),
    /// The moment lies too far past the newest sample.
    #[error("{what} is {age_ms:.0} ms old")]
    Old {
        /// The kind of sample.
        what: &'static str,
        /// Its age.
        age_ms: f64,
    },
    /// The moment lies in a gap.
    #[error("{what} has a gap of {gap_ms:.0} ms")]
    Gap {
        /// The kind of sample.
        what: &'static str,
        /// The gap.
        gap_ms: f64,
    },
    /// The moment lies before everything that is kept.
    #[error("{0} of that moment is not kept any more")]
    Forgotten(&'static str),
    /// The gimbal's yaw is told against the vehicle's heading, which is not known.
    #[error("the gimbal's yaw is told against a heading that is not known")]
    NoHeading,
}

impl NoPose {
    /// Says it in a short constant phrase.
    pub const fn phrase(&self) -> &'static str {
        match self {
            Self::Silent(_) => "no telemetry comes",
            Self::Old { .. } => "telemetry is too old",
            Self::Gap { .. } => "telemetry has a gap",
            Self::Forgotten(_) => "telemetry of that moment is not kept any more",
            Self::NoHeading => "the gimbal's yaw is told against a heading that is not known",
        }
    }
}

/// Says why a sample was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// It is not newer than the last of its kind.
    #[error("not newer than the last")]
    NotNewer,
    /// It claims to come from the future.
    #[error("from the future")]
    Future,
    /// A number in it is none, or impossible.
    #[error("not a number, or impossible")]
    Impossible,
    /// The position cannot follow from the ones before.
    #[error("position jumped")]
    Jumped,
}

impl Rejected {
    /// Names the cause in one word, for the label of a counter.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotNewer => "not_newer",
            Self::Future => "future",
            Self::Impossible => "impossible",
            Self::Jumped => "jumped",
        }
    }
}
