#!/usr/bin/env bash
# Gets TensorRT-RTX from its PyPI wheel: builds engines for the RTX 4090 on any x86_64 machine, and runs them on the card.
# Idempotent. Usage: setup-tensorrt-rtx.sh --accept-license [FOLDER]   (default: ~/.local/lib/smgeo-tensorrt-rtx)
#
# The library is NVIDIA's, under its Software License Agreement; the wheel holds the text. Nothing here accepts it for you.
set -euo pipefail

VERSION=1.7.1.116
fail() { echo "setup-tensorrt-rtx.sh: $1" >&2; exit 1; }
[ "${1:-}" = --accept-license ] || fail "read NVIDIA's licence of TensorRT-RTX (developer.nvidia.com/tensorrt-rtx), then pass --accept-license"
folder=${2:-$HOME/.local/lib/smgeo-tensorrt-rtx}
libs=$folder/tensorrt_rtx_libs
[ "$(uname -m)" = x86_64 ] || fail "this wheel is for x86_64, this is $(uname -m); a Jetson has TensorRT from JetPack"
command -v python3 >/dev/null || fail "python3 with pip is needed to fetch the wheel: apt-get install python3-pip"

if [ ! -e "$libs/libtensorrt_rtx.so.1" ]; then
  wheels=$(mktemp -d)
  trap 'rm -rf "$wheels"' EXIT
  python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 \
    --dest "$wheels" "tensorrt-rtx-cu13-libs==$VERSION" ||
    fail "the wheel of TensorRT-RTX $VERSION cannot be fetched; is PyPI reachable, and pip installed?"
  mkdir -p "$folder"
  python3 -m zipfile -e "$wheels"/tensorrt_rtx*.whl "$folder"
fi
# The ONNX parser asks the loader for the library without its version, and ends the process where that is not found.
ln -sf libtensorrt_rtx.so.1 "$libs/libtensorrt_rtx.so"
echo "TensorRT-RTX $VERSION is in $libs"
