#!/usr/bin/env bash
# Gets nvcc from its PyPI wheels, and TensorRT's headers from the crate that carries them, so that device code and the plugin
# build on a machine without CUDA or a GPU. Idempotent. Usage: setup-cuda.sh [FOLDER]   (default: ~/.local/lib/smgeo-cuda)
#
# nvcc and the CUDA runtime come under NVIDIA's CUDA EULA, the headers under Apache-2.0.
set -euo pipefail

# 13.0, not newer: drivers refuse device code of a toolkit newer than they are.
NVCC=13.0.88
RUNTIME=13.0.96
CCCL=13.0.85
TRTX_SYS=0.9.1
folder=${1:-$HOME/.local/lib/smgeo-cuda}
toolkit=$folder/nvidia/cu13
headers=$folder/tensorrt-headers

fail() { echo "setup-cuda.sh: $1" >&2; exit 1; }
command -v python3 >/dev/null || fail "python3 with pip is needed to fetch the wheels: apt-get install python3-pip"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ ! -x "$toolkit/bin/nvcc" ]; then
  python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$scratch" "nvidia-cuda-nvcc==$NVCC" \
    "nvidia-nvvm==$NVCC" "nvidia-cuda-crt==$NVCC" "nvidia-cuda-runtime==$RUNTIME" "nvidia-cuda-cccl==$CCCL" ||
    fail "the wheels of CUDA $NVCC cannot be fetched; is PyPI reachable, and pip installed?"
  mkdir -p "$folder"
  for wheel in "$scratch"/*.whl; do python3 -m zipfile -e "$wheel" "$folder"; done
  # Unpacking loses which files are programs.
  chmod +x "$toolkit"/bin/* "$toolkit"/nvvm/bin/*
fi

if [ ! -d "$headers" ]; then
  command -v cargo >/dev/null || fail "cargo is needed to fetch TensorRT's headers: run scripts/setup.sh"
  mkdir -p "$scratch/fetch"
  : > "$scratch/fetch/lib.rs"
  cat > "$scratch/fetch/Cargo.toml" <<TOML
[package]
name = "fetch"
version = "0.0.0"
edition = "2024"
[lib]
path = "lib.rs"
[dependencies]
trtx-sys = { version = "=$TRTX_SYS", default-features = false }
[workspace]
TOML
  (cd "$scratch/fetch" && cargo vendor --quiet vendored >/dev/null) ||
    fail "the crate trtx-sys $TRTX_SYS cannot be fetched; is crates.io reachable?"
  mkdir -p "$headers"
  cp -r "$scratch/fetch/vendored/trtx-sys/TensorRT-Headers/TRT-RTX-1.7" "$headers/rtx"
  cp -r "$scratch/fetch/vendored/trtx-sys/TensorRT-Headers/TRT-Enterprise-11.4" "$headers/enterprise"
fi
echo "nvcc $NVCC is in $toolkit/bin, TensorRT's headers are in $headers"
