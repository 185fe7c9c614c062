#!/usr/bin/env bash
# Measures the engine side by side and writes the tables of docs/benchmarks.md. Takes about 7 minutes on two quiet cores, once all is
# built. Usage: tables.sh [PYTHON [REFERENCE]]
#   PYTHON     interpreter of an environment made by benches/peers/setup.sh; without it no peers are measured
#   REFERENCE  folder with the PyTorch reference model (reference_model.py); without it PyTorch is left out
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/random-package.sh tiny-template tiny-paper tiny-plain tiny-dense nano-template nano-plain nano-dense nano-static
random=$(cd "${CARGO_TARGET_DIR:-target}/random-packages" && pwd)

arguments=(--package models/smgeo-nano --package "$random/tiny-template" --write docs/benchmarks.md)
arguments+=(--beside "tiny=$random/tiny-template,plain Swin of equal multiply-adds=$random/tiny-plain,all experts=$random/tiny-dense")
arguments+=(--beside "nano=$random/nano-template,plain Swin of equal multiply-adds=$random/nano-plain,all experts=$random/nano-dense,gathered experts=$random/nano-static")
[ $# -lt 1 ] || arguments+=(--peers "$1")
[ $# -lt 2 ] || arguments+=(--paper "$random/tiny-paper" --reference "$2")
exec cargo bench --workspace --profile dev --bench tables -- "${arguments[@]}"
