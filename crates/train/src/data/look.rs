//! What a sensor, the weather and the way to the receiver do to colours: gain, gamma, contrast, saturation, haze, blur, noise, JPEG
//! and H.264.
//!
//! The two views of a pair get looks drawn independently, so nothing can be matched by colour alone.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Normal, StandardNormal};

use super::Raster;
use super::video::Video;

/// One drawn look. Neutral values change nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Factor per channel.
    pub gain: [f32; 3],
    /// Exponent on the level, 1 for none.
    pub gamma: f32,
    /// Factor about middle grey.
    pub contrast: f32,
    /// Distance from grey, 1 for none, 0 for a grey picture.
    pub saturation: f32,
    /// Share of light grey mixed in, 0 to 1.
    pub haze: f32,
    /// Standard deviation of the blur in pixels.
    pub blur_px: f32,
    /// Standard deviation of the noise in levels of 255.
    pub noise: f32,
    /// JPEG quality, if it is compressed at all.
    pub jpeg_quality: Option<u8>,
    /// How it goes through video, if it does. A picture that does is no JPEG.
    pub video: Option<Video>,
}

impl Look {
    /// A look that changes nothing.
    pub fn neutral() -> Self {
        Self {
            gain: [1.0; 3],
            gamma: 1.0,
            contrast: 1.0,
            saturation: 1.0,
            haze: 0.0,
            blur_px: 0.0,
            noise: 0.0,
            jpeg_quality: None,
            video: None,
        }
    }

    /// The look of a video camera: strong changes, noise and compression. `strength` scales all of it, 1 is usual.
    pub fn drone(rng: &mut impl Rng, strength: f32) -> Self {
        let exposure = spread(rng, 0.22 * strength);
        Self {
            gain: std::array::from_fn(|_| exposure * spread(rng, 0.06 * strength)),
            gamma: spread(rng, 0.22 * strength),
            contrast: spread(rng, 0.16 * strength),
            saturation: (1.0 + gaussian(rng) * 0.35 * strength).clamp(0.0, 2.0),
            haze: if rng.random_bool(0.2) { rng.random_range(0.0..0.3) * strength } else { 0.0 },
            blur_px: if rng.random_bool(0.5) { rng.random_range(0.0..1.3) * strength } else { 0.0 },
            noise: if rng.random_bool(0.5) { rng.random_range(0.0..7.0) * strength } else { 0.0 },
            jpeg_quality: rng.random_bool(0.2).then(|| rng.random_range(35..95)),
            video: rng.random_bool(0.3).then(|| Video {
                quantiser: rng.random_range(20..36),
                motion_px: [0; 2].map(|_: i64| rng.random_range(-6..=6)),
            }),
        }
    }

    /// The look of a satellite or aerial survey: milder, never noisy.
    pub fn satellite(rng: &mut impl Rng, strength: f32) -> Self {
        let exposure = spread(rng, 0.12 * strength);
        Self {
            gain: std::array::from_fn(|_| exposure * spread(rng, 0.04 * strength)),
            gamma: spread(rng, 0.12 * strength),
            contrast: spread(rng, 0.10 * strength),
            saturation: (1.0 + gaussian(rng) * 0.25 * strength).clamp(0.0, 2.0),
            haze: if rng.random_bool(0.1) { rng.random_range(0.0..0.2) * strength } else { 0.0 },
            blur_px: if rng.random_bool(0.3) { rng.random_range(0.0..0.9) * strength } else { 0.0 },
            noise: 0.0,
            jpeg_quality: None,
            video: None,
        }
    }

