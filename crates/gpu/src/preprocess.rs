//! Launchers of the `preprocess_*` kernels: the encoder's image from a frame in device memory, the same steps as
//! [`smgeo_engine::rectify`] takes on the CPU.

use smgeo_engine::TILE_PX;

use crate::device::{Argument, Buffer, Device, Launch, launch};
use crate::error::GpuError;

const KERNEL: &str = "preprocess";
/// `PREPROCESS_THREADS` of the kernels.
const THREADS: u32 = 256;
/// Most levels of a pyramid, the frame counted.
const LEVELS_MAX: usize = 6;
/// A level with a shorter edge is not halved again.
const HALVED_EDGE_PX_MIN: usize = 64;
/// Longest edge of a frame, bounded by CUDA's second grid axis.
const FRAME_EDGE_PX_MAX: usize = 32_768;
/// Points of the map from crop to frame along an edge: one every 8 px, ends included.
pub const GRID: usize = TILE_PX / 8 + 1;

/// The colours of a YUV picture: `r = y_scale (y - y_zero) + red_of_v (v - 128)`, and so on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct YuvColours {
    /// Luma of black.
    pub y_zero: f32,
    /// Luma to 0..255.
    pub y_scale: f32,
    /// Red of V.
    pub red_of_v: f32,
    /// Green of U.
    pub green_of_u: f32,
    /// Green of V.
    pub green_of_v: f32,
    /// Blue of U.
    pub blue_of_u: f32,
}

// SAFETY: six floats in the kernel's order.
unsafe impl Argument for YuvColours {}

impl YuvColours {
    /// Limited range with the luma weights of red and blue, as ITU-R BT.709 section 3 derives them.
    fn limited(red: f64, blue: f64) -> Self {
        let (green, chroma) = (1.0 - red - blue, 255.0 / 224.0);
        Self {
            y_zero: 16.0,
            y_scale: (255.0 / 219.0) as f32,
            red_of_v: (2.0 * (1.0 - red) * chroma) as f32,
            green_of_u: (-2.0 * blue * (1.0 - blue) / green * chroma) as f32,
            green_of_v: (-2.0 * red * (1.0 - red) / green * chroma) as f32,
            blue_of_u: (2.0 * (1.0 - blue) * chroma) as f32,
        }
    }

    /// High definition video, ITU-R BT.709.
    pub fn bt709() -> Self {
        Self::limited(0.2126, 0.0722)
    }

    /// Standard definition video, ITU-R BT.601.
    pub fn bt601() -> Self {
        Self::limited(0.299, 0.114)
    }
}

/// A pixel of the crop that was clicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClickedPixel {
    /// Column, less than 256.
    pub column: u8,
    /// Row, less than 256.
    pub row: u8,
}

/// A decoded frame as video decoders leave it.
pub struct Nv12<'a, D: Device> {
    /// `[height, pitch]`.
    pub luma: &'a Buffer<u8, D>,
    /// `[height / 2, pitch]`, U and V alternating.
    pub chroma: &'a Buffer<u8, D>,
    /// Bytes from a row to the next.
    pub pitch: usize,
    /// How the numbers mean colours.
    pub colours: YuvColours,
}

/// A frame with its halvings in device memory, RGBX.
pub struct FramePyramid<D: Device> {
    levels: Vec<Level<D>>,
}

struct Level<D: Device> {
    pixels: Buffer<[u8; 4], D>,
    width_px: usize,
    height_px: usize,
}

impl<D: Device> FramePyramid<D> {
    /// Memory for frames of this size, whose edges are even, as video's are.
    pub fn new(device: &D, width_px: usize, height_px: usize) -> Result<Self, GpuError> {
        let fits = |edge: usize| (2..=FRAME_EDGE_PX_MAX).contains(&edge) && edge.is_multiple_of(2);
        if !(fits(width_px) && fits(height_px)) {
            let problem =
                format!("a frame of {width_px} x {height_px} px; both have to be even, {FRAME_EDGE_PX_MAX} at most");
            return Err(GpuError::Shape { kernel: KERNEL, problem });
        }
        let (mut width_px, mut height_px) = (width_px, height_px);
        let mut levels = Vec::new();
        loop {
            // Black until a frame is written.
            let pixels = Buffer::of(device, &vec![[0; 4]; width_px * height_px])?;
            levels.push(Level { pixels, width_px, height_px });
            if levels.len() == LEVELS_MAX || width_px.min(height_px) < HALVED_EDGE_PX_MIN {
                return Ok(Self { levels });
            }
            (width_px, height_px) = (width_px / 2, height_px / 2);
        }
    }

