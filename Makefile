# Thin on purpose: each target is the command a person would type.
.PHONY: demo test check bench build setup

# Installs what is missing, builds, and flies over a made town: open the address it prints.
demo: setup build
	./target/debug/smgeo demo $(ARGS)

# Everything that needs no GPU.
test: setup-tests
	@if command -v cargo-nextest >/dev/null; then cargo nextest run --workspace; else cargo test --workspace; fi

# What CI checks before the tests.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace --doc

# The engine's tables in docs/benchmarks.md; PEERS="PYTHON REFERENCE" measures others beside it, see benches/peers/setup.sh.
bench: setup
	./benches/tables.sh $(PEERS)
	cargo bench --profile dev -p smgeo-runtime

build: setup
	cargo build

setup:
	./scripts/setup.sh

setup-tests:
	./scripts/setup.sh --with-tests
.PHONY: setup-tests
