#!/usr/bin/env bash
# Makes one folder with all that a GPU machine needs to check and measure the kernels: the program, the module of kernels, the
# plugin's launches, the same blocks in PyTorch, and a script. It needs the driver there, nothing else; carry it over and run
# ./run.sh.
# Usage: gpu-folder.sh [OUT]   (default: target/gpu/carry)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-target/gpu/carry}
./scripts/setup-cuda.sh
# The assembler's report goes where errors do: it is shown where the build fails.
mkdir -p "$out"
./scripts/build-cuda.sh "$out" 2>"$out/build.log" || { cat "$out/build.log" >&2; exit 1; }
rm "$out/build.log"
cargo build -p smgeo-gpu --bin smgeo-gpu --features cuda
strip -o "$out/smgeo-gpu" "${CARGO_TARGET_DIR:-target}/debug/smgeo-gpu"
cp benches/peers/gpu_blocks.py "$out/"
./scripts/build-tensorrt.sh rtx "$out"
cat > "$out/run.sh" <<'RUN'
#!/usr/bin/env bash
# run.sh check: every kernel and the plugin's launches against f64 references; then, where compute-sanitizer is on PATH, all but
# the largest shapes once more under memcheck and racecheck. run.sh bench: times against the card's bounds; then, where python3
# has torch, PyTorch's times of the same blocks.
set -euo pipefail
cd "$(dirname "$0")"
case "${1:-check}" in
  check)
    ./smgeo-gpu check smgeo_kernels.fatbin
    ./plugin_launches_rtx
    if command -v compute-sanitizer >/dev/null; then
      for tool in memcheck racecheck; do
        for program in "./smgeo-gpu check smgeo_kernels.fatbin --edges" ./plugin_launches_rtx; do
          compute-sanitizer --tool "$tool" --error-exitcode 1 $program >"$tool.log" ||
            { tail -40 "$tool.log"; echo "run.sh: $tool found something, see $tool.log" >&2; exit 1; }
          echo "holds  $tool finds nothing in $program"
        done
      done
    else
      echo "skipped: memcheck and racecheck need compute-sanitizer on PATH"
    fi ;;
  bench)
    ./smgeo-gpu bench smgeo_kernels.fatbin
    if python3 -c 'import torch' 2>/dev/null; then
      python3 gpu_blocks.py
    else
      echo "skipped: PyTorch's times need python3 with torch on PATH"
    fi ;;
  *) echo "run.sh: give check or bench" >&2; exit 2 ;;
esac
RUN
chmod +x "$out/run.sh"
echo "gpu-folder.sh: $out"
