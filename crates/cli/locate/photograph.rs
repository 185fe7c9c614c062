//! A picture file, and what a drone's camera wrote into it about how it was taken.

use std::path::Path;

use anyhow::{Context, ensure};
use exif::{Exif, In, Tag};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};
use roxmltree::Document;
use smgeo_engine::pose_search::TILT_DEG_MAX;

// A picture beyond this is a mistake or an attack on memory; the engine searches 16,384 px at most.
const PICTURE_EDGE_PX_MAX: u32 = 1 << 15;
const PICTURE_BYTES_MAX: u64 = 1 << 30;

/// A picture.
pub struct Photograph {
    /// Its pixels.
    pub picture: RgbImage,
    /// Where the camera says it looked, if it does.
    pub gimbal: Option<Gimbal>,
    /// How high over its place of take-off the drone says it flew, metres.
    pub height_m: Option<f64>,
    /// Horizontal field of view that follows from the focal length, degrees.
    pub field_of_view_deg: Option<f64>,
}

/// Diagonal of a frame of 35 mm film, to which equivalent focal lengths refer, millimetres (CIPA DCG-001).
const FILM_DIAGONAL_MM: f64 = 43.27;

/// Lower, the ground need not be where the drone took off; higher, no drone flies.
const HEIGHT_M_MIN: f64 = 10.0;
const HEIGHT_M_MAX: f64 = 10_000.0;

/// Sides of a picture that was cut differ from what its camera wrote by more than this share.
const CUT_SHARE: f64 = 0.01;

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
        let xmp = decoder.xmp_metadata().ok().flatten().unwrap_or_default();
        let exif = decoder.exif_metadata().ok().flatten().and_then(|exif| exif::Reader::new().read_raw(exif).ok());
        let upright = decoder.orientation().with_context(failed)?;
        let mut picture = DynamicImage::from_decoder(decoder).with_context(failed)?;
        let sides_px = [picture.width(), picture.height()].map(f64::from);
        // A click is where a person sees it.
        picture.apply_orientation(upright);
        let shown_width_px = f64::from(picture.width());
        let degrees = |focal_px: f64| 2.0 * (shown_width_px / 2.0 / focal_px).atan().to_degrees();
        let field_of_view_deg = exif.and_then(|exif| focal_px(&exif, sides_px)).map(degrees);
        let (gimbal, height_m) = Xmp::read(&xmp).map_or((None, None), |xmp| (xmp.gimbal(), xmp.height_m()));
        Ok(Photograph { picture: picture.into_rgb8(), gimbal, height_m, field_of_view_deg })
    }
}

/// The focal length of a camera that wrote its 35 mm equivalent, pixels of its picture, unless that was cut since.
fn focal_px(exif: &Exif, [width_px, height_px]: [f64; 2]) -> Option<f64> {
    let number = |tag| Some(f64::from(exif.get_field(tag, In::PRIMARY)?.value.get_uint(0)?));
    if let (Some(width), Some(height)) = (number(Tag::PixelXDimension), number(Tag::PixelYDimension))
        && (width * height_px / (height * width_px) - 1.0).abs() > CUT_SHARE
    {
        return None;
    }
    let equivalent_mm = number(Tag::FocalLengthIn35mmFilm).filter(|focal_mm| *focal_mm > 0.0)?;
    Some(equivalent_mm / FILM_DIAGONAL_MM * width_px.hypot(height_px))
}

/// What DJI's cameras write (DJI, "Media File Metadata White Paper", part 2), as attributes or as elements: both are XMP.
struct Xmp<'a>(Document<'a>);

