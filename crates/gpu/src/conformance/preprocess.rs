//! Preparation of images against the code that does it on the CPU, and so cut the queries that networks were trained on.

use smgeo_engine::rectify::{Picture, Pyramid};
use smgeo_engine::{EncoderImage, TILE_PX};

use super::noise::Noise;
use super::{Report, compare};
use crate::device::{Buffer, Device};
use crate::error::GpuError;
use crate::preprocess::{ClickedPixel, FramePyramid, GRID, Nv12, YuvColours, preprocess};

/// One level of a byte: coordinates are f32 here and f64 there.
const ONE_LEVEL: f64 = 1.0 / 255.0;

/// Where a point of the crop lies in the frame.
type Map = fn(f64, f64) -> Option<(f64, f64)>;

const MAPS: &[(&str, Map)] = &[
    ("as it is", |x, y| Some((x + 20.0, y + 10.0))),
    ("finer", |x, y| Some((0.37 * x + 51.3, 0.41 * y + 33.7))),
    ("coarser, turned", |x, y| Some((1.9 * x - 0.8 * y + 120.0, 0.8 * x + 1.7 * y - 40.0))),
    ("much coarser", |x, y| Some((9.1 * x - 900.0, 7.3 * y - 700.0))),
    ("perspective", |x, y| {
        let depth = 1.0 + 0.006 * (255.0 - y);
        Some((300.0 + 1.4 * (x - 128.0) * depth, 20.0 + 3.1 * y / depth))
    }),
    ("beyond a horizon", |x, y| (x + y > 200.0).then_some((1.7 * x, 1.1 * y))),
];

pub fn check<D: Device>(device: &D, report: &mut Report) -> Result<(), GpuError> {
    for [width_px, height_px] in [[640, 480], [322, 130], [62, 50]] {
        let frame = Frame::new(width_px, height_px);
        for (index, &(name, map)) in MAPS.iter().enumerate() {
            for click in [Some(ClickedPixel { column: 130, row: 7 }), None] {
                // A tile differs from a query in its click map alone.
                if click.is_none() && index > 0 {
                    continue;
                }
                let name = format!("preprocess {width_px} x {height_px} {name}, click {}", click.is_some());
                let found = frame.crop(device, map, click)?;
                let wanted = frame.wanted(map, click)?;
                let part = |values: &[u8], channel: usize| -> Vec<f64> {
                    values.iter().skip(channel).step_by(4).map(|&value| f64::from(value) / 255.0).collect()
                };
                let colours = |values: &[u8]| (0..3).flat_map(|channel| part(values, channel)).collect::<Vec<_>>();
                let limit = ONE_LEVEL * 1.001 / colours(&wanted).into_iter().fold(ONE_LEVEL, f64::max);
                report.add(format!("{name}: colours"), limit, compare(colours(&found), &colours(&wanted)));
                report.add(format!("{name}: click map"), 0.0, compare(part(&found, 3), &part(&wanted, 3)));
            }
        }
    }
    check_nv12(device, report)
}

/// A frame of waves, edges and noise.
struct Frame {
    rgb: Vec<u8>,
    width_px: usize,
    height_px: usize,
}

impl Frame {
    fn new(width_px: usize, height_px: usize) -> Self {
        let mut noise = Noise::new(width_px as u64);
        let mut rgb = Vec::new();
        for y in 0..height_px {
            for x in 0..width_px {
                let block = (x / 24 * 7 + y / 40 * 13) % 5 * 12;
                let wave = |scale: f64| 60.0 * (x as f64 * scale + y as f64 * 0.03).sin() + 120.0;
                for scale in [0.05, 0.11, 0.023] {
                    rgb.push((wave(scale) + block as f64 + 20.0 * noise.number()) as u8);
                }
            }
        }
        Self { rgb, width_px, height_px }
    }

