# Everything from a bare clone, with Python 3.10 or newer and make.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help

help:  ## show this help
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

install: $(INSTALLED)  ## make .venv and install everything into it

$(INSTALLED): pyproject.toml requirements.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed, this is %d.%d: make PYTHON=..." % sys.version_info[:2] if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[local,dev]'
	touch $@

up: $(INSTALLED)  ## serve the actor behind its URL on this machine, with a database, until Ctrl-C
	@exec $(BIN)/python -m abaco serve

demo: $(INSTALLED)  ## run the actor on messages of every kind and show what happens
	$(BIN)/python -m local.demo

test: $(INSTALLED)  ## run the linters and all tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

bench: $(INSTALLED)  ## print what an event costs, as ratios
	$(BIN)/python -m bench.history
	$(BIN)/python -m bench.process
	$(BIN)/python -m bench.gateway

format: $(INSTALLED)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

stop:  ## stop the local database
	@test ! -x $(BIN)/python || $(BIN)/python -m local.database stop

clean:  ## stop the local database, remove it and all that was installed or built
	-test ! -x $(BIN)/python || $(BIN)/python -m local.database stop
	rm -rf .venv .local build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help install up demo test bench format stop clean
