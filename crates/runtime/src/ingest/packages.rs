//! Which Debian package has which GStreamer element, so that an error names the way out.

use gstreamer as gst;

use super::IngestError;

const ELEMENTS: [(&str, &str); 30] = [
    ("appsink", "gstreamer1.0-plugins-base"),
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("avdec_h264", "gstreamer1.0-libav"),
    ("clocksync", "libgstreamer1.0-0"),
    ("decodebin", "gstreamer1.0-plugins-base"),
    ("filesrc", "libgstreamer1.0-0"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("identity", "libgstreamer1.0-0"),
    ("jpegdec", "gstreamer1.0-plugins-good"),
    ("mp4mux", "gstreamer1.0-plugins-good"),
    ("nvh264dec", "gstreamer1.0-plugins-bad"),
    ("nvv4l2decoder", "nvidia-l4t-gstreamer"),
    ("nvvidconv", "nvidia-l4t-gstreamer"),
    ("openh264dec", "gstreamer1.0-plugins-bad"),
    ("parsebin", "gstreamer1.0-plugins-base"),
    ("qtdemux", "gstreamer1.0-plugins-good"),
    ("queue", "libgstreamer1.0-0"),
    ("rtpbin", "gstreamer1.0-plugins-good"),
    ("rtph264depay", "gstreamer1.0-plugins-good"),
    ("rtph264pay", "gstreamer1.0-plugins-good"),
    ("rtpjitterbuffer", "gstreamer1.0-plugins-good"),
    ("rtspsrc", "gstreamer1.0-plugins-good"),
    ("typefind", "libgstreamer1.0-0"),
    ("udpsrc", "gstreamer1.0-plugins-good"),
    ("v4l2h264dec", "gstreamer1.0-plugins-good"),
    ("v4l2src", "gstreamer1.0-plugins-good"),
    ("vah264dec", "gstreamer1.0-plugins-bad"),
    ("videoconvert", "gstreamer1.0-plugins-base"),
    ("videotestsrc", "gstreamer1.0-plugins-base"),
    ("x264enc", "gstreamer1.0-plugins-ugly"),
];

/// Starts GStreamer, once per process, and checks that the elements are there.
pub fn require(elements: &[&str]) -> Result<(), IngestError> {
    gst::init().map_err(|error| IngestError::Gstreamer(error.to_string()))?;
    elements.iter().try_for_each(|element| match gst::ElementFactory::find(element) {
        Some(_) => Ok(()),
        None => Err(IngestError::MissingElement { element: (*element).to_owned(), package: package_of(element) }),
    })
}

/// Checks that a decoder in gst-launch notation can be made, after [`require`]. Nothing is decoded.
pub fn require_decoder(decoder: &str) -> Result<(), IngestError> {
    let mut context = gst::ParseContext::new();
    let flags = gst::ParseFlags::FATAL_ERRORS;
    let made = gst::parse::bin_from_description_full(decoder, true, Some(&mut context), flags);
    let problem = match (context.missing_elements().first(), made) {
        (Some(element), _) => {
            let package = package_of(element);
            format!("gstreamer has no element {element}: correct the name, or install the Debian package {package}")
        }
        (None, Err(error)) => format!("{error}; write it as gst-launch takes it"),
        (None, Ok(_)) => return Ok(()),
    };
    Err(IngestError::Decoder { decoder: decoder.to_owned(), problem })
}

/// Names the Debian package that has an element.
pub fn package_of(element: &str) -> &'static str {
    let known = ELEMENTS.iter().find(|(name, _)| *name == element);
    known.map_or("that provides it (apt-file search, or gstreamer1.0-plugins-bad)", |(_, package)| package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_element_is_named_with_its_package() {
        let error = require(&["no_such_element"]).expect_err("there is no such element");
        assert!(error.to_string().contains("no_such_element"), "{error}");
        assert_eq!(package_of("avdec_h264"), "gstreamer1.0-libav");
    }
}
