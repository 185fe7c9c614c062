//! What SMGeo takes and gives: engine package, backend trait, preprocessing, decoding, the feature cache; the CPU backends.
