//! What a network is trained on.

use anyhow::bail;
use burn::tensor::Device;

/// The first `count` devices of this build: CUDA's with the feature `cuda`, graphics cards with `wgpu`, else the CPU, which is one.
/// A single one is burn's default, which its environment variable `BURN_DEVICE` may name.
pub fn first(count: usize) -> anyhow::Result<Vec<Device>> {
    if count <= 1 {
        return Ok(vec![Device::default()]);
    }
    match several(count) {
        devices if devices.is_empty() => bail!(
            "training.devices = {count}, but this build knows one device, the CPU: build with --features cuda or wgpu, or ask for 1"
        ),
        devices => Ok(devices),
    }
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
fn several(_count: usize) -> Vec<Device> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(any(feature = "cuda", feature = "wgpu")))]
    fn a_second_cpu_is_refused_with_the_way_out() {
        assert_eq!(first(1).unwrap().len(), 1);
        assert!(first(2).unwrap_err().to_string().contains("--features cuda"));
    }
}
