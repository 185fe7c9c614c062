//! What ground is made of: two colours mixed by noise at several scales, and sometimes a pattern. Nothing in a real
//! aerial picture is one flat colour; this is where the variety comes from.

use crate::noise::Noise;
use crate::style::Rgb;

/// A kind of ground.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Material {
    pub(crate) colours: [Rgb; 2],
    /// How strongly fine noise changes brightness (a fraction).
    pub(crate) grain: f32,
    /// How far blotches of metres mix the two colours.
    pub(crate) mottle: f32,
    /// How far blotches of tens of metres mix the two colours.
    pub(crate) drift: f32,
    /// How much of it turns with the season, 0 to 1.
    pub(crate) plant: f32,
    pub(crate) opacity: f32,
    pub(crate) pattern: Pattern,
}

/// A regular pattern on top.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pattern {
    None,
    /// Alternating bands across a direction (radians from east).
    Stripes {
        angle_rad: f32,
        period_m: f32,
        gain: f32,
    },
    /// Dark joints of a slab floor.
    Joints {
        angle_rad: f32,
        period_m: f32,
        gain: f32,
    },
}

impl Material {
    /// One colour with a little grain.
    pub(crate) fn plain(rgb: Rgb) -> Material {
        let second = rgb.map(|channel| channel * 0.9);
        Material {
            colours: [rgb, second],
            grain: 0.05,
            mottle: 0.35,
            drift: 0.2,
            plant: 0.0,
            opacity: 1.0,
            pattern: Pattern::None,
        }
    }

    /// Growing ground between two colours.
    pub(crate) fn grown(colours: [Rgb; 2]) -> Material {
        Material { colours, grain: 0.13, mottle: 0.45, drift: 0.45, plant: 1.0, opacity: 1.0, pattern: Pattern::None }
    }

    /// The same with the given noise.
    pub(crate) fn noise(self, grain: f32, mottle: f32, drift: f32) -> Material {
        Material { grain, mottle, drift, ..self }
    }

    /// The same with a pattern.
    pub(crate) fn with(self, pattern: Pattern) -> Material {
        Material { pattern, ..self }
    }

    /// The same, see-through.
    pub(crate) fn opacity(self, opacity: f32) -> Material {
        Material { opacity, ..self }
    }

    /// The colour at (east, north), and how much of it is plant in the fourth channel as 0 to 255.
    #[inline(always)]
    pub(crate) fn at(&self, noise: &Noise, texel_m: f32, x: i32, y: i32) -> [f32; 4] {
        let (east, north) = (x as f32 * texel_m, y as f32 * texel_m);
        // Blotch tables are read at 0.25 m and at 2 m a cell.
        let mottle = noise.mottle((east * 4.0) as i32, (north * 4.0) as i32);
        let drift = noise.mottle((east * 0.7) as i32 + 91, (north * 0.7) as i32 + 37);
        let mix = (0.5 + self.mottle * mottle + self.drift * drift).clamp(0.0, 1.0);
        let mut gain = 1.0 + self.grain * noise.grain(x, y);
        match self.pattern {
            Pattern::None => {}
            Pattern::Stripes { angle_rad, period_m, gain: depth } => {
                let (sin, cos) = angle_rad.sin_cos();
                let phase = (east * cos + north * sin) / period_m;
                gain *= if phase - phase.floor() < 0.5 { 1.0 + depth } else { 1.0 - depth };
            }
            Pattern::Joints { angle_rad, period_m, gain: depth } => {
                let (sin, cos) = angle_rad.sin_cos();
                let (s, t) = ((east * cos + north * sin) / period_m, (north * cos - east * sin) / period_m);
                let joint = 0.2 / period_m;
                if s - s.floor() < joint || t - t.floor() < joint {
                    gain *= 1.0 - depth;
                }
            }
        }
        let [a, b] = self.colours;
        let channel = |c: usize| (a[c] + (b[c] - a[c]) * mix) * gain;
        [channel(0), channel(1), channel(2), self.plant * 255.0]
    }
}
