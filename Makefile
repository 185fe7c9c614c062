# Thin on purpose: each target is the command a person would type.
.PHONY: demo test check bench build setup test-cuda-build test-trt-build test-gpu bench-gpu

# Where rustup puts cargo; a shell that was opened before does not look there.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

# Installs what is missing, builds, and flies over a made town: open the address it prints.
demo: setup build
	./target/debug/smgeo demo $(ARGS)

# Everything that needs no GPU.
test: setup-tests
	@if command -v cargo-nextest >/dev/null; then cargo nextest run --workspace; else cargo test --workspace; fi

# What CI checks before the tests. The feature `tensorrt` brings the code that runs on a GPU, which nothing else here compiles.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --all-targets --features tensorrt -- -D warnings
	cargo test --workspace --doc

# The engine's tables in docs/benchmarks.md, then the runtime's own overhead; PEERS="PYTHON REFERENCE" measures others beside it, see benches/peers/setup.sh.
bench: setup
	./benches/tables.sh $(PEERS)
	cargo bench --workspace --profile dev --bench frame_path --bench latest --bench tiles --bench ahead --bench clients

build: setup
	cargo build

setup:
	./scripts/setup.sh

# Device code for each GPU that is flown, inside of its budgets; gets nvcc the first time. Needs no GPU.
test-cuda-build:
	./scripts/setup-cuda.sh
	cargo test -p smgeo-gpu --test device_code -- --nocapture

# The plugin, and real engines for the RTX 4090, built without a GPU: of smgeo-nano, and of tiny with random weights. The engines need
# TensorRT-RTX, whose licence you accept by running scripts/setup-tensorrt-rtx.sh --accept-license once; without it the tests say
# that they were skipped.
test-trt-build:
	./scripts/setup-cuda.sh
	./scripts/random-package.sh tiny-template
	./scripts/build-tensorrt.sh rtx
	./scripts/build-tensorrt.sh enterprise
	cargo test -p smgeo-gpu --test plugin --test lowering --test engine_build -- --nocapture

# On a machine with a GPU: every kernel against its reference, and its time, beside PyTorch's where python3 has it. For another machine,
# carry target/gpu/carry there.
test-gpu bench-gpu:
	./scripts/gpu-folder.sh
	$(if $(filter test-gpu,$@),cargo test -p smgeo-gpu --features cuda --lib --test backend -- --nocapture)
	./target/gpu/carry/run.sh $(if $(filter bench-gpu,$@),bench,check)

setup-tests:
	./scripts/setup.sh --with-tests
.PHONY: setup-tests
