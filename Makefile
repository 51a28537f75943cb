# The habits of this project. `make demo` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= 2

.PHONY: help install demo dashboard test test-all test-lowest lint docs format bench clean

help:  ## Say what each target does.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED)  ## Make .venv with everything, at the versions in constraints.txt.

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("ATML needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install  ## Simulated segments to a bundle, in about two minutes.
	$(BIN)/atml run --demo --workers $(WORKERS)
	for bundle in results/demo/*/; do $(BIN)/atml verify $$bundle || exit 1; done

dashboard: install  ## What `make demo` found, in a browser; ATML_STORAGE for another database.
	$(BIN)/atml dashboard

test: install  ## Tests, without the slow ones.
	$(BIN)/pytest -n 2 --dist loadfile -m 'not slow'

test-all: install  ## All tests, as continuous integration runs them.
	$(BIN)/pytest -n 2 --dist loadfile

test-lowest:  ## Tests with the lowest versions that pyproject.toml allows, in .venv-lowest (5 GB).
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python --resolution lowest-direct --editable '.[dev]'
	$(VENV)-lowest/bin/pytest -n 2 --dist loadfile -m 'not slow' -W default

lint: install  ## Style, types, and that data flows one way.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install  ## The documentation, into site/; warnings are errors.
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --builder html docs site

format: install  ## Put the code into the project's form.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## Speed against baselines measured in the same run.
	$(BIN)/python -m tests.benchmarks.training_throughput
	$(BIN)/python -m tests.benchmarks.trial_overhead
	$(BIN)/python -m tests.benchmarks.storage_throughput
	$(BIN)/python -m tests.benchmarks.worker_scaling

clean:  ## Remove what the targets above made, but no results, databases or data.
	rm -rf $(VENV) $(VENV)-lowest build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
