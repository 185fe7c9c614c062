//! One belief about where a target is, and what makes it give way to another.

use nalgebra::{Vector2, Vector3};
use smgeo_flow::Stamp;
use smgeo_geo::{Altitude, Covariance2, EarthError, Geodetic, KalmanTrack, LatLon, LocalFrame, Motion};
use smgeo_messages::{Basis, Estimate, Found, RayFix};

use super::Config;

/// Answers within this part of the innovation's distribution are taken in.
const GATE_PART: f64 = 0.99;

/// This many set-aside answers that agree with each other overturn the belief.
const ASIDE_TO_OVERTURN: usize = 5;

/// They have to lie so far apart, as a part of [`Config::correlation_s`]: frames closer in time err alike.
const OVERTURN_PART: f64 = 0.5;

/// Set-aside answers older than this, in seconds, agree with nothing.
const ASIDE_AGE_S_MAX: f64 = 5.0;

/// A view is another one when its ray passes over the ground by so much more, or less, for each metre that it comes down: 6 degrees.
const VIEW_STEP: f64 = 0.1;

/// An answer moves a place only if the followed point is known as well as when the place was found, give or take so many metres.
const CLICK_CE90_M_MORE: f64 = 2.0;

/// So many answers are averaged alike before the average begins to forget.
const FIRST_ANSWERS: u32 = 5;

/// Is a position with its history.
pub struct Hypothesis {
    frame: LocalFrame,
    filter: KalmanTrack,
    /// The capture time of the last answer that was taken in.
    pub confirmed: Stamp,
    /// Answers taken in so far.
    pub confirmations: u32,
    /// How probable the answers hold the place to be, averaged over [`Config::correlation_s`]; an answer elsewhere counts as 0.
    pub probability: f64,
    /// Whether that is enough for a lock: it became so, and has been enough to keep one since.
    pub is_probable: bool,
    averaged: Stamp,
    answers: u32,
    aside: Vec<(Stamp, Found)>,
    shared: Covariance2,
    /// What the followed point was off the clicked one in the answers that were taken in.
    click: Covariance2,
    /// The view of the last answer that was another one, and how many there were: one view is one picture, however long it is
    /// looked at.
    view_ne: Vector2<f64>,
    views: u32,
    bounds_deg: [f64; 4],
    score: f64,
}

/// Says what an answer did to the belief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It agreed and was taken in.
    Confirmed,
    /// It lay too far off and was kept aside.
    SetAside,
    /// It was the last of several that agree elsewhere: the belief begins anew there.
    BegunAnew,
}

impl Hypothesis {
    /// Begins with one answer, which counts as its first confirmation.
    pub fn new(config: &Config, found: &Found, ray: &RayFix, captured: Stamp) -> Result<Self, EarthError> {
        Ok(Self {
            frame: LocalFrame::new(Geodetic { at: found.at, height: Altitude::from_m(0.0) }),
            filter: at_rest(config, Vector2::zeros(), found.covariance)?,
            confirmed: captured,
            confirmations: 1,
            probability: found.score,
            is_probable: found.score >= config.locked_probability_min,
            averaged: captured,
            answers: 1,
            aside: Vec::new(),
            shared: found.shared,
            click: found.click,
            view_ne: ray.spread.overshoot_ne,
            views: 1,
            bounds_deg: found.bounds_deg,
            score: found.score,
        })
    }

    /// Weighs an answer, which came of a query along `ray`, against the belief.
    pub fn weigh(
        &mut self,
        config: &Config,
        found: &Found,
        ray: &RayFix,
        captured: Stamp,
    ) -> Result<Verdict, EarthError> {
        let elapsed_s = captured.since(self.confirmed).as_secs_f64();
        let offset_ne_m = self.offset_ne_m(found.at);
        let mut filter = self.filter;
        filter.predict(elapsed_s)?;
        if !filter.gate(offset_ne_m, found.covariance.plus(found.click)?, GATE_PART)?.passes() {
            self.average(config, 0.0, captured);
            return self.set_aside(config, found, ray, captured);
        }
        // A point that was found again by the target's own position says that it is there, and nothing of where that is.
        let ce90_m = |covariance: Covariance2| covariance.circular_error_m(0.9);
        if ce90_m(found.click) <= ce90_m(self.click) + CLICK_CE90_M_MORE {
            // Frames close in time err alike: together they may weigh as much as one frame per correlation time.
            let inflation = (config.correlation_s / elapsed_s.max(1e-3)).max(1.0);
            filter.update(offset_ne_m, found.covariance.scaled(inflation)?)?;
            (self.click, self.shared, self.bounds_deg) = (found.click, found.shared, found.bounds_deg);
            self.count_view(ray.spread.overshoot_ne);
            let by_views = found.covariance.scaled(1.0 / f64::from(self.views))?;
            if ce90_m(filter.position_covariance()?) < ce90_m(by_views) {
                filter = at_rest(config, filter.position_ne_m(), by_views)?;
            }
        }
        if elapsed_s > config.coasting_s {
            // It was lost. The place may be the same; that it is has to be shown anew.
            (self.confirmations, self.answers, self.views, self.is_probable) = (0, 0, 1, false);
        }
        self.average(config, found.score, captured);
        self.filter = filter;
        self.confirmed = captured;
        self.confirmations += 1;
        self.aside.clear();
        self.score = found.score;
        Ok(Verdict::Confirmed)
    }