    fn crop<D: Device>(&self, device: &D, map: Map, click: Option<ClickedPixel>) -> Result<Vec<u8>, GpuError> {
        let mut pyramid = FramePyramid::new(device, self.width_px, self.height_px)?;
        pyramid.write_rgb(device, &Buffer::of(device, &self.rgb)?)?;
        crop(device, &pyramid, map, click)
    }

    fn wanted(&self, map: Map, click: Option<ClickedPixel>) -> Result<Vec<u8>, GpuError> {
        let picture = Picture { rgb: &self.rgb, width_px: self.width_px, height_px: self.height_px };
        let rgb = Pyramid::new(picture).crop(map);
        let image = match click {
            Some(click) => EncoderImage::query(&rgb, (f32::from(click.column) + 0.5, f32::from(click.row) + 0.5)),
            None => EncoderImage::tile(&rgb),
        };
        let image = image.map_err(|error| GpuError::Shape { kernel: "preprocess", problem: error.to_string() })?;
        Ok(image.bytes().to_vec())
    }
}

fn crop<D: Device>(
    device: &D,
    pyramid: &FramePyramid<D>,
    map: Map,
    click: Option<ClickedPixel>,
) -> Result<Vec<u8>, GpuError> {
    let step = TILE_PX / (GRID - 1);
    let unseen = (f64::NAN, f64::NAN);
    let point = |at: usize| map((at % GRID * step) as f64, (at / GRID * step) as f64).unwrap_or(unseen);
    let grid: Vec<[f32; 2]> = (0..GRID * GRID).map(point).map(|(x, y)| [x as f32, y as f32]).collect();
    let mut out = Buffer::new(device, TILE_PX * TILE_PX)?;
    preprocess(device, pyramid, &Buffer::of(device, &grid)?, click, &mut out)?;
    Ok(out.read(device)?.into_flattened())
}

/// Colours of video by their formula, read back through a crop at the frame's own scale.
fn check_nv12<D: Device>(device: &D, report: &mut Report) -> Result<(), GpuError> {
    let (width_px, height_px, pitch) = (320, 288, 384);
    let mut noise = Noise::new(12);
    let mut bytes = |count: usize| (0..count).map(|_| (noise.bits() >> 56) as u8).collect::<Vec<u8>>();
    let (luma, chroma) = (bytes(height_px * pitch), bytes(height_px / 2 * pitch));
    let (on_device, chroma_on_device) = (Buffer::of(device, &luma)?, Buffer::of(device, &chroma)?);
    for (name, colours, [red, blue]) in
        [("bt709", YuvColours::bt709(), [0.2126, 0.0722]), ("bt601", YuvColours::bt601(), [0.299, 0.114])]
    {
        let mut pyramid = FramePyramid::new(device, width_px, height_px)?;
        let frame = Nv12 { luma: &on_device, chroma: &chroma_on_device, pitch, colours };
        pyramid.write_nv12(device, &frame)?;
        let found = crop(device, &pyramid, |x, y| Some((x + 32.0, y + 16.0)), None)?;
        let mut wanted = Vec::new();
        for y in 16..16 + TILE_PX {
            for x in 32..32 + TILE_PX {
                let pair = y / 2 * pitch + x / 2 * 2;
                let light = (f64::from(luma[y * pitch + x]) - 16.0) / 219.0;
                let [u, v] = [chroma[pair], chroma[pair + 1]].map(|value| (f64::from(value) - 128.0) / 224.0);
                let (r, b) = (light + 2.0 * (1.0 - red) * v, light + 2.0 * (1.0 - blue) * u);
                let g = (light - red * r - blue * b) / (1.0 - red - blue);
                wanted.extend([r, g, b, 0.0].map(|part| part.clamp(0.0, 1.0)));
            }
        }
        let found = found.iter().map(|&value| f64::from(value) / 255.0);
        // Rounding to a byte, of a product in f32.
        report.add(format!("preprocess_nv12 {name}"), 0.51 * ONE_LEVEL, compare(found, &wanted));
    }
    Ok(())
}
