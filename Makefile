# The front door. `make help` lists what is here; every target that needs the environment makes it first.

PYTHON ?= python3
ARGS ?=
PEERS ?=
PUBLISH ?=
TORCH ?= -r requirements/torch.txt

VENV := .venv
CLIENTS := .venv-clients .venv-clients-openai2
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check --no-input
GRPC := src/modelyard/api/grpc
CHECKED := src packages/sdk/src tests $(wildcard scripts/*.py) $(wildcard bench)

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.ready ## Make .venv with all that demo, checks and tests need
	@:

.PHONY: demo
demo: setup ## Train, deploy and call a model on real data, and show what it cost
	@$(BIN)/modelyard demo $(ARGS)

.PHONY: check
check: setup ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports --no-logo

.PHONY: format
format: setup ## Format the code and apply the safe fixes of the linter
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A test that cannot be interrupted ends its worker and shows where it stood, and a worker that died
# ends the run: xdist waits for ever after one (its issue 1378).
ALL_TESTS := --numprocesses=auto --dist=loadscope --no-loadscope-reorder --max-worker-restart=0 \
    -o faulthandler_timeout=1000 -o faulthandler_exit_on_timeout=true

.PHONY: test
test: setup system clients ## Run the tests; ARGS="-k name" chooses some
	@# Jobs run sandboxed and write nothing: what is not compiled, each of them would compile anew.
	@$(BIN)/python -m compileall -q -j 0 src packages/sdk/src
	$(BIN)/python -m pytest $(or $(ARGS),$(ALL_TESTS))

.PHONY: quickstart
quickstart: setup ## Follow the README line by line in a new environment; downloads packages
	@MODELYARD_TEST_INSTALL=1 $(BIN)/python -m pytest tests/docs -k new_environment $(ARGS)

.PHONY: bench
bench: setup ## Measure the gateway; PEERS=1 adds other servers, PUBLISH=1 rewrites the page
	@$(BIN)/python -m bench $(if $(PEERS),--peers $(PEERS)) $(if $(PUBLISH),--publish) $(ARGS)

.PHONY: bench-llm
bench-llm: setup ## Measure language models beside llama.cpp's own server; PEERS=1 adds LiteLLM's proxy, PUBLISH=1 writes the page
	@$(BIN)/python -m bench.llm $(if $(PEERS),--peers) $(if $(PUBLISH),--publish) $(ARGS)

.PHONY: bench-train
bench-train: setup ## Measure training beside the bare library; PUBLISH=1 writes the page
	@$(BIN)/python -m bench.train $(if $(PUBLISH),--publish) $(ARGS)

.PHONY: bench-overload
bench-overload: setup ## Measure the gateway with more requests than it can answer
	@$(BIN)/python -m bench.overload $(ARGS)

.PHONY: docs
docs: setup ## Regenerate the reference pages that come from the code
	@$(BIN)/python scripts/reference.py

.PHONY: proto
proto: setup ## Make the gRPC messages again from their proto file
	$(BIN)/python -m grpc_tools.protoc --proto_path=$(GRPC) --python_out=$(GRPC)/generated \
	    --pyi_out=$(GRPC)/generated inference.proto

.PHONY: lock
lock: setup ## Resolve the locks again; ARGS=--upgrade takes newer releases, none younger than a week
	@sh scripts/lock $(BIN)/uv $(ARGS)

.PHONY: clean
clean: ## Remove the environments and every cache
	rm -rf $(VENV) $(CLIENTS) .venv-peers .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src packages tests scripts bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The two that only `test` needs.

.PHONY: system
system:
	@sh scripts/postgresql

.PHONY: clients
clients: $(CLIENTS:%=%/.ready)
	@:

# The stamps. The local packages are editable: they are built again only when their metadata changes.
# --no-build-isolation takes the build backend from the lock as well, so nothing comes in unpinned.

$(VENV)/.ready: requirements/dev.lock requirements/torch.txt pyproject.toml packages/sdk/pyproject.toml
	@sh scripts/environment $(PYTHON) $(VENV)
	@echo "setup: installing requirements/dev.lock"
	@$(BIN)/python -m pip install $(PIP_FLAGS) --require-hashes -r requirements/dev.lock
	@echo "setup: installing PyTorch"
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps $(TORCH)
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --no-build-isolation -e packages/sdk -e .
	@touch $@

$(CLIENTS:%=%/.ready): .venv-%/.ready: requirements/%.lock
	@sh scripts/environment $(PYTHON) $(@D)
	@echo "clients: installing $<"
	@$(@D)/bin/python -m pip install $(PIP_FLAGS) --require-hashes -r $<
	@touch $@
