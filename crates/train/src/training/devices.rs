//! What a network is trained on.

use burn::tensor::Device;

/// The first `count` devices of this build: CUDA's with the feature `cuda`, graphics cards with `wgpu`, else the CPU as often, since a
/// batch alone leaves cores idle. A single one is burn's default, which its environment variable `BURN_DEVICE` may name.
pub fn first(count: usize) -> Vec<Device> {
    if count <= 1 { vec![Device::default()] } else { several(count) }
}

#[cfg(feature = "cuda")]
fn several(count: usize) -> Vec<Device> {
    (0..count).map(Device::cuda).collect()
}

#[cfg(all(feature = "wgpu", not(feature = "cuda")))]
fn several(count: usize) -> Vec<Device> {
    (0..count).map(|index| Device::wgpu(burn::tensor::DeviceKind::DiscreteGpu(index))).collect()
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
fn several(count: usize) -> Vec<Device> {
    (0..count).map(|_| Device::flex()).collect()
}
