//! A target's position and velocity on the ground, filtered: predict, gate, update.
//!
//! The state is north, east (m), velocity north, velocity east (m/s) in a local frame. The update is in Joseph form,
//! which keeps the covariance symmetric and positive whatever the gain's rounding.

use nalgebra::{Matrix2, Matrix2x4, Matrix4, Vector2, Vector4};

use crate::{Covariance2, EarthError, chi_square};

/// How the target is taken to move between fixes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Motion {
    /// It stands still; the position may creep, so that an old error is not believed for ever.
    Static {
        /// Growth of each position variance per second.
        creep_m2_s: f64,
    },
    /// It keeps its velocity, disturbed by continuous white acceleration noise.
    ConstantVelocity {
        /// Spectral density of the acceleration.
        spectral_density_m2_s3: f64,
    },
}

/// A measured position against the prediction, before it is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// Measured less predicted, north and east.
    pub innovation_m: Vector2<f64>,
    /// Covariance of the innovation.
    pub innovation_covariance_m2: Matrix2<f64>,
    /// Normalised innovation squared: chi-square with two degrees of freedom if all is well.
    pub nis: f64,
    /// The largest `nis` that passes.
    pub limit: f64,
    /// Of the measurement, given the prediction.
    pub log_likelihood: f64,
}

impl Gate {
    /// Whether the measurement is believable.
    pub fn passes(&self) -> bool {
        self.nis <= self.limit
    }
}

/// A Kalman filter of position and velocity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KalmanTrack {
    state: Vector4<f64>,
    covariance: Matrix4<f64>,
    motion: Motion,
}

impl KalmanTrack {
    /// Starts at a measured position, north and east, with an unknown velocity of this sigma in each direction.
    pub fn new(
        position_ne_m: Vector2<f64>,
        covariance: Covariance2,
        velocity_sigma_m_s: f64,
        motion: Motion,
    ) -> Result<KalmanTrack, EarthError> {
        let velocity_m2_s2 = velocity_sigma_m_s * velocity_sigma_m_s;
        let mut full = Matrix4::from_diagonal(&Vector4::new(0.0, 0.0, velocity_m2_s2, velocity_m2_s2));
        full.fixed_view_mut::<2, 2>(0, 0).copy_from(&covariance.matrix());
        KalmanTrack::from_state(Vector4::new(position_ne_m.x, position_ne_m.y, 0.0, 0.0), full, motion)
    }

    /// Starts from a full state and covariance.
    pub fn from_state(
        state: Vector4<f64>,
        covariance: Matrix4<f64>,
        motion: Motion,
    ) -> Result<KalmanTrack, EarthError> {
        if !state.iter().chain(covariance.iter()).all(|part| part.is_finite()) {
            return Err(EarthError::NotFinite("track state"));
        }
        Ok(KalmanTrack { state, covariance, motion })
    }

    /// Carries the state on by a time step of zero or more.
    pub fn predict(&mut self, dt_s: f64) -> Result<(), EarthError> {
        if !(dt_s.is_finite() && dt_s >= 0.0) {
            return Err(EarthError::TimeStep(dt_s));
        }
        let (step, noise) = self.motion.step(dt_s);
        let next = KalmanTrack {
            state: step * self.state,
            covariance: symmetric(step * self.covariance * step.transpose() + noise),
            motion: self.motion,
        };
        *self = next.checked()?;
        Ok(())
    }

    /// Compares a measured position with the state. It passes the part `p` of what belongs to this target.
    pub fn gate(&self, position_ne_m: Vector2<f64>, covariance: Covariance2, p: f64) -> Result<Gate, EarthError> {
        let innovation_m = position_ne_m - self.position_ne_m();
        let spread = self.covariance.fixed_view::<2, 2>(0, 0) + covariance.matrix();
        let refusal = EarthError::Covariance { nn: spread[(0, 0)], ne: spread[(0, 1)], ee: spread[(1, 1)] };
        let factor = spread.cholesky().ok_or(refusal)?;
        let nis = innovation_m.dot(&factor.solve(&innovation_m));
        if !nis.is_finite() {
            return Err(EarthError::NotFinite("measured position"));
        }
        let log_likelihood = -0.5 * (nis + factor.determinant().ln()) - std::f64::consts::TAU.ln();
        Ok(Gate { innovation_m, innovation_covariance_m2: spread, nis, limit: chi_square::gate(2, p), log_likelihood })
    }

