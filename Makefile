# `make train` and `make test` are all that a fresh machine needs (Python 3.11 or later, and make).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: train test test-slow test-lowest test-highest bench fuzz mutants lint types site check clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $(STAMP)

train: $(STAMP)  ## train Phase 1 on the built-in market and judge it out of sample
	$(BIN)/trading-gymnax train --phase 1 --run-dir runs/builtin

test: $(STAMP)  ## style, types and the fast suite
	$(BIN)/ruff check .
	$(BIN)/mypy
	XLA_FLAGS="$$($(BIN)/python -m tests.quick)" $(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: $(STAMP)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

# `make test-highest PYTHON=python3.12`: NumPy's and SciPy's newest need Python 3.12
test-lowest test-highest: test-%:  ## the fast suite with the lowest, or newest, versions that pyproject.toml allows
	$(PYTHON) -m venv --clear .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-$*/bin/uv pip install --quiet --python .venv-$*/bin/python \
		--resolution $(if $(filter lowest,$*),lowest-direct,highest) --editable ".[dev]"
	XLA_FLAGS="$$(.venv-$*/bin/python -m tests.quick)" \
		.venv-$*/bin/python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.venv-bench/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	touch .venv-bench/.installed

bench: .venv-bench/.installed  ## beside every peer, about ten minutes on two idle cores: benchmarks/results/bench_*.md
	.venv-bench/bin/python -W ignore -m benchmarks.bench

fuzz: $(STAMP)  ## the loader under a coverage-guided fuzzer, ten minutes: tests/fuzz/fuzz_loader.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,fuzz]"
	JAX_PLATFORMS=cpu $(BIN)/python tests/fuzz/fuzz_loader.py --seconds 600 --out fuzz

mutants: $(STAMP)  ## mutation tests of the rules and both phases, about an hour on two cores: tests/MUTATION.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,mutation]"
	XLA_FLAGS="$$($(BIN)/python -m tests.quick)" $(BIN)/python -m mutmut run --max-children 2
	$(BIN)/python -m mutmut results

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

site: $(STAMP)  ## the pages of docs/ as a site, in site/
	$(BIN)/zensical build --strict

clean:
	rm -rf .venv .venv-lowest .venv-highest .venv-bench fuzz site .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis mutants
