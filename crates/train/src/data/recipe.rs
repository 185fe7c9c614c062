//! What training batches are made of: shares of the sources, window and query counts, how wrong poses are.

use serde::{Deserialize, Serialize};

/// The recipe of a batch. Every number is a share, a count or a range; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// Rows of tiles in a window.
    pub rows: usize,
    /// Columns of tiles in a window.
    pub columns: usize,
    /// Query crops a step.
    pub queries: usize,
    /// Clicks a query; the first is the crop's middle.
    pub clicks_per_query: usize,
    /// Share of steps on aerial places of several dates.
    pub share_naip: f64,
    /// Share of steps on continuous satellite scenes.
    pub share_dubai: f64,
    /// Share of steps on made towns.
    pub share_town: f64,
    /// Share of queries whose object is not in the window.
    pub absent: f64,
    /// Share of queries with hardly any telemetry.
    pub raw: f64,
    /// Share of queries rectified by a pose that is altogether wrong: nothing in the window is to be found for them. A search over
    /// poses (`engine::pose_search`) asks mostly such questions.
    pub mistaken: f64,
    /// Share of queries that are a piece of the frame as the camera took it, whatever its heading and tilt.
    pub unposed: f64,
    /// Share of views of flat imagery on which roofs and trees are given heights, so that they lean.
    pub relief: f64,
    /// Share of views of flat imagery that show it mirrored beyond its border, where the others are black: where a place is one tile,
    /// black tells where the tile ends, which no flight does.
    pub mirrored: f64,
    /// Share of crops centred on an object where there is one; the others are centred anywhere.
    pub on_object: f64,
    /// Share of these objects whose class is drawn first, evenly among those in view: most objects of a town are houses.
    pub even_classes: f64,
    /// Strength of colour changes, 1 is usual, 0 is none.
    pub look: f32,
    /// Window pixels a ground pixel, lowest and highest, for aerial places.
    pub zoom_naip: [f64; 2],
    /// The same for satellite scenes, which are coarser.
    pub zoom_dubai: [f64; 2],
    /// The same for towns.
    pub zoom_town: [f64; 2],
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            rows: 2,
            columns: 4,
            queries: 8,
            clicks_per_query: 12,
            share_naip: 0.35,
            share_dubai: 0.15,
            share_town: 0.5,
            absent: 0.1,
            raw: 0.2,
            mistaken: 0.0,
            unposed: 0.0,
            relief: 0.8,
            mirrored: 0.8,
            on_object: 0.5,
            even_classes: 0.5,
            look: 1.0,
            zoom_naip: [1.0, 1.25],
            zoom_dubai: [0.9, 1.5],
            zoom_town: [0.9, 1.25],
        }
    }
}
