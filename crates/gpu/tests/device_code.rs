//! Device code for every GPU that is flown, made by nvcc, inside of its budgets. Needs nvcc, no GPU.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Jetson Orin, RTX 4090, Hopper.
const ARCHITECTURES: [&str; 3] = ["sm_87", "sm_89", "sm_90"];

/// Registers and bytes of shared memory that a kernel may take. Blocks of the products have 128 threads: with 128 registers
/// four of them fit a multiprocessor's 65,536, and with 29,184 bytes three fit the 100 KiB of the smallest, sm_89.
const BUDGETS: [(&str, u32, u32); 13] = [
    ("gmoe_route", 64, 33_024),
    ("gmoe_fc1_f16", 128, 29_184),
    ("gmoe_fc1_bf16", 128, 29_184),
    ("gmoe_fc2_f16", 128, 29_184),
    ("gmoe_fc2_bf16", 128, 29_184),
    ("gmoe_combine_f16", 64, 0),
    ("gmoe_combine_bf16", 64, 0),
    ("window_attention_f16", 64, 34_304),
    ("window_attention_bf16", 64, 34_304),
    ("preprocess_nv12", 32, 0),
    ("preprocess_rgb", 32, 0),
    ("preprocess_halve", 32, 0),
    ("preprocess_crop", 64, 0),
];

/// What the assembler says of a kernel.
#[derive(Debug, Default, PartialEq)]
struct Usage {
    kernel: String,
    architecture: String,
    registers: u32,
    shared_bytes: u32,
    /// Local memory: spilled registers and arrays that found no register.
    local_bytes: u32,
}

#[test]
fn every_kernel_stays_inside_of_its_budget() {
    let Some(log) = built() else {
        println!("skipped: every_kernel_stays_inside_of_its_budget needs nvcc (run scripts/setup-cuda.sh)");
        return;
    };
    let usages = usages(&log);
    for architecture in ARCHITECTURES {
        for (kernel, registers, shared_bytes) in BUDGETS {
            let found = usages.iter().find(|usage| usage.kernel == kernel && usage.architecture == architecture);
            let usage = found.unwrap_or_else(|| panic!("{kernel} was not made for {architecture}:\n{log}"));
            println!("{usage:?}");
            assert!(usage.registers <= registers && usage.shared_bytes <= shared_bytes, "{usage:?}");
            assert_eq!(usage.local_bytes, 0, "{usage:?}");
        }
    }
    assert_eq!(usages.len(), ARCHITECTURES.len() * BUDGETS.len(), "a kernel has no budget: {usages:?}");
}

/// Builds the module and gives what the assembler said; nothing without nvcc.
fn built() -> Option<String> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let on_path = Command::new("nvcc").arg("--version").output().is_ok();
    if !on_path && !home.join(".local/lib/smgeo-cuda/nvidia/cu13/bin/nvcc").exists() {
        return None;
    }
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("device_code");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/build-cuda.sh");
    let run = Command::new(script).arg(&out).output().unwrap();
    let log = String::from_utf8_lossy(&run.stderr).into_owned() + &String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{log}");
    // As the program that loads it sees it.
    assert_eq!(smgeo_gpu::fatbin::check(&std::fs::read(out.join("smgeo_kernels.fatbin")).unwrap()), Ok(()));
    Some(log)
}

fn usages(log: &str) -> Vec<Usage> {
    let mut usages = Vec::new();
    let mut current = Usage::default();
    for line in log.lines() {
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        // The number before a phrase such as `bytes stack frame`.
        let before = |phrase: &[&str]| {
            let at = words.windows(phrase.len()).position(|window| window == phrase)?;
            words.get(at.checked_sub(1)?)?.parse::<u32>().ok()
        };
        if line.contains("Compiling entry function") {
            let quoted: Vec<&str> = line.split('\'').collect();
            current = Usage { kernel: quoted[1].into(), architecture: quoted[3].into(), ..Usage::default() };
        } else if let Some(stack) = before(&["bytes", "stack", "frame"]) {
            let spilled = before(&["bytes", "spill", "stores"]).unwrap_or(0);
            current.local_bytes = stack + spilled;
        } else if let Some(registers) = before(&["registers"]) {
            current.registers = registers;
            current.shared_bytes = before(&["bytes", "smem"]).unwrap_or(0);
            usages.push(std::mem::take(&mut current));
        }
    }
    usages
}

#[test]
fn what_the_assembler_says_is_understood() {
    let log = "ptxas info    : Compiling entry function 'gmoe_route' for 'sm_87'\n\
        ptxas info    : Function properties for gmoe_route\n    \
        16 bytes stack frame, 12 bytes spill stores, 12 bytes spill loads\n\
        ptxas info    : Used 40 registers, used 1 barriers, 16520 bytes smem, 412 bytes cmem[0]\n";
    let wanted = Usage {
        kernel: "gmoe_route".into(),
        architecture: "sm_87".into(),
        registers: 40,
        shared_bytes: 16_520,
        local_bytes: 28,
    };
    assert_eq!(usages(log), [wanted]);
}
