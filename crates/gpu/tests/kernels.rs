//! The kernels' source on the host, against references in f64. What a GPU adds to this is in `docs/gpu.md`.

#![allow(unsafe_code, reason = "one launch that is wrong on purpose")]

use smgeo_gpu::conformance::{self, Extent, Report};
use smgeo_gpu::emulation::{Emulation, Order};
use smgeo_gpu::{Buffer, Device, GmoeShape, GpuError, Routing, gmoe_route};

/// Runs a part of the suite with threads in rising and in falling order: both are right and to the bit the same.
fn check(suite: impl Fn(&Emulation) -> Result<Report, GpuError>) {
    let forwards = suite(&Emulation::new(Order::Forwards)).unwrap();
    let backwards = suite(&Emulation::new(Order::Backwards)).unwrap();
    println!("{forwards}");
    assert!(!forwards.cases.is_empty() && forwards.holds(), "{forwards}");
    assert!(forwards == backwards, "the order of the threads shows:\n{forwards}\n{backwards}");
}

#[test]
fn the_mixture_of_experts_equals_its_reference() {
    check(|device| conformance::gmoe(device, Extent::Edges));
}

#[test]
fn window_attention_equals_its_reference() {
    check(|device| conformance::window_attention(device, Extent::Edges));
}

#[test]
fn images_are_prepared_as_on_the_cpu() {
    check(conformance::preprocess);
}

#[test]
fn operands_of_the_wrong_length_are_refused_by_name() {
    let device = Emulation::new(Order::Forwards);
    let shape = GmoeShape::new([4, 1], [6, 2], [8, 8]).unwrap();
    let logits = Buffer::of(&device, &[0.0; 23]).unwrap();
    let mut routing = Routing::new(&device, &shape).unwrap();
    let error = gmoe_route(&device, &shape, &logits, &mut routing).unwrap_err();
    assert_eq!(error.to_string(), "gmoe_route: `logits` has 23 elements, 24 are needed");
    let other = GmoeShape::new([8, 1], [6, 1], [8, 8]).unwrap();
    let logits = Buffer::of(&device, &[0.0; 48]).unwrap();
    let error = gmoe_route(&device, &other, &logits, &mut routing).unwrap_err();
    assert!(error.to_string().contains("a routing of"), "{error}");
}

#[test]
fn the_emulation_sees_a_write_outside_of_its_memory() {
    use smgeo_gpu::device::{Launch, Memory};
    let device = Emulation::new(Order::Forwards);
    let (frame, short) = (device.allocate(4 * 130 * 2).unwrap(), device.allocate(256).unwrap());
    let mut arguments: [u64; 4] = [frame.address(), short.address(), 130, 2];
    let mut pointers = arguments.each_mut().map(|argument| std::ptr::from_mut(argument).cast());
    let launch = Launch { kernel: "preprocess_halve", grid: [1, 1, 1], threads: 96 };
    // SAFETY: 65 pixels of 4 bytes are written: 4 bytes beyond the 256, into the guard behind them.
    let result = unsafe { device.launch(launch, &mut pointers) };
    assert!(matches!(result, Err(GpuError::OutOfBounds("preprocess_halve"))), "{result:?}");
}
