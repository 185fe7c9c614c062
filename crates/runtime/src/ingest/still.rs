//! A camera that has frozen keeps sending, with times that advance: only the picture tells.

use bytes::Bytes;

/// Watches for pictures that are identical to the bit. Sensor noise makes that impossible while a camera lives.
pub struct StillWatch {
    still_frames_max: u32,
    identical: u32,
    previous: Bytes,
}

impl StillWatch {
    /// Makes a watch that calls the camera frozen from the `still_frames_max`-th identical picture on.
    pub fn new(still_frames_max: u32) -> Self {
        Self { still_frames_max, identical: 1, previous: Bytes::new() }
    }

    /// Takes the next picture and says whether the camera is frozen. Pictures that differ are told apart at their first
    /// different byte, so a live camera costs next to nothing.
    pub fn is_frozen(&mut self, picture: &Bytes) -> bool {
        self.identical = if *picture == self.previous { self.identical.saturating_add(1) } else { 1 };
        self.previous = picture.clone();
        self.identical >= self.still_frames_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thirtieth_identical_picture_is_frozen_and_the_next_different_one_is_not() {
        let mut watch = StillWatch::new(30);
        let picture = |byte: u8| Bytes::from(vec![byte; 64]);
        assert!((1..30).all(|_| !watch.is_frozen(&picture(7))));
        assert!(watch.is_frozen(&picture(7)));
        assert!(watch.is_frozen(&picture(7)));
        assert!(!watch.is_frozen(&picture(8)));
    }
}
