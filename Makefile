# Everything works from a fresh clone; `make` alone lists what there is.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
SETUP := sh examples/demo/setup_machine.sh
RUN := $(VENV)/bin/python -m
# What to hand to pytest or to the benchmark besides, e.g. make test ARGS="-k planner"
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help demo sessions test lint soak bench bench-large clean programs

help: ## List what make can do here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile
	@echo "Another Python: make PYTHON=/path/to/python3 ...   Some tests: make test ARGS='-k planner'"

demo: $(READY) ## See HSM bring a sweep over a private sshd on 127.0.0.1, or over SFTP where there is none
	@$(SETUP) programs --quiet
	@$(VENV)/bin/python examples/demo/demo.py

sessions: programs $(READY) ## Record the terminal sessions in docs/SYNC.md anew
	@$(VENV)/bin/python examples/demo/record_sessions.py

test: $(READY) ## Run the tests (minutes: most of them wait for real programs)
	@$(SETUP) programs $(if $(filter 1,$(HSM_REQUIRE_E2E)),,--optional)
	@$(RUN) pytest -n 4 --dist=worksteal -m "not soak" $(ARGS)

soak: $(READY) ## Run the long tests
	@$(SETUP) programs
	@HSM_SOAK=1 $(RUN) pytest -m soak --timeout=3600 $(ARGS)

lint: $(READY) ## Check style, types and imports
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(VENV)/bin/lint-imports

bench: programs $(READY) ## Time HSM beside its peers (under 10 minutes); writes benchmarks/RESULTS.md
	@$(RUN) benchmarks.bench $(ARGS)

bench-large: programs $(READY) ## The same with up to 150,000 files; call it again after a break and it goes on
	@$(RUN) benchmarks.bench --large $(ARGS)

clean: ## Remove .venv, .demo, .bench, targets of benchmarks and caches, nothing else
	@rm -rf $(VENV) .demo .bench /dev/shm/hsm-bench-$$(id -u)-* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find $(wildcard hsm tests examples benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +

programs:
	@$(SETUP) programs

# An environment whose pip works is kept; `make clean` begins anew.
$(READY): pyproject.toml
	@$(SETUP) python "$(PYTHON)"
	@echo "Preparing $(VENV) (a minute or two the first time)"
	@$(RUN) pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	@$(RUN) pip install -qq -e '.[dev]'
	@touch $@
