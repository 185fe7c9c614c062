//! Launcher of `window_attention`: attention inside 8 x 8 windows, plain or shifted, fused from logits to mixture.

use crate::device::{Buffer, Device, Launch, launch};
use crate::element::Element;
use crate::error::GpuError;
use crate::gmoe::PACK;

const KERNEL: &str = "window_attention";
/// `ATTENTION_THREADS` of the kernel.
const THREADS: u32 = 128;
/// Edge of a window, tokens.
pub const WINDOW: usize = 8;
/// Pairs of (row offset, column offset) of two tokens of a window.
pub const OFFSETS: usize = (2 * WINDOW - 1) * (2 * WINDOW - 1);
/// Widest head the kernel has shared memory for.
pub const HEAD_WIDTH_MAX: usize = 32;
/// CUDA's limit on the second and third axis of a grid.
const GRID_YZ_MAX: usize = 65_535;

/// How large the maps are. A value of this type can be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    images: usize,
    height: usize,
    width: usize,
    heads: usize,
    head_width: usize,
    shift: usize,
}

impl AttentionShape {
    /// `images` maps of `height` x `width` tokens in Z-order; windows are shifted up and left by `shift` tokens.
    pub fn new(
        images: usize,
        [height, width]: [usize; 2],
        [heads, head_width]: [usize; 2],
        shift: usize,
    ) -> Result<Self, GpuError> {
        let rule = |holds: bool, problem: String| match holds {
            true => Ok(()),
            false => Err(GpuError::Shape { kernel: KERNEL, problem }),
        };
        let whole = |edge: usize| edge > 0 && edge.is_multiple_of(WINDOW) && edge <= 1 << 14;
        rule(
            whole(height) && whole(width),
            format!("a map of {height} x {width} tokens; both have to be multiples of {WINDOW}"),
        )?;
        rule(shift < WINDOW, format!("a shift of {shift} tokens; it has to be less than {WINDOW}"))?;
        rule(
            (1..=GRID_YZ_MAX).contains(&images) && (1..=GRID_YZ_MAX).contains(&heads),
            format!("{images} images and {heads} heads; both have to be 1 to {GRID_YZ_MAX}"),
        )?;
        rule(
            head_width > 0 && head_width.is_multiple_of(PACK) && head_width <= HEAD_WIDTH_MAX,
            format!("heads of {head_width} channels; they have to be a multiple of {PACK}, {HEAD_WIDTH_MAX} at most"),
        )?;
        Ok(Self { images, height, width, heads, head_width, shift })
    }

    /// Number of maps.
    pub fn images(&self) -> usize {
        self.images
    }
    /// Tokens from top to bottom.
    pub fn height(&self) -> usize {
        self.height
    }
    /// Tokens from left to right.
    pub fn width(&self) -> usize {
        self.width
    }
    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads
    }
    /// Channels of a head.
    pub fn head_width(&self) -> usize {
        self.head_width
    }
    /// Shift of the windows, tokens.
    pub fn shift(&self) -> usize {
        self.shift
    }
    /// Edge of the largest square that is one run of the Z-order.
    pub fn block(&self) -> usize {
        1 << self.height.trailing_zeros().min(self.width.trailing_zeros())
    }
    /// Numbers out: `[images, tokens, heads, head_width]`.
    pub fn numbers(&self) -> usize {
        self.images * self.height * self.width * self.heads * self.head_width
    }
}

/// From `qkv` `[images, tokens, 3, heads, head_width]` and `bias` `[225, heads]`: `out` `[images, tokens, heads, head_width]`.
/// Queries are scaled by `head_width^-0.5`.
pub fn window_attention<T: Element, D: Device>(
    device: &D,
    shape: &AttentionShape,
    qkv: &Buffer<T, D>,
    bias: Option<&Buffer<f32, D>>,
    out: &mut Buffer<T, D>,
) -> Result<(), GpuError> {
    qkv.check(KERNEL, "qkv", 3 * shape.numbers())?;
    bias.map_or(Ok(()), |bias| bias.check(KERNEL, "bias", OFFSETS * shape.heads))?;
    out.check(KERNEL, "out", shape.numbers())?;
    let windows = shape.height * shape.width / (WINDOW * WINDOW);
    let kernel = T::pick("window_attention_f16", "window_attention_bf16");
    // SAFETY: the parameters are those of the kernel in order, and every length was checked; a bias of address 0 is none.
    unsafe {
        launch!(
            device,
            Launch { kernel, grid: [windows as u32, shape.heads as u32, shape.images as u32], threads: THREADS },
            qkv.address(),
            bias.map_or(0, Buffer::address),
            out.address(),
            shape.height as i32,
            shape.width as i32,
            shape.block() as i32,
            shape.heads as i32,
            shape.head_width as i32,
            shape.shift as i32,
            (shape.head_width as f64).powf(-0.5) as f32,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_and_heads_that_the_kernel_cannot_compute_are_refused() {
        let refused = [
            (1, [12, 16], [1, 32], 0, "12 x 16"),
            (1, [16, 0], [1, 32], 0, "16 x 0"),
            (1, [16, 16], [1, 32], 8, "shift of 8"),
            (0, [16, 16], [1, 32], 0, "0 images"),
            (1, [16, 16], [1, 40], 0, "40 channels"),
            (1, [16, 16], [1, 12], 0, "12 channels"),
        ];
        for (images, map, heads, shift, words) in refused {
            let error = AttentionShape::new(images, map, heads, shift).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
