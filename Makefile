# Gloaming's commands. `make help` lists them.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
CACHE := $(or $(GLOAMING_DEV_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gloaming-dev)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: setup
setup: ## Install what building needs (distribution packages), if it is missing
	@tests/support/setup.sh build

.PHONY: tools
tools: setup ## Compile the tools to WebAssembly components (tools/target/components)
	@tools/build.sh

.PHONY: build
build: tools ## Build target/release/gloaming
	$(CARGO) build --release --locked
	@if [ "$(abspath $(TARGET))" != "$(abspath target)" ]; then mkdir -p target/release && ln -sf "$(abspath $(TARGET))/release/gloaming" target/release/gloaming; fi

ENGINE ?= $(notdir $(firstword $(shell command -v podman) $(shell command -v docker)))
BASE ?= debian:12-slim

# Built apart, so that target/release/gloaming stays the whole program. Docker's form knows health checks.
.PHONY: image
image: setup ## A container image of the control plane alone: gloaming-control (podman or docker; BASE=image)
	$(CARGO) build --release --locked --no-default-features --features control,otlp --target-dir "$(TARGET)/control"
	mkdir -p "$(TARGET)/image" && cp "$(TARGET)/control/release/gloaming" "$(TARGET)/image/"
	$(ENGINE) build $(if $(filter podman,$(ENGINE)),--format docker) --build-arg BASE=$(BASE) --tag gloaming-control --file Containerfile "$(TARGET)/image"

.PHONY: demo
demo: build ## Run the main job on a real published project (about two minutes when warm)
	@tests/demo/run.sh "$(TARGET)/release/gloaming" "$(CACHE)"

.PHONY: demo-github
demo-github: build ## From a label on an issue to a merged pull request, on a GitHub in memory (a minute when warm)
	@tests/support/setup.sh github "$(CACHE)"
	@tests/demo/github.sh "$(TARGET)/release/gloaming" "$(CACHE)/github"

.PHONY: playbooks
playbooks: build ## Run each playbook on five published packages and print what came of it
	@tests/packages/run.sh "$(TARGET)/release/gloaming" "$(CACHE)" $(PLAYBOOK)

.PHONY: test
test: tools ## The default suite: format, lints, docs, every test
	@tests/support/setup.sh test "$(CACHE)"
	$(CARGO) fmt --all --check
	$(CARGO) fmt --all --check --manifest-path tools/Cargo.toml
	$(CARGO) fmt --check --manifest-path tests/fuzz/Cargo.toml
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --workspace --all-targets --locked --features kubernetes -- -D warnings
	$(CARGO) clippy --package gloaming --bins --no-default-features --features control --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	GLOAMING_WIRE_DIR="$(CACHE)/wire" GLOAMING_GITHUB_DIR="$(CACHE)/github" GLOAMING_MCP_DIR="$(CACHE)/mcp" GLOAMING_FORMATS_DIR="$(CACHE)/formats" GLOAMING_TEST_PYTHON="$(CACHE)/python" $(CARGO) test --workspace --locked --no-fail-fast
	GLOAMING_EDITS_DIR="$(CACHE)/edits" $(CARGO) test --manifest-path tools/Cargo.toml --locked --workspace
	$(CARGO) test --manifest-path tests/fuzz/Cargo.toml --locked --no-default-features

.PHONY: browser
browser: ## The web page in a real browser, with and without JavaScript (a minute; SHOTS=folder keeps pictures)
	@tests/support/setup.sh browser "$(CACHE)"
	GLOAMING_BROWSER_DIR="$(CACHE)/browser" GLOAMING_BROWSER_SHOTS="$(SHOTS)" $(CARGO) test --workspace --locked --test server browser:: -- --nocapture

.PHONY: tamper
tamper: tools ## The whole tamper suite: attacks on the gate and their benign twins (minutes; CASES=python/unittest)
	@tests/support/setup.sh test "$(CACHE)"
	GLOAMING_TAMPER="$(or $(CASES),all)" GLOAMING_TEST_PYTHON="$(CACHE)/python" $(CARGO) test --workspace --locked --test all tamper::

.PHONY: schemathesis
schemathesis: setup ## Requests made from the OpenAPI document, right and wrong ones, by schemathesis (PyPI; a minute)
	@test -x "$(CACHE)/schemathesis/bin/schemathesis" || { python3 -m venv "$(CACHE)/schemathesis" && "$(CACHE)/schemathesis/bin/pip" install -q schemathesis==4.32.5; }
	GLOAMING_SCHEMATHESIS="$(CACHE)/schemathesis/bin/schemathesis" $(CARGO) test --workspace --locked --test server schemathesis -- --nocapture

.PHONY: traces
traces: setup ## One trace from a webhook to its pull request, read by a collector nobody here wrote (rotel, PyPI; a minute)
	@test -x "$(CACHE)/rotel/rotel/rotel-agent" || python3 -m pip install -q --no-deps --target "$(CACHE)/rotel" rotel==0.0.1a15
	$(CARGO) clippy --package gloaming-server --all-targets --features otlp --locked -- -D warnings
	$(CARGO) clippy --package gloaming --bins --no-default-features --features control,otlp --locked -- -D warnings
	GLOAMING_ROTEL="$(CACHE)/rotel/rotel/rotel-agent" $(CARGO) test -p gloaming-server --features otlp --locked --test code_host traced:: -- --nocapture

.PHONY: evil
evil: tools ## The whole evil suite: a model that tries everything (minutes; CASES=wire)
	@tests/support/setup.sh test "$(CACHE)"
	GLOAMING_EVIL="$(or $(CASES),all)" GLOAMING_TEST_PYTHON="$(CACHE)/python" $(CARGO) test --workspace --locked --test all -- evil::

.PHONY: local-model
local-model: tools ## A small language model on this machine, by llama.cpp: real tokens, answers held to a schema (150 MB once)
	@tests/wire/local.sh "$(CACHE)/local-model"
	GLOAMING_LOCAL_MODEL_DIR="$(CACHE)/local-model" $(CARGO) test --workspace --locked --test all local_model:: -- --test-threads 1

.PHONY: recorded
recorded: tools ## Recordings of other agents, each call made again with our tools (clones their sources, some 400 MB)
	@tests/recorded/get.sh "$(CACHE)/recordings"
	GLOAMING_RECORDED_DIR="$(CACHE)/recordings" $(CARGO) test --workspace --locked --test all recorded:: -- --nocapture

.PHONY: exercises
exercises: tools ## Small programs with transcripts: right fixes are published, wrong ones are not (minutes; CASES=rs_)
	@tests/support/setup.sh test "$(CACHE)"
	GLOAMING_EXERCISES="$(or $(CASES),all)" GLOAMING_TEST_PYTHON="$(CACHE)/python" $(CARGO) test --workspace --locked --test all -- exercises::right

QUIXBUGS := 4257f44b0ff1181dedaedee6a447e133219fcebf

# Where its host cannot be reached: GLOAMING_QUIXBUGS_DIR names a clone.
.PHONY: quixbugs
quixbugs: tools ## The same on QuixBugs' Python programs, cloned at a pinned commit (an hour; CASES=gcd)
	@tests/support/setup.sh test "$(CACHE)"
	@if [ -z "$${GLOAMING_QUIXBUGS_DIR:-}" ] && ! git -C "$(CACHE)/quixbugs" checkout -q $(QUIXBUGS) 2>/dev/null; then \
	  rm -rf "$(CACHE)/quixbugs" && git clone -q https://github.com/jkoppel/QuixBugs.git "$(CACHE)/quixbugs" \
	  && git -C "$(CACHE)/quixbugs" checkout -q $(QUIXBUGS); fi
	GLOAMING_QUIXBUGS_DIR="$${GLOAMING_QUIXBUGS_DIR:-$(CACHE)/quixbugs}" GLOAMING_EXERCISES="$(or $(CASES),all)" \
	  GLOAMING_TEST_PYTHON="$(CACHE)/python" $(CARGO) test --workspace --locked --test all -- exercises::quixbugs

ENGINES ?= embedded,docker,podman
comma := ,

# The workspace's build of it, not one of its own: `--workspace` settles the features, `engines` is that one test target.
# Without the embedded engine only the tests that carry a daemon's name.
.PHONY: engines
engines: setup ## The job lane's suite on every engine (installed when missing; needs root; ENGINES=docker,podman for some)
	@tests/support/setup.sh engines
	CI=true GLOAMING_TEST_ENGINES=$(ENGINES) $(CARGO) test --workspace --locked --no-fail-fast --test engines \
	  $(if $(findstring embedded,$(ENGINES)),,-- $(subst $(comma), ,$(ENGINES)))

# The cluster ends with its suite, whatever becomes of that.
.PHONY: kill
kill: setup ## A run killed after each event of its journal, and gone on with (minutes; every fourth is in `make test`)
	CI=true GLOAMING_KILL_ALL=1 $(CARGO) test --workspace --locked --test all -- resume::

.PHONY: crash
crash: tools ## Server and worker killed at every call, the code host failing in every way at each: a table (half an hour; EVERY=5: every fifth; a share is in `make test`)
	@tests/support/setup.sh test "$(CACHE)"
	GLOAMING_CRASH=$(or $(EVERY),1) GLOAMING_GITHUB_DIR="$(CACHE)/github" GLOAMING_TEST_PYTHON="$(CACHE)/python" $(CARGO) test --workspace --locked --test all -- crash:: --test-threads 1

.PHONY: kubernetes
kubernetes: setup ## The job lane's suite on a Kubernetes cluster made here (slow; needs root; ten minutes more the first time)
	@mkdir -p "$(CACHE)/kubernetes"; trap 'tests/support/kubernetes.sh down "$(CACHE)"' EXIT; \
	tests/support/kubernetes.sh up "$(CACHE)" >"$(CACHE)/kubernetes/cluster.env"; . "$(CACHE)/kubernetes/cluster.env"; \
	CI=true GLOAMING_TEST_ENGINES=kubernetes $(CARGO) test --workspace --locked --no-fail-fast --features kubernetes --lib --test engines -- \
	  --test-threads $(or $(THREADS),4) kubernetes

.PHONY: bench-engines
bench-engines: setup ## Measure a job on each engine against `docker run` of the same command, in one run
	@tests/support/setup.sh engines
	GLOAMING_TEST_ENGINES=embedded,docker,podman $(CARGO) test --workspace --locked --test engines overhead -- --ignored --nocapture

.PHONY: bench-verify
bench-verify: build ## Measure whole verifications against `docker run` of the commands they run (minutes; ARGS=3 rounds)
	@tests/bench/verify.sh "$(TARGET)/release/gloaming" "$(CACHE)" $(ARGS)

.PHONY: bench-steps
bench-steps: build ## Measure what a step takes beside model and commands, against mini-swe-agent on the same steps (ARGS=5 rounds)
	@tests/bench/steps.sh "$(TARGET)/release/gloaming" "$(CACHE)" $(ARGS)

.PHONY: cedar
cedar: ## Hold the export to Cedar against Cedar itself
	$(CARGO) fmt --check --manifest-path tests/cedar/Cargo.toml
	$(CARGO) test --manifest-path tests/cedar/Cargo.toml --locked

.PHONY: bench-server
bench-server: setup ## Measure requests a second and p99 of the control plane beside a bare hyper "hello", in one run
	$(CARGO) bench -p gloaming-server --locked --bench http

.PHONY: bench-load
bench-load: setup ## Measure who gets how much, and how soon, of a queue of 6,000 tasks over 50 repositories and 200 workers
	$(CARGO) bench -p gloaming-server --locked --bench load

.PHONY: bench-control
bench-control: build ## Measure start time and idle memory of `gloaming control`, whole and built alone (ARGS=20 rounds)
	$(CARGO) build --release --locked --no-default-features --features control --target-dir "$(TARGET)/control"
	@python3 tests/bench/control.py "$(or $(ARGS),20)" control="$(TARGET)/control/release/gloaming" whole="$(TARGET)/release/gloaming"

.PHONY: bench-policy
bench-policy: ## Measure what a decision costs, for 10 to 10,000 rules and against Cedar's, in one run
	$(CARGO) bench --manifest-path tests/cedar/Cargo.toml --locked --bench decide -- --quick nothing

.PHONY: examples
examples: tools ## Make, build, register and call the tools of `gloaming tools new`, in Rust and JavaScript (minutes)
	@tests/support/setup.sh examples "$(CACHE)"
	GLOAMING_TEST_EXAMPLES=1 GLOAMING_TEST_JS="$(CACHE)/js" $(CARGO) test --locked --test all a_new_tool_in -- --nocapture

.PHONY: onboard-real
onboard-real: build ## Onboard published packages of six languages and write which reached a proved test command (an hour)
	@tests/onboard/real.sh fetch "$(CACHE)/onboard"
	@tests/onboard/real.sh run "$(TARGET)/release/gloaming" "$(CACHE)/onboard"

.PHONY: flakes
flakes: ## Inject flakes into a real package's tests and count what is wrongly blocked and passed (ARGS="10 0.2 0.5": patches of each sort, rates)
	@tests/flakes/run.sh $(ARGS)

.PHONY: history
history: ## Judge real upstream fixes and their mutants: what passes, what is blocked (long; ARGS="dbader/schedule")
	@tests/history/run.sh "$(CACHE)" $(ARGS)

.PHONY: fuzz
fuzz: ## Fuzz what must hold for any input (FUZZ_SECONDS=30 each, or FUZZ_RUNS=3000 of the same inputs every time; ARGS="patch edit", ARGS=--keep)
	@tests/fuzz/run.sh "$(CACHE)" $(ARGS)

.PHONY: deny
deny: ## Check licences and sources of every dependency (cargo-deny, installed when missing)
	@tests/support/setup.sh deny "$(CACHE)"
	PATH="$(CACHE)/bin:$$PATH" $(CARGO) deny --all-features check bans licenses sources

.PHONY: bench
bench: tools ## Measure the sandboxed tools against native programs in one run (ARGS=--quick)
	@tests/bench/run.sh "$(CACHE)" $(ARGS)

.PHONY: clean
clean: ## Remove what was built here
	$(CARGO) clean
	rm -rf tools/target tests/fuzz/target