    /// The picture with this look. Noise is drawn from `rng`; a picture that cannot be compressed stays as it was.
    pub fn apply(&self, picture: &Raster, rng: &mut impl Rng) -> Raster {
        let mut changed = if self.blur_px > 0.15 { blurred(picture, self.blur_px) } else { picture.clone() };
        let tables: [[f32; 256]; 3] = std::array::from_fn(|channel| self.table(self.gain[channel]));
        let seed = rng.random::<u64>();
        let mut noise = SmallNoise(seed | 1);
        for pixel in changed.rgb_mut().chunks_exact_mut(3) {
            let colour: [f32; 3] = std::array::from_fn(|channel| tables[channel][usize::from(pixel[channel])]);
            let grey = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2];
            for (level, toned) in pixel.iter_mut().zip(colour) {
                let saturated = grey + (toned - grey) * self.saturation;
                let grain = if self.noise > 0.0 { noise.next() * self.noise } else { 0.0 };
                *level = (saturated + grain + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
        let compressed = match (self.video, self.jpeg_quality) {
            (Some(video), _) => video.apply(&changed).ok(),
            (None, Some(quality)) => changed.through_jpeg(quality).ok(),
            (None, None) => None,
        };
        compressed.unwrap_or(changed)
    }

    fn table(&self, gain: f32) -> [f32; 256] {
        std::array::from_fn(|level| {
            let toned = (level as f32 / 255.0).powf(self.gamma) * gain;
            let contrasted = 0.45 + (toned - 0.45) * self.contrast;
            255.0 * (contrasted * (1.0 - self.haze) + 0.8 * self.haze)
        })
    }
}

/// A Gaussian blur, separable, cut off at three standard deviations, the border repeated.
pub fn blurred(picture: &Raster, sigma_px: f32) -> Raster {
    let reach = (3.0 * sigma_px).ceil() as usize;
    let weigh = |offset: usize| (-((offset as f32 - reach as f32) / sigma_px).powi(2) / 2.0).exp();
    let kernel: Vec<f32> = (0..=2 * reach).map(weigh).collect();
    let sum: f32 = kernel.iter().sum();
    let kernel: Vec<f32> = kernel.iter().map(|weight| weight / sum).collect();
    let (width, height) = (picture.width(), picture.height());
    let rows: Vec<f32> = picture.rgb().iter().map(|&level| f32::from(level)).collect();
    let across = convolved(&rows, height, width, 3, width * 3, &kernel);
    let down = convolved(&across, width * 3, height, width * 3, 1, &kernel);
    let mut result = picture.clone();
    result.rgb_mut().iter_mut().zip(down).for_each(|(level, value)| *level = (value + 0.5) as u8);
    result
}

/// Convolves `lines` lines of `length` places that lie `stride` apart; lines start `line_stride` apart (for columns) or hold
/// `stride` interleaved channels (for rows).
fn convolved(
    values: &[f32],
    lines: usize,
    length: usize,
    stride: usize,
    line_stride: usize,
    kernel: &[f32],
) -> Vec<f32> {
    let reach = kernel.len() / 2;
    let channels = if line_stride == 1 { 1 } else { stride };
    let mut result = vec![0.0; values.len()];
    for line in 0..lines {
        for place in 0..length {
            for channel in 0..channels {
                let at = |place: usize| line * line_stride + place * stride + channel;
                let taps = kernel.iter().enumerate().map(|(tap, weight)| {
                    let source = (place + tap).saturating_sub(reach).min(length - 1);
                    weight * values[at(source)]
                });
                result[at(place)] = taps.sum();
            }
        }
    }
    result
}

/// A factor whose logarithm is normal with the given standard deviation, kept within three of them.
fn spread(rng: &mut impl Rng, sigma: f32) -> f32 {
    (gaussian(rng).clamp(-3.0, 3.0) * sigma).exp()
}

/// A standard normal number.
pub fn gaussian(rng: &mut impl Rng) -> f32 {
    StandardNormal.sample(rng)
}

/// A normal number with the given standard deviation, at most `limit` deviations from zero.
pub fn limited_gaussian(rng: &mut impl Rng, sigma: f64, limit: f64) -> f64 {
    let normal: f64 = Normal::new(0.0, 1.0).expect("one is a valid deviation").sample(rng);
    normal.clamp(-limit, limit) * sigma
}

/// Grain that costs a few operations a pixel: the sum of four uniform bytes, close to normal with unit deviation.
struct SmallNoise(u64);

impl SmallNoise {
    fn next(&mut self) -> f32 {
        // Marsaglia's xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let bytes = self.0.to_le_bytes();
        let sum: i32 = bytes[..4].iter().map(|&byte| i32::from(byte)).sum();
        (sum - 510) as f32 / 147.8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_neutral_look_changes_nothing() {
        let picture = Raster::from_rgb(2, 1, vec![0, 17, 255, 128, 64, 3]).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        assert_eq!(Look::neutral().apply(&picture, &mut rng), picture);
    }

    #[test]
    fn the_same_seed_draws_the_same_look_and_grain() {
        let picture = Raster::filled(16, 16, [90, 120, 60]);
        let draw = || {
            let mut rng = ChaCha8Rng::seed_from_u64(4);
            Look::drone(&mut rng, 1.0).apply(&picture, &mut rng)
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn blurring_keeps_the_mean() {
        let mut picture = Raster::filled(21, 21, [0; 3]);
        picture.rgb_mut()[(10 * 21 + 10) * 3] = 255;
        let soft = blurred(&picture, 1.0);
        let sum: i32 = soft.rgb().iter().step_by(3).map(|&level| i32::from(level)).sum();
        assert!((sum - 255).abs() < 12, "sum {sum}");
        assert!(soft.pixel(10, 10)[0] > soft.pixel(11, 10)[0]);
        assert_eq!(soft.pixel(9, 10), soft.pixel(11, 10));
    }
}
