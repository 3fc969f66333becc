# What a person types; each target makes .venv first if it has to. `make` alone lists them.
SHELL := /bin/sh
PYTHON ?=
# The environment's folder; a second one beside it: make test-quick PYTHON=python3.13 VENV=.venv-3.13
VENV ?= .venv
BIN := $(VENV)/bin
# How many attempts make faults breaks, in how many worlds beside each other; MINUTES bounds it.
FAULTS ?= 500
LANES ?= 2
MINUTES ?=
FUZZ ?= 2000
# What runs the tests of make test and make test-slow.
TEST := $(BIN)/pytest
# How many processes run the tests: a number, or logical for one per processor, four at most. 0: pytest itself.
WORKERS ?= logical
WITH_WORKERS := --numprocesses $(WORKERS) --maxprocesses 4
.DEFAULT_GOAL := help

# One thread per process, before numpy is loaded: numbers must not depend on the number of cores.
export BLIS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export NUMEXPR_NUM_THREADS := 1
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export VECLIB_MAXIMUM_THREADS := 1
# The tests start hundreds of interpreters: our modules are compiled for the first one alone.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo house-price test test-slow test-quick coverage coverage-report up down lint format bench bench-quick bench-parts
.PHONY: notebook faults fuzz docs release-check image-check requirements.txt clean venv s3-server test-airflow-oldest

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

demo: venv ## the whole job on real flights, from source tables to published and reproduced scores
	@$(BIN)/rescore demo

house-price: venv ## a second demo: house prices month by month, known late; without Airflow, two to three minutes
	@$(BIN)/rescore demo house_price

test: venv ## everything that has to hold: the layers, then the tests on a real Postgres and the code of a real Airflow
	@$(BIN)/lint-imports
	@$(TEST) $(WITH_WORKERS) -m "not slow"

test-slow: venv ## DAG runs on a real scheduler, simulations and other suites that take long
	@$(TEST) $(WITH_WORKERS) -m slow

test-airflow-oldest: venv ## the DAGs, the plugin and one run on the lowest Airflow that pyproject.toml allows
	@sh scripts/oldest-airflow.sh
	@OLDEST_AIRFLOW_PYTHON="$(CURDIR)/.venv-airflow-oldest/bin/python" $(BIN)/pytest tests/deploy/test_oldest_airflow.py

test-quick: venv ## what to run while working: without Airflow, whole jobs and what else takes long
	@$(BIN)/pytest $(WITH_WORKERS) -m "not airflow and not job and not slow"

coverage: venv ## all tests, counting branches; fails where fewer are run than the floor
	@$(BIN)/coverage erase
	@$(MAKE) test test-slow TEST="$(BIN)/coverage run -m pytest"
	@$(MAKE) coverage-report

coverage-report:
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

up: venv ## start Postgres and Airflow and keep them running
	@$(BIN)/rescore up

down: ## stop them; the data stays
	@if [ -x $(BIN)/rescore ]; then $(BIN)/rescore down; fi

lint: venv ## format, style, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: venv ## fix format, and what of style can be fixed by itself
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

faults: venv ## break attempts on purpose while a consumer reads, FAULTS of them (500); fail if anything was wrong, torn, lost or left
	@PYTHONPATH=.:include $(BIN)/python -m tests.faults --faults $(FAULTS) --lanes $(LANES) \
	  $(if $(MINUTES),--minutes $(MINUTES))

fuzz: venv ## hostile names and values wherever one is taken from outside, FUZZ of them a test (2000), other ones each time
	@FUZZ=$(FUZZ) $(BIN)/pytest -q tests/fuzz tests/cli/test_hostile_arguments.py tests/airflow/test_console.py

bench: venv ## measure whole runs beside the least that anybody pays; writes docs/benchmarks.md (an hour)
	@$(BIN)/python bench/whole_run.py --rounds 3 --rows 500000 1000000 2000000 --write docs/benchmarks.md
	@$(BIN)/python bench/whole_run.py --rows 4000000 8000000 --write docs/benchmarks.md
	@$(BIN)/python bench/whole_run.py --rows 500000 --shape narrow4 wide200 texts --write docs/benchmarks.md

bench-quick: venv ## fail if a whole run has lost its ratio to the least that anybody pays (a minute)
	@$(BIN)/python bench/whole_run.py --quick

bench-parts: venv ## measure parts: extraction, prediction, COPY, drift; prints tables
	@for file in bench/*.py; do \
	  [ "$$file" = bench/whole_run.py ] || { echo "== $$file"; $(BIN)/python "$$file" || exit 1; }; done

notebook: venv ## execute docs/notebooks/flight_delay.ipynb again on real flights
	@$(BIN)/python scripts/run_notebook.py

docs: venv ## build the documentation as a site, strictly, into var/docs/site
	@$(BIN)/python scripts/build_docs.py

release-check: venv ## build the wheel, install it in an empty environment, run a small job with it
	@$(BIN)/python scripts/release_check.py

image-check: ## build the image without a container engine and run commands in it (root, buildah, debootstrap; 15 minutes)
	@sh scripts/image-check.sh

requirements.txt: venv ## compile the lock anew from pyproject.toml
	@CUSTOM_COMPILE_COMMAND="make requirements.txt" UV_CUSTOM_COMPILE_COMMAND="make requirements.txt" \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-emit-index-url --output-file requirements.txt pyproject.toml

s3-server: venv ## make .venv-s3, whose S3 server the slow tests of object stores need
	@[ -x .venv-s3/bin/moto_server ] || { python3 -m venv .venv-s3 && \
	  VIRTUAL_ENV="$(CURDIR)/.venv-s3" $(BIN)/uv pip install --quiet --require-hashes -r tests/shared/object_store.txt; }

venv:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/set-up.sh

clean: down ## stop all and remove all that was made: .venv, var, caches
	@rm -rf .venv .venv-* .coverage .coverage.* var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