    /// Says where the target is at `now`, if it has not moved since the last confirmation more than it may.
    pub fn estimate(&self, config: &Config, now: Stamp) -> Result<Estimate, EarthError> {
        let unconfirmed_s = now.since(self.confirmed).as_secs_f64();
        let mut filter = self.filter;
        filter.predict(unconfirmed_s)?;
        let spread_m2 = config.map_sigma_m.powi(2) + (config.drift_mps * unconfirmed_s).powi(2);
        let spread = Covariance2::isotropic(spread_m2.sqrt())?.plus(self.shared)?;
        let covariance = filter.position_covariance()?.plus(self.click)?.plus(spread)?;
        let velocity = filter.velocity_ne_m_s();
        Ok(Estimate {
            at: self.lat_lon(filter.position_ne_m())?,
            velocity_ne_mps: [velocity.x, velocity.y],
            ce90_m: covariance.circular_error_m(0.9),
            covariance,
            basis: Basis::Map,
            bounds_deg: Some(self.bounds_deg),
            score: Some(self.score),
        })
    }

    /// Takes how probable one more answer holds the place to be into the average: of the first few answers, then of the last seconds.
    pub fn average(&mut self, config: &Config, probability: f64, captured: Stamp) {
        let elapsed_s = captured.since(self.averaged).as_secs_f64();
        self.averaged = captured;
        self.answers = self.answers.saturating_add(1);
        let recent = 1.0 - (-elapsed_s / config.correlation_s).exp();
        let weight = if self.answers <= FIRST_ANSWERS { recent.max(1.0 / f64::from(self.answers)) } else { recent };
        self.probability += weight * (probability - self.probability);
        let enough = if self.is_probable { config.kept_probability_min } else { config.locked_probability_min };
        self.is_probable = self.probability >= enough;
    }

    fn count_view(&mut self, view_ne: Vector2<f64>) {
        if (view_ne - self.view_ne).norm() >= VIEW_STEP {
            self.view_ne = view_ne;
            self.views = self.views.saturating_add(1);
        }
    }

    fn set_aside(
        &mut self,
        config: &Config,
        found: &Found,
        ray: &RayFix,
        captured: Stamp,
    ) -> Result<Verdict, EarthError> {
        self.aside.retain(|(at, _)| captured.since(*at).as_secs_f64() <= ASIDE_AGE_S_MAX);
        self.aside.push((captured, found.clone()));
        let (mut agreeing, mut span_s) = (0, 0.0_f64);
        for (at, other) in &self.aside {
            if self.agree(config, other, found)? {
                agreeing += 1;
                span_s = span_s.max(captured.since(*at).as_secs_f64());
            }
        }
        if agreeing < ASIDE_TO_OVERTURN || span_s < OVERTURN_PART * config.correlation_s {
            return Ok(Verdict::SetAside);
        }
        *self = Self::new(config, found, ray, captured)?;
        Ok(Verdict::BegunAnew)
    }

    fn agree(&self, config: &Config, one: &Found, other: &Found) -> Result<bool, EarthError> {
        let alone = at_rest(config, self.offset_ne_m(one.at), one.covariance)?;
        Ok(alone.gate(self.offset_ne_m(other.at), other.covariance, GATE_PART)?.passes())
    }

    fn offset_ne_m(&self, at: LatLon) -> Vector2<f64> {
        let enu = self.frame.enu_from(Geodetic { at, height: self.frame.origin().height });
        Vector2::new(enu.y, enu.x)
    }

    fn lat_lon(&self, ne_m: Vector2<f64>) -> Result<LatLon, EarthError> {
        Ok(self.frame.geodetic_from(Vector3::new(ne_m.y, ne_m.x, 0.0))?.at)
    }
}

fn at_rest(config: &Config, ne_m: Vector2<f64>, covariance: Covariance2) -> Result<KalmanTrack, EarthError> {
    KalmanTrack::new(ne_m, covariance, 0.0, Motion::Static { creep_m2_s: config.creep_m2_s })
}
