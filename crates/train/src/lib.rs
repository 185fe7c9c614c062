//! Trains SMGeo and produces engine packages.
