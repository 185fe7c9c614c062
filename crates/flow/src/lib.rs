//! How work moves: latest-wins slot, stage, heartbeat, stop token, clock. Knows no domain.
