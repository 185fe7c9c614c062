#!/usr/bin/env bash
# Makes device code: smgeo_kernels.fatbin, the module of all kernels, which the program loads at run time.
# Usage: build-cuda.sh [OUT]   (default: target/gpu). Takes nvcc from PATH or /usr/local/cuda, else from where
# setup-cuda.sh puts it.
set -euo pipefail
cd "$(dirname "$0")/.."

# Jetson Orin, RTX 4090, Hopper; and intermediate code for all others from sm_80 on.
ARCHITECTURES=(87 89 90)
out=${1:-target/gpu}
# JetPack's own lies off PATH; its version is the driver's, which those of setup-cuda.sh may be too new for.
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
nvcc=${nvcc:-$HOME/.local/lib/smgeo-cuda/nvidia/cu13/bin/nvcc}
[ -x "$nvcc" ] || { echo "build-cuda.sh: no nvcc on PATH or in ~/.local/lib/smgeo-cuda; run scripts/setup-cuda.sh" >&2; exit 1; }

targets=()
for sm in "${ARCHITECTURES[@]}"; do targets+=(-gencode "arch=compute_$sm,code=sm_$sm"); done
targets+=(-gencode "arch=compute_80,code=compute_80")
mkdir -p "$out"
# -v makes the assembler print what each kernel takes; tests compare it with a budget.
"$nvcc" -O3 -std=c++17 -fatbin "${targets[@]}" -Xptxas -v -o "$out/smgeo_kernels.fatbin" crates/gpu/kernels/kernels.cu
echo "build-cuda.sh: $out/smgeo_kernels.fatbin"
