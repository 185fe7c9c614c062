//! A picture file, and what a drone's camera wrote into it about where it looked.

use std::path::Path;

use anyhow::{Context, ensure};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};
use roxmltree::Document;

// A picture beyond this is a mistake or an attack on memory; the engine searches 16,384 px at most.
const PICTURE_EDGE_PX_MAX: u32 = 1 << 15;
const PICTURE_BYTES_MAX: u64 = 1 << 30;

/// A picture.
pub struct Photograph {
    /// Its pixels.
    pub picture: RgbImage,
    /// Where the camera says it looked, if it does.
    pub gimbal: Option<Gimbal>,
}

/// Where a gimbal pointed the camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gimbal {
    /// Clockwise from north, degrees.
    pub heading_deg: f64,
    /// From straight down, degrees.
    pub tilt_deg: f64,
}

impl Photograph {
    /// Reads a JPEG, PNG, WebP or TIFF file.
    pub fn open(path: &Path) -> anyhow::Result<Photograph> {
        let failed = || format!("reading the picture {} (JPEG, PNG, WebP or TIFF)", path.display());
        let mut reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).with_context(failed)?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(PICTURE_EDGE_PX_MAX);
        limits.max_image_height = Some(PICTURE_EDGE_PX_MAX);
        limits.max_alloc = Some(PICTURE_BYTES_MAX);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().with_context(failed)?;
        let bytes = decoder.total_bytes();
        ensure!(
            bytes <= PICTURE_BYTES_MAX,
            "{}: it takes {bytes} bytes, at most {PICTURE_BYTES_MAX} are read",
            failed()
        );
        // Metadata that cannot be read is metadata that is not there.
        let gimbal = decoder.xmp_metadata().ok().flatten().and_then(|xmp| Gimbal::of_xmp(&xmp));
        let picture = DynamicImage::from_decoder(decoder).with_context(failed)?.into_rgb8();
        Ok(Photograph { picture, gimbal })
    }
}

impl Gimbal {
    /// Reads what DJI's cameras write (`drone-dji:GimbalYawDegree`, `GimbalPitchDegree`: axes north, east, down, so -90 looks straight
    /// down; DJI, "Media File Metadata White Paper", part 2). As attributes or as elements: both are XMP.
    fn of_xmp(xmp: &[u8]) -> Option<Gimbal> {
        let document = Document::parse(std::str::from_utf8(xmp).ok()?.trim_matches('\0')).ok()?;
        let number = |name: &str| {
            document.descendants().find_map(|node| {
                let attribute = node.attributes().find(|attribute| attribute.name() == name);
                let element = (node.tag_name().name() == name).then(|| node.text()).flatten();
                attribute.map(|attribute| attribute.value()).or(element)?.trim().parse::<f64>().ok()
            })
        };
        let (yaw_deg, pitch_deg) = (number("GimbalYawDegree")?, number("GimbalPitchDegree")?);
        let tilt_deg = 90.0 + pitch_deg;
        let looks_down = (-5.0..90.0).contains(&tilt_deg) && yaw_deg.abs() <= 360.0;
        looks_down.then_some(Gimbal { heading_deg: yaw_deg, tilt_deg: tilt_deg.max(0.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTRIBUTES: &str = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
        <rdf:Description xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" drone-dji:GimbalRollDegree="+0.00"
            drone-dji:GimbalYawDegree="-154.70" drone-dji:GimbalPitchDegree="-60.00"/></rdf:RDF></x:xmpmeta>"#;
    const ELEMENTS: &str = r#"<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:d="http://www.dji.com/drone-dji/1.0/">
        <rdf:Description><d:GimbalYawDegree>12.5</d:GimbalYawDegree><d:GimbalPitchDegree>-90.1</d:GimbalPitchDegree></rdf:Description>
        </rdf:RDF>"#;

    #[test]
    fn a_gimbals_angles_are_read_in_either_form_of_xmp() {
        let read = |text: &str| Gimbal::of_xmp(text.as_bytes());
        assert_eq!(read(ATTRIBUTES), Some(Gimbal { heading_deg: -154.7, tilt_deg: 30.0 }));
        assert_eq!(read(ELEMENTS), Some(Gimbal { heading_deg: 12.5, tilt_deg: 0.0 }));
    }

    #[test]
    fn what_says_nothing_of_use_is_left_out() {
        for text in [
            "",
            "<not xml",
            "<a/>",
            &ATTRIBUTES.replace("-60.00", "+10.00"),
            &ATTRIBUTES.replace("-60.00", "NaN"),
            &ATTRIBUTES.replace("GimbalYawDegree", "FlightYawDegree"),
        ] {
            assert_eq!(Gimbal::of_xmp(text.as_bytes()), None, "{text}");
        }
    }
}
