#!/usr/bin/env bash
# Writes engine packages with random weights into target/random-packages, for measuring and for building engines of sizes that
# are not trained. Idempotent. Usage: random-package.sh PRESET-VARIANT..., such as tiny-template
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -ge 1 ] || { echo "random-package.sh: name a package, such as tiny-template" >&2; exit 1; }
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/random-packages"
missing=()
for package in "$@"; do
  [ -e "$target/random-packages/$package/package.toml" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
# For the whole workspace, as the tests are built: one crate's own choice of features would compile its dependencies again.
cargo build --quiet --workspace --example random_package
for package in "${missing[@]}"; do
  "$target/debug/examples/random_package" "${package%-*}" "${package#*-}" "$target/random-packages/$package"
done
