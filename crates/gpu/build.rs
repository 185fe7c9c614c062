//! Compiles the kernels for the host where the feature `emulation` asks for it. Device code is made by
//! `scripts/build-cuda.sh`, so that building the crate needs no CUDA.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "emulation")]
    emulation();
}

#[cfg(feature = "emulation")]
fn emulation() {
    println!("cargo:rerun-if-changed=kernels");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        // The kernels' loops are unrolled on request of their pragmas, which only a device compiler knows.
        .flag("-Wno-unknown-pragmas")
        .file("kernels/emulation/emulate.cpp")
        .compile("smgeo_emulation");
}
