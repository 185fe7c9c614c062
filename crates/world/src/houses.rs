//! A block of houses: lots side by side along its streets, each with a house, a drive, a garden and what people put in
//! gardens.

use crate::building::{Roof, Wing};
use crate::draft::{Draft, layer};
use crate::material::{Material, Pattern};
use crate::mesh::Finish;
use crate::object::ObjectKind;
use crate::place::{Place, circle};
use crate::streets::{Block, Plan};
use crate::tree::Kind;

/// A lot: `x` along the street about the middle, `y` from the street (0) to the back (`depth`).
struct Lot {
    place: Place,
    width: f32,
    depth: f32,
}

/// Fills a block with houses.
pub(crate) fn build(draft: &mut Draft, plan: &Plan, block: &Block) {
    let (du, dv) = (block.u.1 - block.u.0, block.v.1 - block.v.0);
    let along_u = du >= dv;
    let (long, short) = if along_u { (block.u, block.v) } else { (block.v, block.u) };
    let rows = if short.1 - short.0 > 38.0 { 2 } else { 1 };
    for row in 0..rows {
        let middle = if rows == 1 { short.1 } else { (short.0 + short.1) / 2.0 };
        let (street, back) = if row == 0 { (short.0, middle) } else { (short.1, middle) };
        let lot_m = draft.dice.range(draft.style.zones.lot_m.0, draft.style.zones.lot_m.1);
        let count = ((long.1 - long.0) / lot_m).round().max(1.0);
        for k in 0..count as usize {
            let from = long.0 + (long.1 - long.0) * k as f32 / count;
            let to = long.0 + (long.1 - long.0) * (k + 1) as f32 / count;
            lot(draft, plan, along_u, (from, to), (street, back));
        }
    }
}

fn lot(draft: &mut Draft, plan: &Plan, along_u: bool, (from, to): (f32, f32), (street, back): (f32, f32)) {
    let point = |s: f32, t: f32| if along_u { plan.point(s, t) } else { plan.point(t, s) };
    let corners = [point(from, street), point(to, street), point(to, back), point(from, back)];
    let (front, rear) = (mid(corners[0], corners[1]), mid(corners[3], corners[2]));
    let (de, dn) = (rear[0] - front[0], rear[1] - front[1]);
    let depth = de.hypot(dn).max(1.0);
    let place = Place { at: front, right: [dn / depth, -de / depth] };
    let width = span(corners[0], corners[1]).min(span(corners[3], corners[2]));
    let lawn = draft.lawn();
    draft.paint(layer::LOT, corners.to_vec(), lawn);
    let lot = Lot { place, width, depth };
    if draft.is_clear(place.point(0.0, depth * 0.4), width * 0.6) && width > 9.0 && depth > 14.0 {
        furnish(draft, &lot);
    }
}

fn furnish(draft: &mut Draft, lot: &Lot) {
    let setback = draft.dice.range(3.5, 7.5).min(lot.depth * 0.25);
    let width = (lot.width - draft.dice.range(3.0, 6.0)).clamp(6.5, 17.0);
    let depth = draft.dice.range(7.5, 11.5).min(lot.depth - setback - 4.0);
    let side = if draft.dice.chance(0.5) { 1.0 } else { -1.0 };
    let shift = draft.dice.range(-0.5, 0.5) * (lot.width - width - 1.0).max(0.0);
    let centre = lot.place.moved(shift, setback + depth / 2.0, draft.dice.range(-0.03, 0.03));
    house(draft, &centre, width, depth);
    drive(draft, lot, side, setback);
    let back = setback + depth;
    if lot.depth - back > 9.0 {
        garden(draft, lot, back);
    }
    trees(draft, lot, back);
    hedge(draft, lot, back, side);
}

fn house(draft: &mut Draft, centre: &Place, width: f32, depth: f32) {
    let zones = draft.style.zones.clone();
    let form = draft.dice.weighted(&zones.roof_forms);
    let storeys = if draft.dice.chance(0.45) { 2.0 } else { 1.0 };
    let eave = 2.9 * storeys + draft.dice.range(0.0, 0.5);
    let looks = looks(draft, form == 4, storeys);
    let roof = [Roof::Gable, Roof::Hip, Roof::Gable, Roof::Hip, Roof::Flat][form];
    let pitch = draft.dice.range(zones.pitch.0, zones.pitch.1);
    // The ridge runs along the longer side; a gable may also face the street.
    let turned = roof == Roof::Gable && width < 1.25 * depth && draft.dice.chance(0.4);
    let main = if turned {
        draft.wing(centre.moved(0.0, 0.0, std::f32::consts::FRAC_PI_2), (depth, width), eave, roof, looks)
    } else {
        draft.wing(*centre, (width, depth), eave, roof, looks)
    };
    let main = Wing { pitch, ..main };
    let mut wings = vec![main];
    if (form == 2 || form == 3) && width > 9.0 && !turned {
        let side_width = draft.dice.range(0.38, 0.5) * width;
        let reach = draft.dice.range(2.5, 4.5);
        let x = (width - side_width) / 2.0 * if draft.dice.chance(0.5) { 1.0 } else { -1.0 };
        let toward = if draft.dice.chance(0.6) { -1.0 } else { 1.0 };
        // The side wing runs from the main ridge outwards, its own ridge across the main one.
        let run = depth / 2.0 + reach;
        let place = centre.moved(x, toward * run / 2.0, std::f32::consts::FRAC_PI_2);
        wings.push(Wing { place, width: run, depth: side_width, ..main });
    }
    draft.building(ObjectKind::House, &wings);
    extras(draft, &main);
}