impl Xmp<'_> {
    fn read(bytes: &[u8]) -> Option<Xmp<'_>> {
        Some(Xmp(Document::parse(std::str::from_utf8(bytes).ok()?.trim_matches('\0')).ok()?))
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.0.descendants().find_map(|node| {
            let attribute = node.attributes().find(|attribute| attribute.name() == name);
            let element = (node.tag_name().name() == name).then(|| node.text()).flatten();
            attribute.map(|attribute| attribute.value()).or(element)?.trim().parse::<f64>().ok()
        })
    }

    /// Axes are north, east, down, so a pitch of -90 looks straight down. A camera that looks further up than poses are tried says
    /// nothing of use: what was clicked lies far below its axis.
    fn gimbal(&self) -> Option<Gimbal> {
        let (yaw_deg, pitch_deg) = (self.number("GimbalYawDegree")?, self.number("GimbalPitchDegree")?);
        let tilt_deg = 90.0 + pitch_deg;
        let looks_down = (-5.0..=TILT_DEG_MAX).contains(&tilt_deg) && yaw_deg.abs() <= 360.0;
        looks_down.then_some(Gimbal { heading_deg: yaw_deg, tilt_deg: tilt_deg.max(0.0) })
    }

    fn height_m(&self) -> Option<f64> {
        self.number("RelativeAltitude").filter(|height_m| (HEIGHT_M_MIN..HEIGHT_M_MAX).contains(height_m))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use exif::experimental::Writer;
    use exif::{Field, Value};

    use super::*;

    const ATTRIBUTES: &str = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
        <rdf:Description xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" drone-dji:RelativeAltitude="+61.30"
            drone-dji:GimbalYawDegree="-154.70" drone-dji:GimbalPitchDegree="-60.00"/></rdf:RDF></x:xmpmeta>"#;
    const ELEMENTS: &str = r#"<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:d="http://www.dji.com/drone-dji/1.0/">
        <rdf:Description><d:GimbalYawDegree>12.5</d:GimbalYawDegree><d:GimbalPitchDegree>-90.1</d:GimbalPitchDegree></rdf:Description>
        </rdf:RDF>"#;

    #[test]
    fn a_gimbals_angles_are_read_in_either_form_of_xmp() {
        let read = |text: &'static str| Xmp::read(text.as_bytes()).unwrap();
        assert_eq!(read(ATTRIBUTES).gimbal(), Some(Gimbal { heading_deg: -154.7, tilt_deg: 30.0 }));
        assert_eq!(read(ELEMENTS).gimbal(), Some(Gimbal { heading_deg: 12.5, tilt_deg: 0.0 }));
        assert_eq!((read(ATTRIBUTES).height_m(), read(ELEMENTS).height_m()), (Some(61.3), None));
    }

    #[test]
    fn what_says_nothing_of_use_is_left_out() {
        for text in [
            "",
            "<not xml",
            "<a/>",
            &ATTRIBUTES.replace("-60.00", "+10.00"),
            &ATTRIBUTES.replace("-60.00", "-9.00"),
            &ATTRIBUTES.replace("-60.00", "NaN"),
            &ATTRIBUTES.replace("GimbalYawDegree", "FlightYawDegree"),
        ] {
            assert_eq!(Xmp::read(text.as_bytes()).and_then(|xmp| xmp.gimbal()), None, "{text}");
        }
        for height in ["-3.00", "0.00", "NaN", "high"] {
            let text = ATTRIBUTES.replace("+61.30", height);
            assert_eq!(Xmp::read(text.as_bytes()).unwrap().height_m(), None, "{height}");
        }
    }

    fn photo(file: &str, fields: &[(Tag, u16)]) -> (tempfile::TempDir, std::path::PathBuf) {
        let fields: Vec<Field> = fields
            .iter()
            .map(|(tag, number)| Field { tag: *tag, ifd_num: In::PRIMARY, value: Value::Short(vec![*number]) })
            .collect();
        let mut writer = Writer::new();
        fields.iter().for_each(|field| writer.push_field(field));
        let mut exif = Cursor::new(Vec::new());
        writer.write(&mut exif, false).unwrap();
        let mut jpeg = Cursor::new(Vec::new());
        RgbImage::new(400, 300).write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
        let segment = [b"Exif\0\0", exif.get_ref().as_slice()].concat();
        let length = (segment.len() as u16 + 2).to_be_bytes();
        let jpeg = jpeg.get_ref();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        std::fs::write(&path, [&jpeg[..2], &[0xFF, 0xE1], &length, &segment, &jpeg[2..]].concat()).unwrap();
        (folder, path)
    }

    #[test]
    fn the_field_of_view_follows_from_the_focal_length_unless_the_picture_was_cut() {
        let (focal, width, height) = (Tag::FocalLengthIn35mmFilm, Tag::PixelXDimension, Tag::PixelYDimension);
        for (fields, expected) in [
            (&[(focal, 24)][..], Some(71.6)),
            (&[(focal, 24), (width, 4000), (height, 3000)], Some(71.6)),
            (&[(focal, 24), (width, 4000), (height, 2250)], None),
            (&[(focal, 0)], None),
            (&[(focal, 24), (Tag::Orientation, 6)], Some(56.8)),
        ] {
            let (_folder, path) = photo("photo.jpg", fields);
            let found = Photograph::open(&path).unwrap().field_of_view_deg;
            let near = |(found, expected): (f64, f64)| (found - expected).abs() < 0.1;
            assert_eq!(found.is_some(), expected.is_some(), "{fields:?}");
            assert!(found.zip(expected).is_none_or(near), "{fields:?}: {found:?}");
        }
    }

    #[test]
    fn a_picture_is_turned_as_its_camera_was_held() {
        let (_folder, path) = photo("photo.jpg", &[(Tag::Orientation, 6)]);
        assert_eq!(Photograph::open(&path).unwrap().picture.dimensions(), (300, 400));
    }
}
