# Verbs for people and CI. `check` never writes; `run` and `test` do all the set-up themselves.
.PHONY: run test check docs stress fuzz soak bench format python-pgo clean help

VENV := .venv
BIN := $(VENV)/bin
DOCS_VENV := .venv-docs
TESTS ?= tests

help:            ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

run: $(VENV)/ready    ## serve the example on 127.0.0.1:8080
	@exec $(BIN)/python -m siphon examples/rest_api.py

test: $(VENV)/ready   ## every test but the long ones
	$(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

check: $(VENV)/ready  ## lint, format, types and the SDK's names; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/check_sdk_parity.py

docs: $(DOCS_VENV)/ready ## the documentation as a site, in site/; links are checked
	@# Not --quiet, which keeps warnings from being counted.
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict

stress: $(VENV)/ready ## the stress tests at full size, then the mutants that they must catch
	@scripts/apt.sh stress
	SIPHON_STRESS=full $(BIN)/python -m pytest -n 0 -m stress tests/stress
	$(BIN)/python -m tests.stress.mutants

fuzz: MINUTES ?= 10
fuzz: $(VENV)/ready   ## made-up requests, headers and responses for MINUTES, by default 10
	SIPHON_FUZZ_EXAMPLES=$$(($(MINUTES) * 20000)) $(BIN)/python -m pytest -n 2 --timeout 0 -o faulthandler_timeout=0 tests/wire/test_differential.py
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

soak: MINUTES ?= 60
soak: $(VENV)/ready   ## mixed load on one process for MINUTES, by default 60: nothing may grow, no answer be wrong
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

bench: $(VENV)/ready  ## figures against other servers, on an optimised interpreter
	@scripts/bench.sh $(SCENARIO)

format: $(VENV)/ready ## what check would complain of, mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python scripts/tables.py

python-pgo:      ## builds the optimised interpreter that benchmarks need
	@scripts/python.sh --pgo

clean:           ## forget the virtual environments and the site
	rm -rf $(VENV) $(DOCS_VENV) site

$(VENV)/ready: pyproject.toml scripts/venv.sh scripts/python.sh
	@scripts/venv.sh $(VENV)

$(DOCS_VENV)/ready: pyproject.toml scripts/venv.sh scripts/python.sh
	@scripts/venv.sh $(DOCS_VENV) docs migrating deploy
