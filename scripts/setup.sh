#!/usr/bin/env bash
# Installs the Debian packages that smgeo needs to build and run, and Rust by rustup where there is no cargo: Debian 12's own is too
# old. A Rust that is there and too old is left as it is, and is an error.
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

cargo_home=${CARGO_HOME:-$HOME/.cargo}
[ -r "$cargo_home/env" ] && . "$cargo_home/env"
# rustup is fetched by curl.
if ! command -v cargo >/dev/null; then packages+=(curl); fi

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

fail() { echo "setup.sh: $1" >&2; exit 1; }

install_rust() {
  echo "setup.sh: installing Rust into $cargo_home with rustup"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  local way_out="Let this machine reach it, or install Rust $RUST_MIN or newer in another way, and run this again."
  curl --proto '=https' --tlsv1.2 -sSf --retry 3 --connect-timeout 20 -o "$scratch/rustup.sh" https://sh.rustup.rs ||
    fail "https://sh.rustup.rs, from where Rust comes, cannot be reached. $way_out"
  # Shells are left as they are: make looks into this folder, and ". $cargo_home/env" does the same for a person.
  sh "$scratch/rustup.sh" -y --quiet --no-modify-path --profile minimal --component rustfmt,clippy ||
    fail "rustup could not fetch Rust from https://static.rust-lang.org. $way_out"
  . "$cargo_home/env"
}

have_rust() {
  command -v rustc >/dev/null || return 1
  local version
  version=$(rustc --version | awk '{print $2}' | cut -d- -f1)
  [ "$(printf '%s\n%s\n' "$RUST_MIN" "$version" | sort -V | head -n 1)" = "$RUST_MIN" ]
}

command -v cargo >/dev/null || install_rust
have_rust || fail "Rust $RUST_MIN or newer is needed, and $(command -v cargo) is older: run \`rustup update stable\`, or remove that Rust and run this again"
echo "setup.sh: everything is in place"
