//! What is left of a picture that was sent as H.264 video.

use openh264::decoder::Decoder;
use openh264::encoder::{BitRate, Encoder, EncoderConfig, QpRange, RateControlMode};
use openh264::formats::{RgbSliceU8, YUVBuffer, YUVSource};
use openh264::{Error, OpenH264API};

use super::Raster;

/// How a picture goes through video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Video {
    /// H.264's quantiser, 1 (fine) to 51 (coarse).
    pub quantiser: u8,
    /// How far the picture moved since the frame before, pixels right and down.
    pub motion_px: [i64; 2],
}

impl Video {
    /// The second of two frames: most frames of a stream are predicted from the one before. Of sides that are odd the last line stays
    /// as it was.
    pub fn apply(&self, picture: &Raster) -> Result<Raster, Error> {
        let (width, height) = (picture.width() & !1, picture.height() & !1);
        let quantiser = QpRange::new(self.quantiser, self.quantiser);
        let config = EncoderConfig::new()
            .rate_control_mode(RateControlMode::Quality)
            .qp(quantiser)
            // So much that no frame is skipped.
            .bitrate(BitRate::from_bps(100_000_000))
            .adaptive_quantization(false)
            .scene_change_detect(false)
            .num_threads(1);
        let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
        let mut decoder = Decoder::new()?;
        let mut received = None;
        for [x, y] in [self.motion_px, [0, 0]] {
            let mut frame = picture.crop(x, y, width, height, [0; 3]);
            let source = RgbSliceU8::new(frame.rgb(), (width, height));
            let packet = encoder.encode(&YUVBuffer::from_rgb8_source(source))?.to_vec();
            received =
                decoder.decode(&packet)?.filter(|decoded| decoded.dimensions() == (width, height)).map(|decoded| {
                    decoded.write_rgb8(frame.rgb_mut());
                    frame
                });
        }
        let mut result = picture.clone();
        result.paste_offset(&received.ok_or(Error::msg("the decoder gave no picture"))?, 0, 0);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blobs of many colours.
    fn picture(width: usize, height: usize) -> Raster {
        let mut picture = Raster::filled(width, height, [0; 3]);
        for (at, pixel) in picture.rgb_mut().chunks_exact_mut(3).enumerate() {
            let blob = (at % width / 6) as u32 * 7919 + (at / width / 6) as u32 * 104_729;
            pixel.copy_from_slice(
                &[1, 2, 3].map(|channel| 40 + (blob.wrapping_mul(2_654_435_761_u32.wrapping_mul(channel)) >> 25) as u8),
            );
        }
        picture
    }

    fn difference(a: &Raster, b: &Raster) -> f64 {
        let squares = a.rgb().iter().zip(b.rgb()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
        (squares.sum::<f64>() / a.rgb().len() as f64).sqrt()
    }

    #[test]
    fn the_coarser_the_quantiser_the_less_is_left() {
        let picture = picture(128, 96);
        let through = |quantiser| Video { quantiser, motion_px: [3, -2] }.apply(&picture).unwrap();
        let lost = [20, 32, 44].map(|quantiser| difference(&through(quantiser), &picture));
        println!("{lost:?}");
        assert!(lost[0] < lost[1] && lost[1] < lost[2], "{lost:?}");
        assert!(lost[2] < 40.0, "what it shows is still there: {lost:?}");
    }

    #[test]
    fn what_comes_back_lies_where_it_lay_although_the_frame_before_lay_elsewhere() {
        let picture = picture(128, 96);
        let through = Video { quantiser: 30, motion_px: [5, -3] }.apply(&picture).unwrap();
        let off = |x: i64, y: i64| {
            difference(&through.crop(8 + x, 8 + y, 112, 80, [0; 3]), &picture.crop(8, 8, 112, 80, [0; 3]))
        };
        let around = (-6..=6_i64).flat_map(|y| (-6..=6_i64).map(move |x| [x, y]));
        let nearest = around.min_by(|a, b| off(a[0], a[1]).total_cmp(&off(b[0], b[1])));
        assert_eq!(nearest, Some([0, 0]));
    }

    #[test]
    fn odd_sides_keep_their_last_line() {
        let picture = picture(65, 33);
        let through = Video { quantiser: 30, motion_px: [0, 0] }.apply(&picture).unwrap();
        assert_eq!((through.width(), through.height()), (65, 33));
        assert_eq!(through.pixel(64, 32), picture.pixel(64, 32));
        assert!(difference(&through, &picture) > 0.5);
    }
}
