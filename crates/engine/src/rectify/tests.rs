use super::*;

fn checker(width_px: usize, height_px: usize) -> Vec<u8> {
    (0..width_px * height_px)
        .flat_map(|i| [if (i % width_px + i / width_px).is_multiple_of(2) { 255 } else { 0 }; 3])
        .collect()
}

/// The same crop by its definition, in f64 and pixel by pixel.
struct Plain {
    levels: Vec<(Vec<u8>, usize, usize)>,
}

impl Plain {
    fn new(rgb: &[u8], width_px: usize, height_px: usize) -> Self {
        let mut levels = vec![(rgb.to_vec(), width_px, height_px)];
        while let Some((fine, width, height)) = levels.last().filter(|level| level.1.min(level.2) >= 64) {
            let (half_width, half_height) = (width / 2, height / 2);
            let mean = |at: usize| {
                let (x, y, channel) = (at / 3 % half_width * 2, at / 3 / half_width * 2, at % 3);
                let byte = |dx: usize, dy: usize| f64::from(fine[((y + dy) * width + x + dx) * 3 + channel]);
                ((byte(0, 0) + byte(1, 0) + byte(0, 1) + byte(1, 1)) / 4.0).round() as u8
            };
            let coarse = (0..half_width * half_height * 3).map(mean).collect();
            levels.push((coarse, half_width, half_height));
        }
        levels.truncate(LEVELS_MAX);
        Self { levels }
    }

    fn crop(&self, map: Map) -> Vec<f64> {
        (0..TILE_PX * TILE_PX).flat_map(|at| self.colour(map, at % TILE_PX, at / TILE_PX)).collect()
    }

    fn colour(&self, map: Map, column: usize, row: usize) -> [f64; 3] {
        let (west, north) = (column / STRIDE_PX * STRIDE_PX, row / STRIDE_PX * STRIDE_PX);
        let corner = |dx, dy| map((west + dx) as f64, (north + dy) as f64);
        let [Some(nw), Some(ne), Some(sw), Some(se)] =
            [corner(0, 0), corner(STRIDE_PX, 0), corner(0, STRIDE_PX), corner(STRIDE_PX, STRIDE_PX)]
        else {
            return [0.0; 3];
        };
        let at = |u: f64, v: f64| {
            let (across, down) = (u / STRIDE_PX as f64, v / STRIDE_PX as f64);
            let blend = |nw: f64, ne: f64, sw: f64, se: f64| {
                (nw * (1.0 - across) + ne * across) * (1.0 - down) + (sw * (1.0 - across) + se * across) * down
            };
            (blend(nw.0, ne.0, sw.0, se.0), blend(nw.1, ne.1, sw.1, se.1))
        };
        let (u, v) = ((column - west) as f64, (row - north) as f64);
        let edge = |end: (f64, f64)| (end.0 - at(u, v).0).hypot(end.1 - at(u, v).1);
        let footprint_px = (edge(at(u + 1.0, v)) * edge(at(u, v + 1.0))).sqrt();
        let coarsest = self.levels.len() - 1;
        let depth = footprint_px.log2().clamp(0.0, coarsest as f64);
        let middle = at(u + 0.5, v + 0.5);
        let fine = self.read(depth as usize, middle);
        let coarse = self.read((depth as usize + 1).min(coarsest), middle);
        std::array::from_fn(|channel| fine[channel] + (coarse[channel] - fine[channel]) * depth.fract())
    }

    fn read(&self, depth: usize, at: (f64, f64)) -> [f64; 3] {
        let ((rgb, width, height), (_, full_width, full_height)) = (&self.levels[depth], &self.levels[0]);
        let (full_width, full_height) = (*full_width as f64, *full_height as f64);
        if !((0.0..full_width).contains(&at.0) && (0.0..full_height).contains(&at.1)) {
            return [0.0; 3];
        }
        let x = (at.0 * *width as f64 / full_width - 0.5).clamp(0.0, (width - 1) as f64);
        let y = (at.1 * *height as f64 / full_height - 0.5).clamp(0.0, (height - 1) as f64);
        std::array::from_fn(|channel| {
            let byte = |dx: usize, dy: usize| {
                let (x, y) = ((x as usize + dx).min(width - 1), (y as usize + dy).min(height - 1));
                f64::from(rgb[(y * width + x) * 3 + channel])
            };
            let row = |dy: usize| byte(0, dy) * (1.0 - x.fract()) + byte(1, dy) * x.fract();
            row(0) * (1.0 - y.fract()) + row(1) * y.fract()
        })
    }
}

