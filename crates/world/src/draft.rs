//! A town while it is being drawn: what has been painted, built, planted and named so far. The files `houses`,
//! `blocks`, `roads` and `nature` add to it; `town` makes it final.

use crate::building::{Roof, Wing};
use crate::dice::Dice;
use crate::material::{Material, Pattern};
use crate::mesh::{Builder, Finish, NO_OBJECT};
use crate::object::ObjectKind;
use crate::paint::Paint;
use crate::place::Place;
use crate::relief::Relief;
use crate::style::{Rgb, Style};
use crate::tree;

/// Paint layers, lowest first.
pub(crate) mod layer {
    pub(crate) const FIELD: u8 = 0;
    pub(crate) const BLOCK: u8 = 1;
    pub(crate) const LOT: u8 = 2;
    pub(crate) const PATH: u8 = 3;
    pub(crate) const WATER: u8 = 4;
    pub(crate) const PAVEMENT: u8 = 5;
    pub(crate) const ROAD: u8 = 6;
    pub(crate) const ISLAND: u8 = 7;
    pub(crate) const MARKING: u8 = 8;
}

/// A place where a car may stand or drive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stall {
    pub(crate) place: Place,
    pub(crate) z: f32,
    /// How often a car is there.
    pub(crate) share: f32,
    pub(crate) lorry: bool,
}

/// An object before it has a place on the Earth.
pub(crate) struct Named {
    pub(crate) kind: ObjectKind,
    pub(crate) footprint: Vec<[f32; 2]>,
    pub(crate) height: f32,
}