fn looks(draft: &mut Draft, flat: bool, storeys: f32) -> [(Finish, [f32; 3]); 2] {
    let (roofs, walls) = (draft.style.palette.roofs.clone(), draft.style.palette.walls.clone());
    let (roof, wall) = (draft.dice.pick(&roofs), draft.dice.pick(&walls));
    let finish = if flat {
        Finish::Felt
    } else if draft.dice.chance(0.12) {
        Finish::Metal
    } else {
        Finish::Tiles
    };
    let rgb = if flat { draft.dice.shade([176.0, 172.0, 166.0], 0.25) } else { draft.dice.shade(roof, 0.18) };
    let bay_m = draft.dice.range(2.2, 3.4);
    let windows = Finish::Windows { storey_m: 2.9 + 0.1 * storeys, bay_m };
    [(finish, rgb), (windows, draft.dice.shade(wall, 0.12))]
}

/// A chimney, a skylight, solar cells.
fn extras(draft: &mut Draft, wing: &Wing) {
    if wing.roof == Roof::Flat {
        for _ in 0..draft.dice.index(3) {
            let (x, y) = (draft.dice.range(-0.3, 0.3) * wing.width, draft.dice.range(-0.3, 0.3) * wing.depth);
            let grey = draft.dice.shade([168.0, 170.0, 172.0], 0.2);
            let looks = [(Finish::Plain, grey), (Finish::Plain, grey)];
            draft.builder.block(
                &wing.place,
                (x - 0.7, x + 0.7),
                (y - 0.6, y + 0.6),
                (wing.eave, wing.eave + 0.9),
                looks,
            );
        }
        return;
    }
    let top = wing.top();
    if draft.dice.chance(0.5) {
        let (x, y) = (draft.dice.range(-0.25, 0.25) * wing.width, draft.dice.range(0.4, 1.4));
        let brick = draft.dice.shade([142.0, 98.0, 82.0], 0.2);
        let cap = [82.0, 76.0, 72.0];
        let z = (top - 2.0, top + 0.7);
        draft.builder.block(
            &wing.place,
            (x - 0.4, x + 0.4),
            (y - 0.35, y + 0.35),
            z,
            [(Finish::Plain, brick), (Finish::Plain, cap)],
        );
    }
    if draft.dice.chance(0.22) && wing.width > 8.0 {
        let (a, b) = (draft.dice.range(0.2, 0.4), draft.dice.range(0.6, 0.85));
        let half = draft.dice.range(0.15, 0.3) * wing.width;
        let side = if draft.dice.chance(0.5) { 1.0 } else { -1.0 };
        let x = draft.dice.range(-0.1, 0.1) * wing.width;
        let corner = |s: f32, t: f32| {
            let [e, n] = wing.place.point(x + s * half * side, -side * t * wing.depth / 2.0);
            [e, n, top - t * wing.depth / 2.0 * wing.pitch + 0.12]
        };
        let reach = if wing.roof == Roof::Hip { 0.6 } else { 1.0 };
        let panel = [corner(-reach, b), corner(reach, b), corner(reach, a), corner(-reach, a)];
        draft.builder.face(&panel, Finish::Glass, [44.0, 52.0, 78.0]);
    }
}

fn drive(draft: &mut Draft, lot: &Lot, side: f32, setback: f32) {
    let x = side * (lot.width / 2.0 - 2.2);
    let length = setback + draft.dice.range(0.0, 6.0);
    let paved = if draft.dice.chance(0.6) { draft.slabs(&lot.place, 2.5) } else { draft.asphalt() };
    let outline = lot.place.rectangle(x - 1.6, -3.0, x + 1.6, length);
    draft.paint(layer::PATH, outline, paved);
    let car = lot.place.moved(x, (length - 2.4).max(0.4), std::f32::consts::FRAC_PI_2);
    draft.stall(car, 0.5, false);
    let walk = draft.slabs(&lot.place, 0.6);
    let walk_x = -side * lot.width * 0.1;
    draft.paint(layer::PATH, lot.place.rectangle(walk_x - 0.5, -0.5, walk_x + 0.5, setback + 1.0), walk);
}

