//! Cars and lorries: who is there on a given day. They belong to the day, not to the town.

use crate::dice::Dice;
use crate::mesh::{Builder, Finish, Scene};
use crate::place::Place;
use crate::style::Rgb;
use crate::town::Town;

const PAINTS: [Rgb; 12] = [
    [232., 232., 230.],
    [232., 232., 230.],
    [186., 188., 190.],
    [186., 188., 190.],
    [52., 54., 58.],
    [36., 38., 42.],
    [104., 108., 114.],
    [140., 36., 34.],
    [44., 66., 112.],
    [92., 112., 130.],
    [188., 176., 150.],
    [64., 84., 66.],
];
const GLASS: Rgb = [48., 56., 62.];

/// The vehicles of one day.
pub(crate) fn traffic(town: &Town, dice: &mut Dice) -> Scene {
    let mut builder = Builder::new();
    let busy = dice.range(0.7, 1.3);
    for stall in &town.stalls {
        // Every stall draws the same amount, so that one car more does not repaint all others.
        let (here, turn, along) = (dice.chance(stall.share * busy), dice.range(-0.05, 0.05), dice.range(-0.5, 0.5));
        let paint = dice.pick(&PAINTS);
        let rgb = dice.shade(paint, 0.1);
        let size = dice.range(0.9, 1.15);
        if here {
            let place = stall.place.moved(along, 0.0, turn);
            if stall.lorry {
                lorry(&mut builder, &place, stall.z, rgb)
            } else {
                car(&mut builder, &place, stall.z, rgb, size)
            }
        }
    }
    builder.build()
}

fn car(builder: &mut Builder, place: &Place, z: f32, rgb: Rgb, size: f32) {
    let (x, y) = (2.15 * size, 0.88 * size);
    let (sill, waist, roof) = (z + 0.18, z + 0.85 * size, z + 1.45 * size);
    builder.block(place, (-x, x), (-y, y), (sill, waist), [(Finish::Paint, rgb), (Finish::Paint, rgb)]);
    let corner = |x: f32, y: f32, z: f32| {
        let [e, n] = place.point(x, y);
        [e, n, z]
    };
    // The cabin leans in on all sides; its roof is paint, the rest glass.
    let (back, front, top_back, top_front) = (-1.75 * size, 1.05 * size, -1.2 * size, 0.35 * size);
    let (side, top_side) = (0.82 * size, 0.66 * size);
    let low = [
        corner(back, -side, waist),
        corner(front, -side, waist),
        corner(front, side, waist),
        corner(back, side, waist),
    ];
    let high = [
        corner(top_back, -top_side, roof),
        corner(top_front, -top_side, roof),
        corner(top_front, top_side, roof),
        corner(top_back, top_side, roof),
    ];
    for k in 0..4 {
        let next = (k + 1) % 4;
        builder.face(&[low[k], low[next], high[next], high[k]], Finish::Glass, GLASS);
    }
    builder.face(&high, Finish::Paint, rgb);
}

fn lorry(builder: &mut Builder, place: &Place, z: f32, rgb: Rgb) {
    let white = [220., 220., 216.];
    let paint = [(Finish::Paint, rgb), (Finish::Paint, rgb)];
    builder.block(place, (2.6, 4.4), (-1.15, 1.15), (z + 0.4, z + 2.6), paint);
    builder.block(
        place,
        (-4.4, 2.3),
        (-1.25, 1.25),
        (z + 0.8, z + 3.4),
        [(Finish::Plain, white), (Finish::Plain, white)],
    );
}