/// Everything drawn so far.
pub(crate) struct Draft<'a> {
    pub(crate) style: &'a Style,
    pub(crate) relief: &'a Relief,
    pub(crate) dice: Dice,
    pub(crate) paints: Vec<Paint>,
    pub(crate) builder: Builder,
    pub(crate) objects: Vec<Named>,
    pub(crate) stalls: Vec<Stall>,
    /// Circles nothing is built in.
    pub(crate) kept_clear: Vec<([f32; 2], f32)>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(seed: u64, style: &'a Style, relief: &'a Relief) -> Draft<'a> {
        Draft {
            style,
            relief,
            dice: Dice::new(seed, "town"),
            paints: Vec::new(),
            builder: Builder::new(),
            objects: Vec::new(),
            stalls: Vec::new(),
            kept_clear: Vec::new(),
        }
    }

    /// Paints an outline.
    pub(crate) fn paint(&mut self, layer: u8, outline: Vec<[f32; 2]>, material: Material) {
        self.paints.push(Paint { layer, outline, material });
    }

    /// Names an object; faces added next belong to it.
    pub(crate) fn object(&mut self, kind: ObjectKind, footprint: Vec<[f32; 2]>, height: f32) {
        let id = self.objects.len() as u32;
        self.objects.push(Named { kind, footprint, height });
        let seed = self.dice.seed();
        self.builder.begin(id, seed);
    }

    /// Faces added next belong to no object.
    pub(crate) fn no_object(&mut self) {
        let seed = self.dice.seed();
        self.builder.begin(NO_OBJECT, seed);
    }

    /// Names a building made of wings and adds its faces.
    pub(crate) fn building(&mut self, kind: ObjectKind, wings: &[Wing]) {
        let footprint = match wings {
            [one] => one.roof_outline(),
            _ => union_outline(wings),
        };
        self.building_with(kind, footprint, wings);
    }

    /// The same with a footprint that the wings alone do not say.
    pub(crate) fn building_with(&mut self, kind: ObjectKind, footprint: Vec<[f32; 2]>, wings: &[Wing]) {
        let at = wings[0].place.at;
        let ground = self.relief.height(at[0], at[1]);
        let height = wings.iter().map(Wing::top).fold(f32::MIN, f32::max) - ground;
        self.object(kind, footprint, height);
        for wing in wings {
            wing.add(&mut self.builder);
            // A dark, damp strip where the wall meets the ground.
            let skirt = wing.place.centred(0.0, 0.0, wing.width + 0.9, wing.depth + 0.9);
            let soil = Material::plain([70.0, 66.0, 58.0]).opacity(0.45);
            self.paint(layer::PATH, skirt, soil);
        }
    }

    /// A wing that stands on the ground under it.
    pub(crate) fn wing(
        &self,
        place: Place,
        size: (f32, f32),
        eave: f32,
        roof: Roof,
        looks: [(Finish, Rgb); 2],
    ) -> Wing {
        let outline = place.centred(0.0, 0.0, size.0, size.1);
        let (low, high) = self.relief.span(&outline);
        Wing {
            place,
            width: size.0,
            depth: size.1,
            foot: low - 1.0,
            eave: (low + high) / 2.0 + eave,
            roof,
            pitch: 0.0,
            roof_look: looks[0],
            wall_look: looks[1],
        }
    }

    /// Plants a tree of the town's mix.
    pub(crate) fn tree(&mut self, at: [f32; 2]) {
        if self.is_clear(at, 1.0) {
            let z = self.relief.height(at[0], at[1]);
            tree::plant(&mut self.builder, &mut self.dice, &self.style.plants, at, z);
        }
    }

    /// Plants a tree of a kind.
    pub(crate) fn tree_of(&mut self, kind: tree::Kind, at: [f32; 2]) {
        if self.is_clear(at, 1.0) {
            let z = self.relief.height(at[0], at[1]);
            tree::plant_kind(&mut self.builder, &mut self.dice, &self.style.plants, kind, at, z);
        }
    }

    /// Marks where a car may be.
    pub(crate) fn stall(&mut self, place: Place, share: f32, lorry: bool) {
        let z = self.relief.height(place.at[0], place.at[1]);
        self.stalls.push(Stall { place, z, share, lorry });
    }

    /// True where nothing has to stay clear.
    pub(crate) fn is_clear(&self, at: [f32; 2], margin: f32) -> bool {
        self.kept_clear.iter().all(|(centre, radius)| (at[0] - centre[0]).hypot(at[1] - centre[1]) > radius + margin)
    }

    /// The lawn of this town, varied.
    pub(crate) fn lawn(&mut self) -> Material {
        let [a, b] = self.style.palette.grass;
        let lean = self.dice.range(-0.5, 0.7);
        let mixed: Rgb = std::array::from_fn(|c| a[c] + (b[c] - a[c]) * lean);
        let first = self.dice.shade(mixed, 0.1);
        Material::grown([first, self.dice.shade(b, 0.1)])
    }

    /// Concrete slabs along a frame.
    pub(crate) fn slabs(&mut self, place: &Place, period_m: f32) -> Material {
        let rgb = self.dice.shade(self.style.palette.concrete, 0.1);
        Material::plain(rgb).with(Pattern::Joints { angle_rad: place.angle_rad(), period_m, gain: 0.12 })
    }

    /// Worn asphalt.
    pub(crate) fn asphalt(&mut self) -> Material {
        let rgb = self.dice.shade(self.style.palette.asphalt, 0.1);
        Material { colours: [rgb, rgb.map(|c| c * 0.84)], ..Material::plain(rgb) }.noise(0.07, 0.35, 0.6)
    }

    /// Road paint.
    pub(crate) fn marking(&self, rgb: Rgb) -> Material {
        Material::plain(rgb).opacity(0.82).noise(0.1, 0.3, 0.2)
    }
}

/// The outline of two wings that meet in an L: the second joins the first on its `front` or back side. The corners of the
/// second that lie inside the first are replaced by where the two outlines meet.
fn union_outline(wings: &[Wing]) -> Vec<[f32; 2]> {
    let (main, side) = (&wings[0], &wings[1]);
    let local = |p: [f32; 2]| {
        let (de, dn) = (p[0] - main.place.at[0], p[1] - main.place.at[1]);
        [de * main.place.right[0] + dn * main.place.right[1], dn * main.place.right[0] - de * main.place.right[1]]
    };
    let bounds = |outline: Vec<[f32; 2]>| {
        outline.into_iter().map(local).fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |b, [x, y]| {
            [b[0].min(x), b[1].min(y), b[2].max(x), b[3].max(y)]
        })
    };
    let [x0, y0, x1, y1] = bounds(main.roof_outline());
    let [sx0, sy0, sx1, sy1] = bounds(side.roof_outline());
    let (sx0, sx1) = (sx0.max(x0), sx1.min(x1));
    let points = if sy1 > y1 {
        vec![[x0, y0], [x1, y0], [x1, y1], [sx1, y1], [sx1, sy1], [sx0, sy1], [sx0, y1], [x0, y1]]
    } else {
        vec![[x0, y0], [sx0, y0], [sx0, sy0], [sx1, sy0], [sx1, y0], [x1, y0], [x1, y1], [x0, y1]]
    };
    points.into_iter().map(|[x, y]| main.place.point(x, y)).collect()
}
