#!/usr/bin/env bash
# Installs the Debian packages that smgeo needs to build and run. It does not install Rust: without one that is new enough it ends
# with an error.
# Idempotent: with everything in place it prints one line and changes nothing.
set -euo pipefail

RUST_MIN=1.95

build=(build-essential ca-certificates git make pkg-config
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstrtspserver-1.0-dev libudev-dev)
run=(gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
  gstreamer1.0-libav)
# The page's test drives a real browser.
test=(chromium)

packages=("${build[@]}" "${run[@]}")
for argument in "$@"; do
  case "$argument" in
    --with-tests) packages+=("${test[@]}") ;;
    *) echo "setup.sh: unknown argument '$argument'; it takes --with-tests or nothing" >&2; exit 2 ;;
  esac
done

missing=()
if command -v dpkg-query >/dev/null; then
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
  done
else
  echo "setup.sh: this is not a Debian system. Install the equivalents of these packages, and Rust $RUST_MIN or newer:" >&2
  printf '  %s\n' "${packages[@]}" >&2
  exit 1
fi

if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup.sh: run me as root, or install sudo; missing: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  echo "setup.sh: installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

have_rust() {
  command -v rustc >/dev/null || return 1
  local version
  version=$(rustc --version | awk '{print $2}' | cut -d- -f1)
  [ "$(printf '%s\n%s\n' "$RUST_MIN" "$version" | sort -V | head -n 1)" = "$RUST_MIN" ]
}
[ -r "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
if ! have_rust; then
  echo "setup.sh: Rust $RUST_MIN or newer is needed. Get it from https://rustup.rs (one command, no root), then run this again." >&2
  exit 1
fi
echo "setup.sh: everything is in place"
