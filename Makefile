# What people and CI run. Everything that is missing is fetched by scripts/setup; everything that is started is stopped again.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

wasm := --profile wasm --target wasm32-wasip1
target := $(abspath $(or $(CARGO_TARGET_DIR),target))
quick := --profile quick
# With the tests' package, so that one set of features serves the demo, too.
coordinator := $(quick) -p meshcache-coordinator -p meshcache-tests --bin meshcache-coordinator --bin meshcache
.PHONY: help setup check build install wasm native test-modules coordinator demo test ci test-wasm test-image chaos simulation test-kube image bench fuzz deny workflows lint lint-native lint-wasm clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: ## fetch the Wasm targets and a real Envoy (ENVOY_BIN=... uses another one)
	@scripts/setup

check: ## what one runs while working, in less than a minute: formatting, clippy, and the tests that need no Envoy
	@scripts/tests --check

build: setup wasm ## the filter as Wasm and the coordinator
	cargo build -p meshcache-coordinator --release

install: ## the program into ~/.cargo/bin, by its first name and as a plugin of kubectl, too (ROOT=/usr/local: there)
	cargo install --path coordinator --locked --bin meshcache $(if $(ROOT),--root $(ROOT))
	cd $(or $(ROOT),$${CARGO_INSTALL_ROOT:-$${CARGO_HOME:-$$HOME/.cargo}})/bin && ln -sf meshcache meshcache-coordinator && ln -sf meshcache kubectl-meshcache

wasm:
	cargo build -p meshcache-filter $(wasm)

native: ## the filter as a dynamic module of Envoy
	cargo build -p meshcache-native --profile native

# The modules that trap first: the other one is left where people look for it. Their dependencies are built once.
test-modules:
	cargo build -p meshcache-filter --features trap $(wasm)
	cargo build -p meshcache-native --features trap $(quick)
	@mkdir -p $(target)/trap && cp $(target)/wasm32-wasip1/wasm/meshcache_filter.wasm $(target)/quick/libmeshcache_envoy.so $(target)/trap/
	@$(MAKE) --no-print-directory wasm

coordinator:
	cargo build $(coordinator)

# The coordinator and the demo in one build: each dependency once.
demo: setup $(if $(filter native,$(FILTER)),native,wasm) ## three coordinators, two Envoys, a herd (KEEP=1 leaves it all running; FILTER=native: the native filter)
	cargo build $(coordinator) --bin demo
	@KEEP=$(KEEP) MESHCACHE_FILTER=$(FILTER) $(target)/quick/demo

test: setup ## all tests, end to end ones with the real Envoy included (see scripts/tests --help)
	@scripts/setup wasm-test chart
	@scripts/setup envoys || echo "the filter is not run in older Envoys: see above" >&2
	@scripts/setup browser || echo "the admin page is not opened in a browser: see above" >&2
	@scripts/setup collector || echo "traces are not read back from a collector: see above" >&2
	@scripts/setup prometheus || echo "alerts and dashboard are not tried in a Prometheus: see above" >&2
	@scripts/setup vm || echo "docs/vm.md is not run: see above" >&2
	@scripts/tests

ci: setup ## what CI runs: the checks of `make lint`, all of `make test` and `make test-kube`, with one build and side by side
	@scripts/setup wasm-test chart vm
	@scripts/setup envoys || echo "the filter is not run in older Envoys: see above" >&2
	@scripts/setup browser || echo "the admin page is not opened in a browser: see above" >&2
	@scripts/setup collector || echo "traces are not read back from a collector: see above" >&2
	@scripts/setup prometheus || echo "alerts and dashboard are not tried in a Prometheus: see above" >&2
	@scripts/tests --ci

test-wasm: ## the protocol's tests as Wasm, under node
	CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings $(CURDIR)/tests/wasi/run.mjs" cargo test -p meshcache-protocol --target wasm32-wasip1