fn garden(draft: &mut Draft, lot: &Lot, back: f32) {
    let (half, room) = (lot.width / 2.0, lot.depth - back);
    let patio = draft.slabs(&lot.place, 1.2);
    let reach = draft.dice.range(1.5, 4.5).min(room * 0.4);
    draft.paint(layer::PATH, lot.place.rectangle(-half * 0.5, back - 0.5, half * 0.5, back + reach), patio);
    if draft.dice.chance(draft.style.zones.pool_share) && half > 6.0 {
        let (x, y) = (draft.dice.range(-0.25, 0.25) * half, back + reach + (room - reach) * 0.45);
        pool(draft, &lot.place.moved(x, y, 0.0));
    } else if draft.dice.chance(0.4) {
        let size = draft.dice.range(1.5, 3.0);
        let (x, y) = (draft.dice.range(-0.6, 0.6) * half, lot.depth - draft.dice.range(2.5, 4.0));
        let bed = Material { plant: 0.4, ..Material::plain(draft.style.palette.soil) }.noise(0.2, 0.5, 0.2);
        let rows = Pattern::Stripes { angle_rad: lot.place.angle_rad(), period_m: 0.8, gain: 0.12 };
        draft.paint(layer::PATH, lot.place.centred(x, y, 2.0 * size, size), bed.with(rows));
    }
    if draft.dice.chance(0.45) {
        let (x, y) = (draft.dice.range(-0.75, 0.75) * half, lot.depth - draft.dice.range(1.6, 2.6));
        let (w, d) = (draft.dice.range(1.0, 1.8), draft.dice.range(0.9, 1.3));
        let place = lot.place.moved(x, y, 0.0);
        let z = draft.relief.height(place.at[0], place.at[1]);
        let looks =
            [(Finish::Plain, [132.0, 112.0, 92.0]), (Finish::Metal, draft.dice.shade([136.0, 134.0, 130.0], 0.3))];
        draft.no_object();
        draft.builder.block(&place, (-w, w), (-d, d), (z - 0.5, z + 2.2), looks);
    }
}

fn pool(draft: &mut Draft, place: &Place) {
    let (w, d) = (draft.dice.range(6.5, 10.0), draft.dice.range(3.4, 5.0));
    let round = draft.dice.chance(0.3);
    let shape = |grow: f32| {
        if round {
            let outline = circle([0.0, 0.0], 1.0, 20);
            outline.iter().map(|p| place.point(p[0] * (w / 2.0 + grow), p[1] * (d / 2.0 + grow))).collect()
        } else {
            place.centred(0.0, 0.0, w + 2.0 * grow, d + 2.0 * grow)
        }
    };
    let deck = draft.slabs(place, 1.0);
    draft.paint(layer::PATH, shape(1.6), deck);
    draft.paint(layer::PATH, shape(0.3), Material::plain([214.0, 212.0, 206.0]));
    let blue = draft.dice.shade([88.0, 178.0, 196.0], 0.12);
    let water = Material { colours: [blue, blue.map(|c| c * 0.84)], ..Material::plain(blue) };
    draft.paint(layer::WATER, shape(0.0), water);
    draft.object(ObjectKind::Pool, shape(0.3), 0.0);
}

fn trees(draft: &mut Draft, lot: &Lot, back: f32) {
    let density = draft.style.plants.density;
    let half = lot.width / 2.0;
    let room = (lot.depth - back).max(0.0);
    for _ in 0..(density * draft.dice.range(0.0, 1.0) * lot.width * room / 55.0).round() as usize {
        let at = lot.place.point(draft.dice.range(-0.9, 0.9) * half, back + draft.dice.range(0.35, 0.95) * room);
        draft.tree(at);
    }
    if draft.dice.chance(0.5 * density) {
        let x = draft.dice.range(-0.7, 0.7) * half;
        let at = lot.place.point(x, draft.dice.range(1.0, 2.4));
        let kind = if draft.dice.chance(0.5) { Kind::Shrub } else { Kind::Broad };
        draft.tree_of(kind, at);
    }
    for _ in 0..(draft.dice.range(0.0, 4.0) * density.min(1.0)) as usize {
        let x = draft.dice.range(-0.9, 0.9) * half;
        let at = lot.place.point(x, draft.dice.range(0.9, 1.0) * lot.depth);
        draft.tree_of(Kind::Shrub, at);
    }
}

fn hedge(draft: &mut Draft, lot: &Lot, back: f32, side: f32) {
    let z = draft.relief.height(lot.place.at[0], lot.place.at[1]);
    let x = -side * lot.width / 2.0;
    if draft.dice.chance(0.35) {
        let greens = draft.style.plants.greens.clone();
        let green = draft.dice.pick(&greens).map(|c| c * 0.8);
        draft.no_object();
        let looks = [(Finish::Felt, green), (Finish::Felt, green)];
        draft.builder.block(&lot.place, (x - 0.4, x + 0.4), (back * 0.6, lot.depth), (z - 3.0, z + 1.4), looks);
    } else if draft.dice.chance(0.6) {
        draft.no_object();
        let wood = draft.dice.shade([150.0, 128.0, 104.0], 0.25);
        let looks = [(Finish::Plain, wood), (Finish::Plain, wood)];
        draft.builder.block(&lot.place, (x - 0.08, x + 0.08), (back * 0.8, lot.depth), (z - 3.0, z + 1.6), looks);
    }
}

fn mid(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0]
}

fn span(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}
