//! What makes one town look unlike another: climate, palette, how the streets run, what stands on the blocks. A style is
//! one of a few regions of the world, loosened at random, so that two towns of one region still differ.

use crate::dice::Dice;

/// A colour, sRGB, 0 to 255.
pub(crate) type Rgb = [f32; 3];

/// All the choices that hold for a whole town.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    pub(crate) streets: Streets,
    pub(crate) zones: Zones,
    pub(crate) plants: Plants,
    pub(crate) palette: Palette,
    /// Height between valley and hill, metres.
    pub(crate) relief_m: f32,
    /// Length of a hill, metres.
    pub(crate) hill_m: f32,
}

/// How the streets run.
#[derive(Debug, Clone)]
pub(crate) struct Streets {
    pub(crate) turn_rad: f32,
    /// One over the radius of the fan the streets follow, 1/m; 0 is a straight grid.
    pub(crate) bend_per_m: f32,
    pub(crate) wobble_m: f32,
    pub(crate) wobble_length_m: f32,
    pub(crate) block_long_m: (f32, f32),
    pub(crate) block_short_m: (f32, f32),
    pub(crate) street_m: f32,
    pub(crate) arterial_m: f32,
    pub(crate) pavement_m: f32,
    pub(crate) merge_share: f32,
    pub(crate) river: River,
}

/// The water that crosses the town.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum River {
    None,
    Natural { width_m: f32 },
    Canal { width_m: f32 },
}

/// What stands on the blocks: weights of each use, and how dense.
#[derive(Debug, Clone)]
pub(crate) struct Zones {
    /// Houses, apartments, commerce, sports, park, industry.
    pub(crate) weights: [f32; 6],
    pub(crate) lot_m: (f32, f32),
    pub(crate) pool_share: f32,
    pub(crate) floors: (usize, usize),
    /// Gable, hip, L-shaped gable, L-shaped hip, flat.
    pub(crate) roof_forms: [f32; 5],
    pub(crate) pitch: (f32, f32),
}

/// What grows.
#[derive(Debug, Clone)]
pub(crate) struct Plants {
    pub(crate) density: f32,
    /// Broad crowns, conifers, palms, shrubs.
    pub(crate) kinds: [f32; 4],
    pub(crate) crown_m: (f32, f32),
    pub(crate) greens: Vec<Rgb>,
    /// Share of what is green in summer that turns with the season.
    pub(crate) seasonal: f32,
}

/// Ground and building colours.
#[derive(Debug, Clone)]
pub(crate) struct Palette {
    pub(crate) grass: [Rgb; 2],
    pub(crate) wild: [Rgb; 2],
    pub(crate) soil: Rgb,
    pub(crate) asphalt: Rgb,
    pub(crate) concrete: Rgb,
    pub(crate) water: Rgb,
    pub(crate) crops: Vec<Rgb>,
    pub(crate) roofs: Vec<Rgb>,
    pub(crate) walls: Vec<Rgb>,
}

#[derive(Clone, Copy)]
enum Region {
    Desert,
    Mediterranean,
    Temperate,
    Northern,
    Tropical,
}

impl Style {
    /// Draws a style.
    pub(crate) fn from_seed(seed: u64) -> Style {
        let mut dice = Dice::new(seed, "style");
        let region = dice.pick(&[
            Region::Desert,
            Region::Mediterranean,
            Region::Temperate,
            Region::Temperate,
            Region::Northern,
            Region::Tropical,
        ]);
        let mut palette = palette(region);
        for colour in palette.roofs.iter_mut().chain(&mut palette.walls).chain(&mut palette.crops) {
            *colour = dice.shade(*colour, 0.12);
        }
        let tint = dice.shade([1.0; 3], 0.08);
        for colour in palette.grass.iter_mut().chain(&mut palette.wild) {
            *colour = std::array::from_fn(|c| colour[c] * tint[c]);
        }
        palette.asphalt = dice.shade(palette.asphalt, 0.2);
        palette.water = dice.shade(palette.water, 0.2);
        let streets = streets(&mut dice);
        let relief_m = dice.range(4.0, 26.0);
        let hill_m = dice.range(380.0, 900.0);
        Style { streets, zones: zones(region, &mut dice), plants: plants(region, &mut dice), palette, relief_m, hill_m }
    }
}