# The other architecture's program is built with all its dependencies, which takes minutes: so `make test` leaves it out.
test-image: setup ## builds the images with buildah and looks into them (ARCH=amd64,arm64: for both, with a cross compiler that is fetched)
	@scripts/setup image $(if $(ARCH),cross)
	scripts/image --profile quick --oci $(target)/images $(if $(ARCH),--arch $(ARCH))
	MESHCACHE_IMAGES=$(target)/images cargo test --workspace --test images

chaos: setup wasm coordinator ## minutes of chaos: coordinators come, go, die and freeze while every answer is checked (SEED=1 MINUTES=1; a failure prints its schedule)
	MESHCACHE_CHAOS_SEED=$(SEED) MESHCACHE_CHAOS_MINUTES=$(or $(MINUTES),1) MESHCACHE_COORDINATOR_BIN=$(target)/quick/meshcache-coordinator \
		cargo test --workspace --test chaos -- --nocapture

# A thousand peers are a million pairs: the allocator is asked to keep its memory, in large pages.
simulation: ## a whole mesh in one thread, without sockets: (SEED=1 SEEDS=1 PEERS=100 PROXIES=1000 SECONDS=20), and gossip (MEMBERS=1000)
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=8589934592 \
	MESHCACHE_SIMULATION_SEED=$(SEED) MESHCACHE_SIMULATION_SEEDS=$(or $(SEEDS),1) MESHCACHE_SIMULATION_PEERS=$(or $(PEERS),100) \
	MESHCACHE_SIMULATION_PROXIES=$(or $(PROXIES),1000) MESHCACHE_SIMULATION_SECONDS=$(or $(SECONDS),20) \
		cargo test --release -p meshcache-coordinator --lib simulation::tests::under_faults -- --nocapture
	MESHCACHE_SIMULATION_MEMBERS=$(or $(MEMBERS),1000) MESHCACHE_SIMULATION_SEEDS=100 \
		cargo test --release -p meshcache-coordinator --lib -- --nocapture members_that_start a_killed_member the_side_that whatever_happens

test-kube: setup wasm native coordinator ## the tests with a real Kubernetes API: that of KUBECONFIG, else one that is built (with istiod, once, 20 minutes) and started
	@scripts/setup chart
	MESHCACHE_COORDINATOR_BIN=$(target)/quick/meshcache-coordinator tests/kube/run

image: ## images of coordinator and filter, with docker, else with buildah (see scripts/image --help)
	@scripts/image

bench: build ## the figures of the README, as ratios (FIGURES="hot hit": these only; FIGURES=--quick: a look)
	@scripts/setup bench
	@cargo run --quiet -p meshcache-tests --release --bin bench -- $(FIGURES)

# The seeds are kept; what the fuzzer finds beside them is its own.
fuzz: ## each fuzz target for SECONDS=30 (needs a nightly toolchain; TARGETS="dates vary": these only)
	@scripts/setup fuzz
	for one in $(or $(TARGETS),$(basename $(notdir $(wildcard fuzz/targets/*.rs)))); do \
	  mkdir -p $(target)/fuzz/found/$$one; \
	  PATH=$(CURDIR)/.tools/bin:$$PATH cargo +nightly fuzz run --sanitizer none --target-dir $(target)/fuzz $$one $(target)/fuzz/found/$$one fuzz/seeds/$$one \
	    -- -max_total_time=$(or $(SECONDS),30) -verbosity=0 -print_final_stats=1 -max_len=4096 -timeout=10 -rss_limit_mb=2048; \
	done

deny: ## licences, sources and twofold versions of what is linked in, by deny.toml
	@scripts/setup deny
	.tools/bin/cargo-deny --all-features check bans licenses sources

workflows: ## .github/workflows, read by actionlint
	@scripts/setup workflows
	.tools/bin/actionlint

lint: setup lint-native lint-wasm ## formatting and clippy, warnings are errors

lint-native:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

lint-wasm:
	cargo clippy -p meshcache-filter -p meshcache-bare $(wasm) -- -D warnings

clean: ## everything that was built or fetched
	cargo clean
	rm -rf .tools