type Map = fn(f64, f64) -> Option<(f64, f64)>;

const MAPS: &[(&str, Map)] = &[
    ("as it is", |x, y| Some((x + 20.0, y + 10.0))),
    ("finer, beyond all edges", |x, y| Some((0.37 * x - 20.3, 0.41 * y - 33.7))),
    ("coarser, turned", |x, y| Some((1.9 * x - 0.8 * y + 120.0, 0.8 * x + 1.7 * y - 40.0))),
    ("much coarser", |x, y| Some((9.1 * x - 900.0, 7.3 * y - 700.0))),
    ("coarser than any level", |x, y| Some((150.0 * x - 19_000.0, 170.0 * y - 21_000.0))),
    ("a single point", |_, _| Some((40.3, 20.7))),
    ("perspective", |x, y| {
        let depth = 1.0 + 0.006 * (255.0 - y);
        Some((300.0 + 1.4 * (x - 128.0) * depth, 20.0 + 3.1 * y / depth))
    }),
    ("beyond a horizon", |x, y| (x + y > 200.0).then_some((1.7 * x, 1.1 * y))),
];

#[test]
fn a_crop_is_its_definition_but_for_rounding() {
    for (width_px, height_px) in [(640, 480), (323, 131), (62, 50), (1, 7), (7, 1)] {
        // Hash noise on a wave: the steepest that bytes can be, and smooth.
        let byte = |at: usize| (at as u32).wrapping_mul(0x9E37_79B9).rotate_left(9) as u8 / 2 + (at / 97 % 128) as u8;
        let rgb: Vec<u8> = (0..width_px * height_px * 3).map(byte).collect();
        let pyramid = Pyramid::new(Picture { rgb: &rgb, width_px, height_px });
        let plain = Plain::new(&rgb, width_px, height_px);
        for (name, map) in MAPS {
            let found = pyramid.crop(map);
            let off = |(found, wanted): (&u8, f64)| (f64::from(*found) - wanted).abs();
            let worst = found.iter().zip(plain.crop(*map)).map(off).fold(0.0, f64::max);
            // Half a level is rounding; the rest is that positions are f32.
            assert!(worst < 0.6, "{width_px} x {height_px} {name}: {worst} levels of 255 off");
        }
    }
}

#[test]
fn a_query_is_its_crop_with_the_click() {
    let rgb: Vec<u8> = (0..300 * 280 * 3).map(|i| (i * 31 % 251) as u8).collect();
    let pyramid = Pyramid::new(Picture { rgb: &rgb, width_px: 300, height_px: 280 });
    for (name, map) in MAPS {
        let query = pyramid.query((100.5, 60.0), map).unwrap();
        assert!(query == EncoderImage::query(&pyramid.crop(map), (100.5, 60.0)).unwrap(), "{name}");
    }
    assert!(pyramid.query((256.0, 3.0), |x, y| Some((x, y))).is_err());
}

#[test]
fn a_crop_at_the_frames_scale_is_the_frame() {
    let rgb: Vec<u8> = (0..300 * 280 * 3).map(|i| (i * 31 % 251) as u8).collect();
    let pyramid = Pyramid::new(Picture { rgb: &rgb, width_px: 300, height_px: 280 });
    let crop = pyramid.crop(|x, y| Some((x + 20.0, y + 10.0)));
    for (row, column) in [(0, 0), (100, 17), (255, 255)] {
        let expected = &rgb[((row + 10) * 300 + column + 20) * 3..][..3];
        assert_eq!(&crop[(row * TILE_PX + column) * 3..][..3], expected);
    }
}

#[test]
fn a_coarser_crop_averages_instead_of_aliasing() {
    let rgb = checker(1024, 1024);
    let pyramid = Pyramid::new(Picture { rgb: &rgb, width_px: 1024, height_px: 1024 });
    let crop = pyramid.crop(|x, y| Some((4.0 * x, 4.0 * y)));
    assert!(crop.iter().all(|&value| (126..=129).contains(&value)));
}

#[test]
fn what_the_camera_did_not_see_is_black() {
    let pyramid = Pyramid::new(Picture { rgb: &[200; 300 * 300 * 3], width_px: 300, height_px: 300 });
    let crop = pyramid.crop(|x, y| (x < 128.0).then_some((x - 10.0, y)));
    let at = |column: usize| crop[(100 * TILE_PX + column) * 3];
    assert_eq!((at(5), at(50), at(200)), (UNSEEN, 200, UNSEEN));
}
