# The verbs of this repository. Each installs what it needs on a fresh machine; a second run is quick.

# rustup's cargo, and the tools of the administrator, also where the shell that called make does not know them.
export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/sbin:/sbin
TARGET := $(or $(CARGO_TARGET_DIR),target)
BUILD = cargo build --workspace --bins

.PHONY: help demo demo-down test test-pure test-loom test-vdev test-net test-asan test-qemu lint fuzz bench bench-micro bench-check bench-failover bench-takeover bench-health clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## build, then watch real HTTP traffic balanced in network namespaces (as root); KEEP=1 leaves the lab up
	@scripts/install-deps rust build lab
	$(BUILD)
	@$(TARGET)/debug/weir-demo $(if $(KEEP),--keep)

demo-down: ## remove the lab that `make demo KEEP=1` left up
	@$(TARGET)/debug/weir-demo --down

test: lint test-pure test-loom test-vdev test-net ## everything: format, lint, and the four layers of tests

test-pure: ## the tests that need neither root nor DPDK
	@scripts/install-deps rust
	@scripts/run-tests pure

test-loom: ## model checks of the rings and of snapshot publication
	@scripts/install-deps rust
	@scripts/run-tests loom

test-vdev: ## real DPDK on virtual devices, without hugepages
	@scripts/install-deps rust build
	@scripts/run-tests vdev

test-net: ## scenarios in network namespaces with real clients and servers (as root)
	@scripts/install-deps rust build lab servers
	$(BUILD)
	@scripts/run-tests net

test-qemu: ## virtual functions on real SR-IOV in an emulated machine (as root, on Debian); JOBS="settings lifecycle balance" and nested, libvirt, units
	@scripts/install-deps rust build
	@tests/qemu/run $(JOBS)

test-asan: ## the packet path, the rings and the daemon on DPDK under AddressSanitizer; needs a nightly toolchain
	@scripts/install-deps rust
	@scripts/run-tests asan

lint: ## format check and clippy, warnings are errors
	@scripts/install-deps rust build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

fuzz: ## each fuzz target for FUZZ_S seconds (30); needs a nightly toolchain and cargo-fuzz
	@scripts/install-deps rust
	@scripts/fuzz

bench: ## the running dataplane against dpdk-testpmd, with the goals (as root, 15 minutes); QUICK=1: two minutes; RECORD=1: into RESULTS.md
	@scripts/install-deps rust build bench
	cargo build --release --locked -p weir-dataplane -p weir-control -p weir-benches --bins
	@$(TARGET)/release/weir-compare $(if $(QUICK),--quick) $(if $(RECORD),--record benches/RESULTS.md)

bench-micro: ## micro-benchmarks of the packet path
	@scripts/install-deps rust build
	cargo bench -p weir-benches

bench-health: ## ten thousand health checks at 5 s from one process, for WEIR_CHECKS_S seconds (300): jitter, CPU, memory; a start 100 ms off fails
	@scripts/install-deps rust
	WEIR_CHECKS_S=$${WEIR_CHECKS_S:-300} cargo test --release --locked -p weir-control --lib thousands_of_checks -- --nocapture

bench-check: ## instructions per packet against the recorded ones; 2 % more fails
	@scripts/install-deps rust build bench
	@scripts/bench-check

bench-failover: ## KILLS kills (100) of the active director at adverts of 10 ms: how long a client waits (as root)
	@scripts/install-deps rust build lab
	cargo build --workspace --bins --release
	WEIR_KILLS=$(or $(KILLS),100) WEIR_REQUIRE_PRIVILEGED=1 WEIR_BIN_DIR=$(abspath $(TARGET))/release cargo test -p weir-tests --test scenarios -- --exact --nocapture directors::kills::a_client_waits_for_a_killed_director

bench-takeover: ## TURNS take-overs (10) of weir and of keepalived by turns in five cases, judged at + 5 ms (as root, 5 minutes); RECORD=1: into RESULTS.md
	@scripts/install-deps rust build lab
	cargo build --workspace --bins --release
	$(if $(RECORD),WEIR_RECORD=$(abspath benches/RESULTS.md)) WEIR_TAKEOVERS=$(or $(TURNS),10) WEIR_REQUIRE_PRIVILEGED=1 WEIR_BIN_DIR=$(abspath $(TARGET))/release cargo test -p weir-tests --test scenarios -- --exact --nocapture vrrp::takeover::take_over_times_beside_keepalived

clean: ## build results, and every laboratory that was left behind
	-@test ! -x $(TARGET)/debug/weir-demo || $(TARGET)/debug/weir-demo --down
	cargo clean
