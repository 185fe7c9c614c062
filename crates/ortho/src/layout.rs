//! What the samples of a pixel are.

use tiff::ColorType;

/// Is the kind of a picture's samples, all of 8 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layout {
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
    /// With bands that are no transparency: near infrared, as a rule.
    RgbAndMore(usize),
    YCbCr,
}

impl Layout {
    /// Returns the layout of a TIFF's colours, where it is one that is read. `has_bands` says that a fourth sample is none of
    /// transparency.
    pub fn of(colour: ColorType, has_bands: bool) -> Option<Self> {
        match colour {
            ColorType::Gray(8) => Some(Self::Gray),
            ColorType::GrayA(8) => Some(Self::GrayAlpha),
            ColorType::RGB(8) => Some(Self::Rgb),
            ColorType::RGBA(8) if has_bands => Some(Self::RgbAndMore(4)),
            ColorType::RGBA(8) => Some(Self::Rgba),
            ColorType::Multiband { bit_depth: 8, num_samples } if num_samples >= 3 => {
                Some(Self::RgbAndMore(usize::from(num_samples)))
            }
            ColorType::YCbCr(8) => Some(Self::YCbCr),
            _ => None,
        }
    }

    /// Returns the samples of a pixel.
    pub fn samples(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb | Self::YCbCr => 3,
            Self::Rgba => 4,
            Self::RgbAndMore(samples) => samples,
        }
    }

    /// Returns the colour of a pixel; nothing where it is transparent.
    pub fn colour(self, samples: &[u8]) -> Option<[u8; 3]> {
        match (self, samples) {
            (Self::Gray, [gray]) => Some([*gray; 3]),
            (Self::GrayAlpha, [gray, alpha]) => (*alpha > 0).then_some([*gray; 3]),
            (Self::Rgb, [red, green, blue]) => Some([*red, *green, *blue]),
            (Self::RgbAndMore(_), [red, green, blue, ..]) => Some([*red, *green, *blue]),
            (Self::Rgba, [red, green, blue, alpha]) => (*alpha > 0).then_some([*red, *green, *blue]),
            (Self::YCbCr, [y, cb, cr]) => Some(rgb_of_ycbcr(*y, *cb, *cr)),
            _ => None,
        }
    }
}

/// Full-range BT.601, as JPEG has it.
fn rgb_of_ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb]
        .map(|value| value.round().clamp(0.0, 255.0) as u8)
}