    /// Takes in a measured position, north and east. Gate first; what is not finite is refused and changes nothing.
    pub fn update(&mut self, position_ne_m: Vector2<f64>, covariance: Covariance2) -> Result<(), EarthError> {
        let gate = self.gate(position_ne_m, covariance, 1.0)?;
        let spread = gate.innovation_covariance_m2;
        let inverse = spread.try_inverse().ok_or(EarthError::Covariance {
            nn: spread[(0, 0)],
            ne: spread[(0, 1)],
            ee: spread[(1, 1)],
        })?;
        let measures = Matrix2x4::identity();
        let gain = self.covariance * measures.transpose() * inverse;
        let kept = Matrix4::identity() - gain * measures;
        let next = KalmanTrack {
            state: self.state + gain * gate.innovation_m,
            covariance: symmetric(
                kept * self.covariance * kept.transpose() + gain * covariance.matrix() * gain.transpose(),
            ),
            motion: self.motion,
        };
        *self = next.checked()?;
        Ok(())
    }

    /// North, east, velocity north, velocity east.
    pub fn state(&self) -> Vector4<f64> {
        self.state
    }

    /// Covariance of [`KalmanTrack::state`].
    pub fn covariance(&self) -> Matrix4<f64> {
        self.covariance
    }

    /// North and east in metres.
    pub fn position_ne_m(&self) -> Vector2<f64> {
        self.state.fixed_rows::<2>(0).into_owned()
    }

    /// Velocity north and east.
    pub fn velocity_ne_m_s(&self) -> Vector2<f64> {
        self.state.fixed_rows::<2>(2).into_owned()
    }

    /// Covariance of the position.
    pub fn position_covariance(&self) -> Result<Covariance2, EarthError> {
        Covariance2::from_matrix(self.covariance.fixed_view::<2, 2>(0, 0).into_owned())
    }

    /// How the target is taken to move.
    pub fn motion(&self) -> Motion {
        self.motion
    }

    /// Normalised estimation error squared against a known truth: chi-square with four degrees of freedom if all is
    /// well.
    pub fn nees(&self, truth: Vector4<f64>) -> Option<f64> {
        let off = truth - self.state;
        let squared = off.dot(&self.covariance.cholesky()?.solve(&off));
        squared.is_finite().then_some(squared)
    }

    fn checked(self) -> Result<KalmanTrack, EarthError> {
        KalmanTrack::from_state(self.state, self.covariance, self.motion)
    }
}

impl Motion {
    /// The transition over a time step and the noise it adds.
    pub fn step(self, dt_s: f64) -> (Matrix4<f64>, Matrix4<f64>) {
        let mut step = Matrix4::identity();
        let mut noise = Matrix4::zeros();
        for axis in 0..2 {
            match self {
                Motion::Static { creep_m2_s } => noise[(axis, axis)] = creep_m2_s * dt_s,
                Motion::ConstantVelocity { spectral_density_m2_s3: density } => {
                    step[(axis, axis + 2)] = dt_s;
                    noise[(axis, axis)] = density * dt_s.powi(3) / 3.0;
                    noise[(axis, axis + 2)] = density * dt_s.powi(2) / 2.0;
                    noise[(axis + 2, axis)] = density * dt_s.powi(2) / 2.0;
                    noise[(axis + 2, axis + 2)] = density * dt_s;
                }
            }
        }
        (step, noise)
    }
}

/// Takes the rounding out of what is symmetric.
fn symmetric(matrix: Matrix4<f64>) -> Matrix4<f64> {
    0.5 * (matrix + matrix.transpose())
}