fn streets(dice: &mut Dice) -> Streets {
    let bend_per_m = if dice.chance(0.55) { 1.0 / dice.range(1400.0, 3500.0) } else { 0.0 };
    let narrow = dice.range(55.0, 75.0);
    let river = match dice.weighted(&[0.25, 0.5, 0.25]) {
        0 => River::None,
        1 => River::Natural { width_m: dice.range(22.0, 42.0) },
        _ => River::Canal { width_m: dice.range(14.0, 24.0) },
    };
    let wobble_length_m = dice.range(330.0, 900.0);
    Streets {
        turn_rad: dice.range(0.0, std::f32::consts::TAU),
        bend_per_m: if dice.chance(0.5) { bend_per_m } else { -bend_per_m },
        wobble_m: wobble_length_m * dice.range(0.0, 0.045),
        wobble_length_m,
        block_long_m: (dice.range(85.0, 120.0), dice.range(130.0, 190.0)),
        block_short_m: (narrow, narrow + dice.range(10.0, 35.0)),
        street_m: dice.range(6.0, 9.5),
        arterial_m: dice.range(13.0, 18.0),
        pavement_m: dice.range(1.4, 2.8),
        merge_share: dice.range(0.03, 0.18),
        river,
    }
}

fn zones(region: Region, dice: &mut Dice) -> Zones {
    let lot = dice.range(13.0, 24.0);
    let (roof_forms, pitch) = match region {
        Region::Desert => ([0.6, 1.4, 0.4, 1.0, 0.8], (0.25, 0.42)),
        Region::Mediterranean => ([0.9, 1.3, 0.4, 0.7, 0.9], (0.3, 0.5)),
        Region::Temperate => ([1.5, 0.9, 0.8, 0.4, 0.25], (0.6, 1.0)),
        Region::Northern => ([1.8, 0.4, 0.8, 0.2, 0.3], (0.7, 1.1)),
        Region::Tropical => ([0.7, 1.3, 0.3, 0.8, 0.8], (0.35, 0.6)),
    };
    let pool_share = match region {
        Region::Desert => 0.4,
        Region::Mediterranean | Region::Tropical => 0.22,
        Region::Temperate => 0.07,
        Region::Northern => 0.03,
    };
    Zones {
        weights: [
            dice.range(4.0, 8.0),
            dice.range(0.6, 2.4),
            dice.range(0.5, 1.4),
            dice.range(0.5, 1.0),
            dice.range(0.4, 1.1),
            dice.range(0.4, 1.3),
        ],
        lot_m: (lot, lot * dice.range(1.15, 1.5)),
        pool_share: pool_share * dice.range(0.6, 1.4),
        floors: (dice.count(3, 4), dice.count(5, 10)),
        roof_forms: roof_forms.map(|weight| weight * dice.range(0.5, 1.5)),
        pitch,
    }
}

fn plants(region: Region, dice: &mut Dice) -> Plants {
    let (density, kinds, greens, seasonal) = match region {
        Region::Desert => (0.4, [0.8, 0.3, 0.8, 2.0], vec![[92., 102., 62.], [112., 116., 78.], [74., 90., 52.]], 0.1),
        Region::Mediterranean => (
            0.8,
            [1.2, 0.7, 0.4, 1.2],
            vec![[72., 92., 48.], [98., 106., 68.], [56., 80., 44.], [112., 114., 76.]],
            0.3,
        ),
        Region::Temperate => {
            (1.1, [2.0, 0.5, 0.0, 0.7], vec![[66., 96., 42.], [84., 110., 48.], [54., 84., 40.], [98., 116., 58.]], 0.9)
        }
        Region::Northern => {
            (1.2, [1.0, 1.6, 0.0, 0.6], vec![[52., 80., 44.], [42., 68., 42.], [78., 100., 50.], [64., 90., 52.]], 0.7)
        }
        Region::Tropical => (
            1.2,
            [1.6, 0.1, 1.3, 1.0],
            vec![[58., 104., 38.], [84., 122., 46.], [48., 88., 40.], [104., 128., 54.]],
            0.05,
        ),
    };
    let crown = dice.range(2.2, 3.2);
    Plants {
        density: density * dice.range(0.6, 1.4),
        kinds,
        crown_m: (crown, crown * dice.range(1.4, 2.1)),
        greens,
        seasonal,
    }
}

