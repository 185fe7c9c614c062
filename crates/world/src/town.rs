//! A town made from a seed: where everything is, what it looks like without light, and the truth about its objects.

use std::sync::Arc;

use smgeo_geo::{Altitude, Ellipsoid, Geodetic, LatLon, LocalFrame};

use crate::blocks::{self, Yard};
use crate::dice::Dice;
use crate::draft::{Draft, Named, Stall, layer};
use crate::material::Material;
use crate::mesh::Scene;
use crate::object::{BoxEnu, Object, ObjectId};
use crate::paint::GroundTexture;
use crate::relief::Relief;
use crate::streets::{Block, Plan};
use crate::style::Style;
use crate::{houses, nature, roads, sports, tops};

const NEAR_HALF_M: f32 = 640.0;
const NEAR_TEXEL_M: f32 = 0.25;
const FAR_HALF_M: f32 = 2048.0;
const FAR_TEXEL_M: f32 = 2.0;

/// A made town of about 1 km2 in open country, on a tangent plane at an invented but stated place.
///
/// Everything follows from the seed: two towns of one seed are the same to the byte. Coordinates are east, north, up in
/// metres from the origin, which lies on the ground datum of [`Town::frame`].
pub struct Town {
    seed: u64,
    frame: LocalFrame,
    objects: Vec<Object>,
    pub(crate) style: Style,
    pub(crate) relief: Relief,
    pub(crate) scene: Scene,
    pub(crate) near: GroundTexture,
    pub(crate) far: GroundTexture,
    pub(crate) stalls: Vec<Stall>,
    /// Points on the upper side of each object.
    pub(crate) tops: Vec<Vec<[f32; 3]>>,
}

impl Town {
    /// Makes the town of a seed; takes about a second and a half of processor time and 150 MB.
    pub fn from_seed(seed: u64) -> Arc<Town> {
        Town::with_texel(seed, NEAR_TEXEL_M)
    }

    /// The same town with the ground kept at another resolution (held to 0.15 to 2 m a texel): time and memory go with
    /// its inverse square. Everything else is the same.
    pub fn with_texel(seed: u64, texel_m: f32) -> Arc<Town> {
        let texel_m = if texel_m.is_finite() { texel_m.clamp(0.15, 2.0) } else { NEAR_TEXEL_M };
        let style = Style::from_seed(seed);
        let plan = Plan::new(seed, &style);
        let relief = Relief::new(seed, &style, &nature::river_line(&plan));
        let mut draft = Draft::new(seed, &style, &relief);
        let rounds = roads::roundabouts(&mut draft, &plan);
        nature::weathering(&mut draft);
        for block in &plan.blocks {
            fill(&mut draft, &plan, block);
        }
        nature::river(&mut draft, &plan);
        roads::build(&mut draft, &plan, &rounds);
        let Draft { mut paints, builder, objects, stalls, .. } = draft;
        paints.sort_by_key(|paint| paint.layer);
        let base = Material::grown(style.palette.wild);
        let near = GroundTexture::new(NEAR_HALF_M, texel_m, &base, &paints);
        let far = GroundTexture::new(FAR_HALF_M, FAR_TEXEL_M, &base, &paints);
        let frame = LocalFrame::new(origin(seed));
        let objects: Vec<Object> =
            objects.into_iter().enumerate().map(|(id, named)| known(id, named, &frame, &relief)).collect();
        let scene = builder.build();
        let tops = tops::tops(&objects, &scene, &relief);
        Arc::new(Town { seed, frame, objects, scene, near, far, stalls, tops, style, relief })
    }

    /// The seed it was made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The tangent plane all ENU coordinates refer to.
    pub fn frame(&self) -> &LocalFrame {
        &self.frame
    }

    /// Everything an operator may click on; an object's id is its index.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// One object.
    pub fn object(&self, id: ObjectId) -> Option<&Object> {
        self.objects.get(id.0 as usize)
    }

    /// The shape of the ground, heights in metres above the origin.
    pub fn terrain(&self) -> &Relief {
        &self.relief
    }

    /// Half the side of the square that is built on, metres.
    pub fn half_m(&self) -> f64 {
        f64::from(crate::streets::TOWN_HALF_M)
    }

    /// The point on the Earth at ENU metres. `None` never occurs within tens of kilometres of the origin.
    pub fn geodetic(&self, enu_m: [f64; 3]) -> Option<Geodetic> {
        self.frame.geodetic_from(enu_m.into()).ok()
    }
}

/// The invented georeference of a seed: somewhere inland around 34 N, 117 W, 400 to 700 m above the ellipsoid.
fn origin(seed: u64) -> Geodetic {
    let mut dice = Dice::new(seed, "origin");
    let lat = 34.0 + f64::from(dice.range(-0.9, 0.9));
    let lon = -116.5 + f64::from(dice.range(-0.9, 0.9));
    let at = LatLon::new(lat, lon).expect("an invented place is within range");
    Geodetic { at, height: Altitude::<Ellipsoid>::from_m(f64::from(dice.range(400.0, 700.0))) }
}

fn fill(draft: &mut Draft, plan: &Plan, block: &Block) {
    let centre = plan.point((block.u.0 + block.u.1) / 2.0, (block.v.0 + block.v.1) / 2.0);
    if centre[0].abs().max(centre[1].abs()) > FAR_HALF_M {
        return;
    }
    if !block.in_town && !block.river {
        return nature::country(draft, plan, block);
    }
    let ground = draft.lawn();
    draft.paint(layer::BLOCK, plan.outline(block.u, block.v), ground);
    let yard = Yard::of(plan, block);
    if block.river || yard.width < 12.0 || yard.depth < 12.0 {
        return;
    }
    let weights = draft.style.zones.weights;
    match draft.dice.weighted(&weights) {
        0 => houses::build(draft, plan, block),
        1 => blocks::apartments(draft, yard),
        2 => blocks::commerce(draft, yard),
        3 => sports::build(draft, yard),
        4 => blocks::park(draft, yard),
        5 if draft.dice.chance(0.85) => blocks::industry(draft, yard),
        _ => blocks::waste(draft, yard),
    }
}

fn known(id: usize, named: Named, frame: &LocalFrame, relief: &Relief) -> Object {
    let footprint: Vec<[f64; 2]> = named.footprint.iter().map(|p| p.map(f64::from)).collect();
    let box_enu = BoxEnu::around(&footprint);
    let [east, north] = box_enu.centre();
    let up = f64::from(relief.height(east as f32, north as f32));
    let centre = frame.geodetic_from([east, north, up].into()).expect("a town is small against the Earth").at;
    Object {
        id: ObjectId(id as u32),
        kind: named.kind,
        footprint,
        box_enu,
        centre_enu: [east, north, up],
        centre,
        height_m: f64::from(named.height.max(0.0)),
    }
}
