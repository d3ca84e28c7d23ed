# Every command sets up what it needs; CONTRIBUTING.md explains them.
.PHONY: help install demo demo-volumes test test-cluster lint generate bench image cluster-up cluster-down cluster-image clean

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SERVERS := .venv-servers/.installed
# two cores are enough to be worth it; more are used when they are there
JOBS ?= auto
# nodes of the cluster tests, each with its share of them; tests/cluster/conftest.py says how many by itself
NODES ?= auto

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s "$$(printf '\t')"

install: $(INSTALLED) ## the program at .venv/bin/project-migration

$(INSTALLED): pyproject.toml tools/venv.sh
	@PYTHON=$(PYTHON) sh tools/venv.sh
	@touch $@

$(SERVERS): tools/servers.sh tools/servers.txt
	@PYTHON=$(PYTHON) sh tools/servers.sh
	@touch $@

cluster-image: install ## build the image and give it to that node
	@$(BIN)/python -m tests.cluster.node build-image

demo: install $(SERVERS) ## run the main job on this machine: an MLflow tracking server moves to another one
	@$(BIN)/python -m tools.demo

demo-volumes: install ## the same for a directory of everything that makes trees hard
	@$(BIN)/python -m tools.demo_volumes

test: install $(SERVERS) ## the ordinary tests: unit, scenarios, one machine
	@sh tools/packages.sh chromium || echo "test: the report is not opened in a browser without chromium" >&2
	@sh tools/packages.sh mariadb-server || echo "test: the tests of MySQL need it" >&2
	@sh tools/packages.sh postgresql-15 openssl || echo "test: the tests of PostgreSQL need both" >&2
	@$(BIN)/python -m pytest -n $(JOBS) $(PYTEST)

test-cluster: install ## the operator on a real Kubernetes node (or on the cluster that KUBECONFIG names)
	@$(BIN)/python -m tests.cluster.node prepare
	@$(BIN)/python -m pytest tests/cluster -n $(NODES) $(PYTEST)

lint: install ## types, style, layers, and whether generated files are up to date
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tools.generate --check

generate: install ## the CRD, its copy in the chart, and docs/spec.md, from the model
	@$(BIN)/python -m tools.generate

bench: install $(SERVERS) ## figures against named peers, measured in the same run
	@sh tools/packages.sh rsync
	@$(BIN)/python -m benchmarks $(BENCH)

image: install ## the operator's image, with buildah or docker
	@$(BIN)/python -m tools.image

cluster-up: install ## a real Kubernetes node to try things on; prints the KUBECONFIG line
	@$(BIN)/python -m tests.cluster.node up

cluster-down: install ## remove it
	@$(BIN)/python -m tests.cluster.node down

clean: ## what was installed and cached in this folder
	rm -rf .venv .venv-servers .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