    /// Takes a frame of RGB, `[height, width, 3]`.
    pub fn write_rgb(&mut self, device: &D, rgb: &Buffer<u8, D>) -> Result<(), GpuError> {
        let Level { pixels, width_px, height_px } = &self.levels[0];
        rgb.check("preprocess_rgb", "rgb", width_px * height_px * 3)?;
        let blocks = (width_px * height_px).div_ceil(THREADS as usize) as u32;
        // SAFETY: the parameters are those of the kernel in order, and every length was checked.
        unsafe {
            launch!(
                device,
                Launch { kernel: "preprocess_rgb", grid: [blocks, 1, 1], threads: THREADS },
                rgb.address(),
                pixels.address(),
                *width_px as i32,
                *height_px as i32,
            )
        }?;
        self.halve(device)
    }

    /// Takes a frame of NV12.
    pub fn write_nv12(&mut self, device: &D, frame: &Nv12<D>) -> Result<(), GpuError> {
        let Level { pixels, width_px, height_px } = &self.levels[0];
        if frame.pitch < *width_px {
            let problem = format!("a pitch of {} bytes for rows of {width_px} px", frame.pitch);
            return Err(GpuError::Shape { kernel: "preprocess_nv12", problem });
        }
        frame.luma.check("preprocess_nv12", "luma", height_px * frame.pitch)?;
        frame.chroma.check("preprocess_nv12", "chroma", height_px / 2 * frame.pitch)?;
        let grid = [width_px.div_ceil(THREADS as usize) as u32, *height_px as u32, 1];
        // SAFETY: as in `write_rgb`; edges are even, so every pixel has its chroma.
        unsafe {
            launch!(
                device,
                Launch { kernel: "preprocess_nv12", grid, threads: THREADS },
                frame.luma.address(),
                frame.chroma.address(),
                pixels.address(),
                *width_px as i32,
                frame.pitch as i32,
                frame.colours,
            )
        }?;
        self.halve(device)
    }

    fn halve(&mut self, device: &D) -> Result<(), GpuError> {
        for pair in self.levels.windows(2) {
            let [fine, coarse] = pair else { unreachable!("windows of two") };
            let grid = [coarse.width_px.div_ceil(THREADS as usize) as u32, coarse.height_px as u32, 1];
            // SAFETY: the coarse level was made for half of the fine one's edges.
            unsafe {
                launch!(
                    device,
                    Launch { kernel: "preprocess_halve", grid, threads: THREADS },
                    fine.pixels.address(),
                    coarse.pixels.address(),
                    fine.width_px as i32,
                    fine.height_px as i32,
                )
            }?;
        }
        Ok(())
    }

    fn argument(&self) -> PyramidArgument {
        let mut argument = PyramidArgument {
            level: [0; LEVELS_MAX],
            width_px: [0; LEVELS_MAX],
            height_px: [0; LEVELS_MAX],
            levels: self.levels.len() as i32,
        };
        for (at, level) in self.levels.iter().enumerate() {
            argument.level[at] = level.pixels.address();
            argument.width_px[at] = level.width_px as i32;
            argument.height_px[at] = level.height_px as i32;
        }
        argument
    }
}

/// `Pyramid` of the kernel.
#[repr(C)]
struct PyramidArgument {
    level: [u64; LEVELS_MAX],
    width_px: [i32; LEVELS_MAX],
    height_px: [i32; LEVELS_MAX],
    levels: i32,
}

// SAFETY: the kernel's struct, field by field.
unsafe impl Argument for PyramidArgument {}

/// Cuts the encoder's image `[256, 256]` of (red, green, blue, click map) out of a frame. `grid` `[33, 33]` is where every
/// eighth corner of a crop pixel lies in the frame, px from its outer corner; not a number where the camera cannot see.
pub fn preprocess<D: Device>(
    device: &D,
    frame: &FramePyramid<D>,
    grid: &Buffer<[f32; 2], D>,
    click: Option<ClickedPixel>,
    out: &mut Buffer<[u8; 4], D>,
) -> Result<(), GpuError> {
    grid.check("preprocess_crop", "grid", GRID * GRID)?;
    out.check("preprocess_crop", "out", TILE_PX * TILE_PX)?;
    let click = click.map_or([-1, -1], |click| [i32::from(click.column), i32::from(click.row)]);
    // SAFETY: as in `write_rgb`; the pyramid's levels live as long as `frame`.
    unsafe {
        launch!(
            device,
            Launch { kernel: "preprocess_crop", grid: [TILE_PX as u32, 1, 1], threads: THREADS },
            frame.argument(),
            grid.address(),
            out.address(),
            click[0],
            click[1],
        )
    }
}
