//! What may lie in device memory, and the two 16-bit types that networks compute in.

use half::{bf16, f16};

/// A type that may lie in device memory.
///
/// # Safety
/// Any bytes are a value of the type, and it has no padding.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

// SAFETY: a number of any bits is a number.
unsafe impl Plain for f16 {}
// SAFETY: as above.
unsafe impl Plain for bf16 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for u8 {}
// SAFETY: arrays of plain elements have no padding.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// The bytes of a slice.
pub fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: `Plain` has no padding, so all bytes are initialised; the length in bytes is that of the slice.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The bytes of a slice, to be overwritten.
pub fn bytes_of_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as in `bytes_of`; any bytes written are values of the type.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

/// A 16-bit type that kernels are compiled for; sums are f32 in both.
pub trait Element: Plain + Default {
    /// Its name in kernels and manifests.
    const NAME: &'static str;
    /// Half the distance of 1 to the next larger number: what one rounding loses at most, relative.
    const ROUNDING: f64;

    /// The kernel of this type.
    fn pick(f16: &'static str, bf16: &'static str) -> &'static str;
    /// The nearest value.
    fn of(value: f64) -> Self;
    /// The value, exactly.
    fn wide(self) -> f64;
}

impl Element for f16 {
    const NAME: &'static str = "f16";
    const ROUNDING: f64 = 1.0 / 2048.0;

    fn pick(f16: &'static str, _: &'static str) -> &'static str {
        f16
    }

    fn of(value: f64) -> Self {
        f16::from_f64(value)
    }

    fn wide(self) -> f64 {
        self.to_f64()
    }
}

impl Element for bf16 {
    const NAME: &'static str = "bf16";
    const ROUNDING: f64 = 1.0 / 256.0;

    fn pick(_: &'static str, bf16: &'static str) -> &'static str {
        bf16
    }

    fn of(value: f64) -> Self {
        bf16::from_f64(value)
    }

    fn wide(self) -> f64 {
        self.to_f64()
    }
}
