# Each target does its own set-up, on a fresh machine too, and is quick when run again.
# Needs Python 3.11 or newer with `venv`. `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
OUT ?= uncertain-demo
# Processes that run the tests; BENCH="--quick" makes the benchmarks small.
JOBS ?= 2
BENCH ?=

bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check install -qq
facts := setup.cfg constraints.txt
scripts := $(filter-out benchmarks/harness.py,$(wildcard benchmarks/*.py))

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench format clean
.DELETE_ON_ERROR:

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*##/  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.ready-demo  ## Train, shift and judge models on real data; write a report
	$(bin)/uncertain benchmark --suite quick --out $(OUT)
	@echo "The report: $(abspath $(OUT))/report.html"

test: $(VENV)/.ready-dev  ## Everything that has to hold: style, types, documentation, tests
	@$(MAKE) --no-print-directory lint docs
	@# What is compiled once is found by the processes that tests start, wherever the shell forbids it.
	@# In the order of the files, which puts the long ones first, so that no process ends alone.
	PYTHONDONTWRITEBYTECODE= $(bin)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.ready-dev  ## Check style and types
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy

format: $(VENV)/.ready-dev  ## Rewrite the sources in the project's style
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

docs: $(VENV)/.ready-dev  ## Build the documentation, examples run, warnings as errors
	OMP_NUM_THREADS=1 $(bin)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "The documentation: $(abspath docs/_build/html/index.html)"

bench: $(VENV)/.ready-dev  ## Measure speed and memory; figures go to build/benchmarks
	@mkdir -p build/benchmarks
	@set -e; for script in $(scripts); do \
	  echo "== $$script"; \
	  $(bin)/python $$script $(BENCH) --json build/benchmarks/$$(basename $$script .py).json; \
	done

clean:  ## Remove what the targets made, the virtual environment excepted
	rm -rf build dist docs/_build docs/gallery docs/api $(OUT) .mypy_cache .ruff_cache .pytest_cache

# torch first, so that its pin decides even where another package would settle for less.
# A stamp for each set-up: made again only when what has to be installed changes.
$(VENV)/.ready-dev: $(facts)
	@echo "Setting up $(VENV): a few minutes, once."
	@$(MAKE) --no-print-directory $(VENV)/bin/python
	$(pip) -c constraints.txt torch
	$(pip) -c constraints.txt -e '.[benchmark,bayesian,docs,dev]'
	@touch $(VENV)/.ready-demo $@

$(VENV)/.ready-demo: $(facts)
	@echo "Setting up $(VENV): a minute or two, once."
	@$(MAKE) --no-print-directory $(VENV)/bin/python
	$(pip) -c constraints.txt torch
	$(pip) -c constraints.txt -e '.[benchmark]'
	@touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
