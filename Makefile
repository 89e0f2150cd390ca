# Everything works from a fresh clone; `make` alone lists what there is.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
SETUP := sh examples/demo/setup_machine.sh
RUN := $(VENV)/bin/python -m
# More workers than cores, since a test waits half of its time; a worker without work takes some of another's.
PYTEST := $(RUN) pytest -n 4 --dist=worksteal
# Programs that the tests need may be missing but where they are asked for.
OPTIONAL := $(if $(filter 1,$(HSM_REQUIRE_E2E)),,--optional)
# What to hand to pytest or to the benchmark besides, e.g. make test ARGS="-k planner"; tests run in random order, and
# ARGS="--randomly-seed=7" repeats the one of a run that said so
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# Where it is set, each of a thousand calls of hsm compiles it anew, and each worker all tests.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo sessions test test-all test-slurm lint soak bench bench-large bench-compare clean programs

help: ## List what make can do here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile
	@echo "Another Python: make PYTHON=/path/to/python3 ...   Some tests: make test ARGS='-k planner'"

demo: $(READY) ## See HSM bring a sweep over a private sshd on 127.0.0.1, or over SFTP where there is none
	@$(SETUP) programs --quiet
	@$(VENV)/bin/python examples/demo/demo.py

sessions: programs $(READY) ## Record the terminal sessions in docs/ anew
	@$(VENV)/bin/python examples/demo/record_sessions.py

test: $(READY) ## Run the tests that belong before each commit (under 4 minutes on 2 cores)
	@$(SETUP) programs $(OPTIONAL)
	@$(PYTEST) -m "not soak and not slow and not slurm" --hypothesis-profile=quick $(ARGS)

test-all: $(READY) ## Run all tests but the long ones, as CI does
	@$(SETUP) programs $(OPTIONAL)
	@$(PYTEST) -m "not soak and not slurm" $(ARGS)

test-slurm: $(READY) ## Run the tests that start a whole Slurm (root on Debian or Ubuntu installs it)
	@.ci/install-slurm
	@$(RUN) pytest -m slurm --timeout=300 $(ARGS)

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

bench-compare: programs $(READY) ## Time another checkout's hsm and this one in turns: make bench-compare BEFORE=/path/to/hsm
	@$(RUN) benchmarks.compare $(BEFORE) $(ARGS)

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
