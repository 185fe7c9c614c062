#!/usr/bin/env bash
# Makes libsmgeo_tensorrt_FLAVOUR.so: the plugin for smgeo::GMoE and the C functions through which smgeo speaks to TensorRT. And
# plugin_launches_FLAVOUR, which tests the plugin's launches on a GPU, without TensorRT.
# Usage: build-tensorrt.sh rtx|enterprise [OUT]   (default: target/gpu)
#
# Headers: TENSORRT_INCLUDE where it is set (on a Jetson: /usr/include/aarch64-linux-gnu), else those of setup-cuda.sh. Nothing
# of TensorRT's is linked.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "build-tensorrt.sh: $1" >&2; exit 1; }
flavour=${1:-}
out=${2:-target/gpu}
case "$flavour" in
  rtx) defines=(-DSMGEO_TRT_RTX) ;;
  enterprise) defines=() ;;
  *) fail "name the flavour: rtx (RTX 4090) or enterprise (Jetson, data centre)" ;;
esac
folder=$HOME/.local/lib/smgeo-cuda
headers=${TENSORRT_INCLUDE:-$folder/tensorrt-headers/$flavour}
[ -e "$headers/NvInfer.h" ] || fail "no NvInfer.h in $headers; run scripts/setup-cuda.sh or set TENSORRT_INCLUDE"
# JetPack's own lies off PATH; its version is the driver's, which those of setup-cuda.sh may be too new for.
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
nvcc=${nvcc:-$folder/nvidia/cu13/bin/nvcc}
[ -x "$nvcc" ] || fail "no nvcc on PATH or in $folder; run scripts/setup-cuda.sh"

# The plugin's kernels carry code for each GPU that is flown, and intermediate code from which the driver makes that of any other
# from sm_80 on (`--target host`); the CUDA runtime is inside, so only the driver is needed.
targets=()
for sm in 87 89 90; do targets+=(-gencode "arch=compute_$sm,code=sm_$sm"); done
targets+=(-gencode "arch=compute_80,code=compute_80")
toolkit=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
libraries=()
for lib in "$toolkit/lib" "$toolkit/lib64"; do [ -d "$lib" ] && libraries+=("-L$lib"); done
mkdir -p "$out"
compile=("$nvcc" -O3 -std=c++17 --cudart static "${targets[@]}" "${defines[@]}" -isystem "$headers" "${libraries[@]}")
"${compile[@]}" -shared \
  -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra -Xlinker --no-undefined \
  -o "$out/libsmgeo_tensorrt_$flavour.so" crates/gpu/tensorrt/gmoe_plugin.cu crates/gpu/tensorrt/shim.cpp
"${compile[@]}" -Xcompiler -Wall,-Wextra -o "$out/plugin_launches_$flavour" -x cu crates/gpu/tests/plugin_launches.cpp
echo "build-tensorrt.sh: $out/libsmgeo_tensorrt_$flavour.so"
