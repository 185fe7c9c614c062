#!/usr/bin/env bash
# Makes a Python environment with the engines that ours is measured beside. Idempotent. Takes about 6 GB with PyTorch.
# Usage: setup.sh FOLDER [--without-pytorch]
set -euo pipefail

fail() { echo "setup.sh: $1" >&2; exit 1; }
[ $# -ge 1 ] || fail "give a folder for the environment"
folder=$1
command -v python3 >/dev/null || fail "python3 with venv is needed: apt-get install python3-venv"

[ -x "$folder/bin/python" ] || python3 -m venv "$folder"
"$folder/bin/pip" install --quiet numpy onnx onnxruntime==1.31.1 openvino==2026.4.1
# On x86 the wheel brings CUDA libraries along, without which it does not load.
[ "${2:-}" = --without-pytorch ] || "$folder/bin/pip" install --quiet torch==2.15.0
echo "the peers are in $folder; measure with: make bench PEERS=\"$folder/bin/python\" (benches/tables.sh says what else it takes)"
