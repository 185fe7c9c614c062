#!/usr/bin/env bash
# Gets the OpenVINO library from its PyPI wheel, for the `openvino` backend: on x86 1.1 to 1.3 times as fast as the built-in one
# (docs/benchmarks.md).
# Idempotent. Usage: setup-openvino.sh [FOLDER]   (default: ~/.local/lib/smgeo-openvino)
set -euo pipefail

VERSION=2026.4.1
folder=${1:-$HOME/.local/lib/smgeo-openvino}
libs=$folder/openvino/libs

fail() { echo "setup-openvino.sh: $1" >&2; exit 1; }
[ "$(uname -m)" = x86_64 ] || fail "OpenVINO's CPU backend is for x86_64, this is $(uname -m); the built-in backend needs nothing"
command -v python3 >/dev/null || fail "python3 with pip is needed to fetch the wheel: apt-get install python3-pip"

# The wheel names its libraries with a version, and that of another one is replaced.
if [ ! -e "$libs/libopenvino_c.so" ] || [ ! -d "$folder/openvino-$VERSION.dist-info" ]; then
  wheels=$(mktemp -d)
  trap 'rm -rf "$wheels"' EXIT
  python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$wheels" "openvino==$VERSION" ||
    fail "the wheel of OpenVINO $VERSION cannot be fetched; is PyPI reachable, and pip installed?"
  rm -rf "$folder/openvino" "$folder"/openvino-*.dist-info
  mkdir -p "$folder"
  python3 -m zipfile -e "$wheels"/openvino-*.whl "$folder"
  # The loader asks for the libraries without their versions.
  for name in libopenvino libopenvino_c; do
    ln -sf "$(basename "$(ls "$libs/$name".so.*)")" "$libs/$name.so"
  done
fi
echo "OpenVINO $VERSION is in $libs"
[ "$folder" = "$HOME/.local/lib/smgeo-openvino" ] ||
  echo "let smgeo find it there with openvino_folder = \"$libs\" in the configuration's [engine]"