fn palette(region: Region) -> Palette {
    let common = Palette {
        grass: [[92., 112., 60.], [122., 126., 80.]],
        wild: [[96., 108., 66.], [134., 128., 92.]],
        soil: [142., 122., 96.],
        asphalt: [104., 103., 102.],
        concrete: [172., 168., 160.],
        water: [62., 82., 82.],
        crops: vec![[150., 142., 84.], [96., 118., 58.], [122., 100., 74.], [176., 160., 104.], [84., 106., 60.]],
        roofs: vec![[112., 96., 86.], [92., 90., 92.], [136., 122., 108.], [128., 76., 62.], [160., 152., 142.]],
        walls: vec![[206., 196., 178.], [188., 170., 148.], [222., 218., 208.], [168., 152., 138.], [196., 204., 206.]],
    };
    match region {
        Region::Desert => Palette {
            grass: [[116., 124., 74.], [158., 144., 104.]],
            wild: [[172., 148., 116.], [150., 130., 100.]],
            soil: [186., 160., 128.],
            asphalt: [122., 118., 114.],
            crops: vec![[178., 156., 124.], [166., 146., 112.], [110., 122., 72.], [190., 170., 140.]],
            roofs: vec![
                [176., 150., 124.],
                [158., 118., 92.],
                [196., 186., 170.],
                [140., 112., 94.],
                [148., 138., 130.],
            ],
            walls: vec![[214., 192., 160.], [198., 172., 140.], [226., 212., 190.], [180., 150., 124.]],
            ..common
        },
        Region::Mediterranean => Palette {
            grass: [[108., 118., 66.], [148., 138., 92.]],
            wild: [[124., 120., 78.], [152., 138., 100.]],
            soil: [166., 134., 100.],
            roofs: vec![[176., 106., 76.], [186., 122., 90.], [160., 92., 70.], [198., 146., 112.], [196., 188., 178.]],
            walls: vec![[232., 222., 202.], [224., 200., 164.], [240., 236., 228.], [214., 180., 148.]],
            ..common
        },
        Region::Temperate => common,
        Region::Northern => Palette {
            grass: [[84., 106., 58.], [108., 116., 72.]],
            wild: [[80., 98., 58.], [112., 110., 72.]],
            asphalt: [92., 92., 94.],
            water: [46., 60., 66.],
            roofs: vec![[76., 76., 80.], [104., 66., 56.], [88., 84., 78.], [118., 120., 122.], [72., 84., 78.]],
            walls: vec![
                [196., 176., 120.],
                [150., 64., 52.],
                [226., 224., 220.],
                [120., 136., 148.],
                [172., 140., 96.],
            ],
            ..common
        },
        Region::Tropical => Palette {
            grass: [[90., 114., 58.], [118., 126., 72.]],
            wild: [[80., 106., 54.], [124., 118., 70.]],
            soil: [160., 102., 70.],
            water: [86., 96., 72.],
            roofs: vec![
                [156., 78., 60.],
                [120., 132., 138.],
                [178., 172., 164.],
                [92., 110., 122.],
                [140., 104., 84.],
                [96., 122., 104.],
            ],
            walls: vec![[230., 214., 178.], [198., 214., 204.], [238., 234., 224.], [226., 186., 166.]],
            ..common
        },
    }
}
