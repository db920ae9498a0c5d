# Everything a person or CI calls. Each target sets up what it needs; no environment has to be active.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-thorough check audit bench clean

PYTHON ?= python3
ARGS ?=
# Processes of `make test`, each with a PostgreSQL and a broker of its own.
WORKERS ?= 2
VENV := .venv
BENCH := .venv-bench
PROJECT := setup.cfg pyproject.toml constraints.txt
SOURCES := domain event_store interop ingest projections graphql_api web audit_trail tests benchmarks

# Make an environment where there is none, install the project with some extras, and leave a stamp.
# $(1) the environment, $(2) the extras
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	    || { echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing). Name another: make PYTHON=python3.12 ..."; exit 1; }
	@[ -x $(1)/bin/python ] || $(PYTHON) -m venv $(1) \
	    || { rm -rf $(1); echo "$(PYTHON) can't make an environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing into $(1) ($(2)); the first time takes a minute or two ..."
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(2)]'
	@touch $@
endef

help:
	@echo "make demo [ARGS=--once]  the whole of Audit Trail on embedded services, with a simulated hour of a clinic"
	@echo "make test [ARGS=...]     the tests, on a real PostgreSQL and a real broker; ARGS go to pytest"
	@echo "make test-thorough       the same tests, with more examples where inputs are random"
	@echo "make check               format, lint, types, import contracts, SQL and docs"
	@echo "make audit               known vulnerabilities of the pinned packages (asks a service on the network)"
	@echo "make bench [ARGS=...]    the benchmarks, in an environment of their own"
	@echo "make clean               remove environments, caches and build results; data folders stay"

$(VENV)/.installed-demo: $(PROJECT)
	$(call install,$(VENV),embedded)

$(VENV)/.installed-development: $(PROJECT)
	$(call install,$(VENV),embedded$(comma)test$(comma)check)

$(VENV)/.installed-audit: $(PROJECT)
	$(call install,$(VENV),embedded$(comma)audit)

$(BENCH)/.installed: $(PROJECT)
	$(call install,$(BENCH),embedded$(comma)test$(comma)bench)

comma := ,

demo: $(VENV)/.installed-demo
	@$(VENV)/bin/audit-trail demo $(ARGS)

test: $(VENV)/.installed-development
	$(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

test-thorough: $(VENV)/.installed-development
	$(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadgroup --thorough $(ARGS)

check: $(VENV)/.installed-development
	$(VENV)/bin/ruff format --check --quiet $(SOURCES)
	$(VENV)/bin/ruff check --quiet $(SOURCES)
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/sqlfluff lint --disable-progress-bar $(SOURCES)
	$(VENV)/bin/python -m tests.docs_checks

# Not a part of `check`: its answer depends on a service that may be away, and changes without the project changing.
audit: $(VENV)/.installed-audit
	$(VENV)/bin/pip-audit --skip-editable

bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) $(BENCH) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./.git -prune -o -name __pycache__ -prune -exec rm -rf {} +
