# Two commands do everything on a fresh machine: `make demo` runs the main job, `make test` passes the tests.
# What they need: python3 (>= 3.11), make, and a package index that pip can reach.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
DEPS := .venv/.deps.stamp
ENV := .venv/.env.stamp
KERNEL := .venv/.kernel.stamp
RUST := $(shell find native/src native/Cargo.toml native/Cargo.lock native/pyproject.toml native/python -name '*.py' -o -name '*.pyi' -o -name '*.rs' -o -name '*.toml' -o -name '*.lock' 2>/dev/null)
UV_PIN := 0.13.8
JOBS ?= 2
export VIRTUAL_ENV := $(CURDIR)/.venv
# behind a proxy with a certificate of its own, the machine knows it and a bundled list does not
export UV_SYSTEM_CERTS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test fuzz jaeger-test check check-kernel fix bench bench-app bench-peers clean lock setup kernel help

help:  ## what there is to do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(ENV) $(KERNEL)  ## run the main job end to end and verify it (KEEP=1 leaves the sidecar running)
	$(BIN)/spanward demo $(if $(KEEP),--keep)

test: $(ENV) $(KERNEL)  ## run every test, with coverage
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --cov --cov-report=term:skip-covered --cov-fail-under=95

fuzz: $(ENV) $(KERNEL)  ## damaged requests against the compiled kernel (SECONDS=60)
	$(BIN)/python -m tests.fuzz.kernel --seconds $(or $(SECONDS),60)

jaeger-test: $(ENV)  ## build a real Jaeger (needs Go) and hold the storage API against it
	binary=$$(sh tools/jaeger.sh) && SPANWARD_JAEGER=$$binary $(BIN)/python -m pytest -m jaeger tests/e2e

check: $(ENV) $(KERNEL) check-kernel  ## lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pyright

check-kernel: $(ENV) $(KERNEL)
	@sh tools/kernel.sh check $(BIN)

kernel: $(KERNEL)  ## build the compiled kernel (needs Rust; without it the policy runs in Python)

fix: $(ENV)  ## format, and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(ENV) $(KERNEL)  ## spans per CPU-second of the whole job (needs Go, for the load generator)
	$(BIN)/python bench/run.py

bench-app: $(ENV) $(KERNEL)  ## CPU that tracing costs an application, per span
	$(BIN)/python bench/app.py

bench-peers: $(ENV) $(KERNEL)  ## the same beside the OpenTelemetry Collector, in turns (needs Go; minutes)
	$(BIN)/python bench/peers.py
	$(BIN)/python bench/peers.py --spans-per-request 16 --in-flight 64
	$(BIN)/python bench/peers.py --spans-per-request 1 --connections 64

lock: $(UV)  ## resolve the dependencies anew into requirements-dev.txt
	sh tools/lock.sh $(UV)

clean:  ## remove the environment and every cache
	rm -rf .venv native/target .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* dist build

setup: $(ENV)  ## make the environment only

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "spanward needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "uv==$(UV_PIN)"

$(DEPS): requirements-dev.txt | $(UV)
	$(UV) pip install --quiet --require-hashes -r requirements-dev.txt
	@touch $@

$(ENV): pyproject.toml $(DEPS)
	$(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(KERNEL): $(RUST) | $(ENV)
	@sh tools/kernel.sh build $(BIN)
	@touch $@
