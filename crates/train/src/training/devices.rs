//! What a network is trained on.

use anyhow::bail;
use burn::tensor::Device;

/// The first `count` devices of this build: CUDA's with the feature `cuda`, else the CPU, which is one.
pub fn first(count: usize) -> anyhow::Result<Vec<Device>> {
    if count <= 1 {
        return Ok(vec![Device::default()]);
    }
    if cfg!(feature = "cuda") {
        return Ok(several(count));
    }
    bail!(
        "training.devices = {count}, but this build knows one device, the CPU: build with --features cuda, or ask for 1"
    )
}

#[cfg(feature = "cuda")]
fn several(count: usize) -> Vec<Device> {
    (0..count).map(Device::cuda).collect()
}

#[cfg(not(feature = "cuda"))]
fn several(_count: usize) -> Vec<Device> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_second_cpu_is_refused_with_the_way_out() {
        assert_eq!(first(1).unwrap().len(), 1);
        assert!(first(2).unwrap_err().to_string().contains("--features cuda"));
    }
}
