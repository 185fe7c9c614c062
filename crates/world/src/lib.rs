//! A made world with known truth: towns, satellite renders, drone flights with video and telemetry.
