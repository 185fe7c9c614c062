//! Operands in a device's memory, made once and run many times: for timings and CUDA graphs.

use super::noise::Noise;
use crate::device::{Buffer, Device};
use crate::element::Element;
use crate::error::GpuError;
use crate::gmoe::{GmoeInputs, GmoeShape, Layer, Workspace, gmoe};
use crate::window_attention::{AttentionShape, OFFSETS, window_attention};

/// A mixture of experts with random operands.
pub struct GmoeSample<T: Element, D: Device> {
    shape: GmoeShape,
    x: Buffer<T, D>,
    logits: Buffer<f32, D>,
    fc1: Layer<T, D>,
    fc2: Layer<T, D>,
    workspace: Workspace<T, D>,
    out: Buffer<T, D>,
}

impl<T: Element, D: Device> GmoeSample<T, D> {
    /// Operands for a shape.
    pub fn new(device: &D, shape: &GmoeShape) -> Result<Self, GpuError> {
        let mut noise = Noise::new(1);
        let (experts, channels, width) = (shape.experts(), shape.channels(), shape.width());
        let logits = noise.numbers(shape.cells() * experts, 2.0, |value| value as f32);
        let mut numbers = |count: usize, reach: f64| Buffer::of(device, &noise.numbers(count, reach, T::of));
        let mut layer = |inputs: usize, outputs: usize| -> Result<Layer<T, D>, GpuError> {
            let weight = numbers(experts * inputs * outputs, (3.0 / inputs as f64).sqrt())?;
            Ok(Layer { weight, bias: numbers(experts * outputs, 0.3)? })
        };
        let (fc1, fc2) = (layer(channels, width)?, layer(width, channels)?);
        Ok(Self {
            shape: *shape,
            x: numbers(shape.numbers(), 1.7)?,
            logits: Buffer::of(device, &logits)?,
            fc1,
            fc2,
            workspace: Workspace::new(device, shape)?,
            out: Buffer::new(device, shape.numbers())?,
        })
    }

    /// Launches the four kernels.
    pub fn run(&mut self, device: &D) -> Result<(), GpuError> {
        let Self { shape, x, logits, fc1, fc2, workspace, out } = self;
        gmoe(device, shape, &GmoeInputs { x, logits, fc1, fc2, residual: Some(x) }, workspace, out)
    }

    /// What came out.
    pub fn out(&self, device: &D) -> Result<Vec<T>, GpuError> {
        self.out.read(device)
    }

    /// Forgets what came out.
    pub fn clear(&mut self, device: &D) -> Result<(), GpuError> {
        self.out.write(device, &vec![T::default(); self.shape.numbers()])
    }

    /// Bytes that have to move at least once: operands and result; what lies between the kernels not counted.
    pub fn bytes(&self) -> usize {
        let used = self.shape.experts().min(self.shape.slots());
        let weights = 2 * used * self.shape.channels() * self.shape.width();
        2 * (weights + 2 * self.shape.numbers()) + 4 * self.shape.cells() * self.shape.experts()
    }

    /// The shape.
    pub fn shape(&self) -> &GmoeShape {
        &self.shape
    }
}

/// Window attention with random operands.
pub struct AttentionSample<T: Element, D: Device> {
    shape: AttentionShape,
    qkv: Buffer<T, D>,
    bias: Buffer<f32, D>,
    out: Buffer<T, D>,
}

impl<T: Element, D: Device> AttentionSample<T, D> {
    /// Operands for a shape.
    pub fn new(device: &D, shape: &AttentionShape) -> Result<Self, GpuError> {
        let mut noise = Noise::new(2);
        Ok(Self {
            shape: *shape,
            qkv: Buffer::of(device, &noise.numbers(3 * shape.numbers(), 2.0, T::of))?,
            bias: Buffer::of(device, &noise.numbers(OFFSETS * shape.heads(), 1.0, |value| value as f32))?,
            out: Buffer::new(device, shape.numbers())?,
        })
    }

    /// Launches the kernel.
    pub fn run(&mut self, device: &D) -> Result<(), GpuError> {
        window_attention(device, &self.shape, &self.qkv, Some(&self.bias), &mut self.out)
    }

    /// Bytes that have to move at least once.
    pub fn bytes(&self) -> usize {
        2 * 4 * self.shape.numbers()
    }

    /// Multiply-adds of both products.
    pub fn multiply_adds(&self) -> usize {
        2 * 64 * self.shape.numbers()
    }
}
