# Everything from a bare clone, with Python 3.10 or newer and make.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# make hands its variables over in the environment: a shell reads them, and nothing in them
OF_ACTOR = $${ACTOR:+--actor="$$ACTOR"}

# says what it would do, and does it for root, or where SUDO says how to become root
define from-debian
install="apt-get install --yes --quiet=2 --no-install-recommends $(1)"; \
echo "apt-get update && $$install"; \
if [ "$$(id -u)" != 0 ] && [ -z "$$SUDO" ]; then \
	echo 'Only root may do that: make $@ SUDO=sudo' >&2; exit 1; \
fi; \
$$SUDO apt-get update --quiet=2 && $$SUDO env DEBIAN_FRONTEND=noninteractive $$install
endef

.DEFAULT_GOAL := help

help:  ## show this help
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: $(INSTALLED)  ## make .venv and install everything into it

# the package as a path: the default, a finder, costs each process 15 ms, and the tests start many
EVERYTHING = --quiet --config-settings editable_mode=compat --editable '.[local,dev]'

# uv takes a fifth of the time of pip, which knows its way where an index of one's own is set for it
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed, this is %d.%d: make PYTHON=..." % sys.version_info[:2] if sys.version_info < (3, 10) else 0)'
	@echo 'Installing into .venv, which takes a minute or less.'
	@$(PYTHON) -m venv .venv
	@set -- $(EVERYTHING); \
	if $(BIN)/pip config list | grep '\.index-url=' >/dev/null; then \
		echo 'pip has an index of its own here, and takes a minute or two.'; \
	elif $(BIN)/pip install --quiet --disable-pip-version-check "$$(sed -n 's/^ *"\(uv==[^"]*\)".*/\1/p' pyproject.toml)" && \
		$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode "$$@"; then exit 0; \
	else echo 'uv does not install here: pip does, in a minute or two.'; fi; \
	$(BIN)/pip install --disable-pip-version-check "$$@"
	@touch $@

up: $(INSTALLED)  ## serve the actor behind its URL on this machine, with a database, until Ctrl-C (PORT=, DEMO=1 for something to see)
	@echo 'Starting the database, the gateway and the manager. Their data is in .local/.'
	@PIPELINEJOBS_DEMO="$$DEMO" exec $(BIN)/python -m abaco serve $${PORT:+--port="$$PORT"}

image: $(INSTALLED)  ## build the image of the actor with docker, podman or buildah (ENGINE=)
	@$(BIN)/python -m deployment image $${ENGINE:+--engine="$$ENGINE"}

deploy: $(INSTALLED)  ## push the image, create or update the actor (DRY_RUN=1, NO_PUSH=1, CLIENT=, ENGINE=)
	@$(BIN)/python -m deployment deploy $${DRY_RUN:+--dry-run} $${NO_PUSH:+--no-push} $${CLIENT:+--client="$$CLIENT"} $${ENGINE:+--engine="$$ENGINE"}

nonce: $(INSTALLED)  ## make a nonce of the deployed actor (LEVEL=EXECUTE, MAX_USES=, ACTOR=)
	@$(BIN)/python -m deployment nonce $(OF_ACTOR) $${LEVEL:+--level="$$LEVEL"} $${MAX_USES:+--max-uses="$$MAX_USES"}

nonces: $(INSTALLED)  ## list the nonces of the deployed actor (ACTOR=)
	@$(BIN)/python -m deployment nonces $(OF_ACTOR)

alias: $(INSTALLED)  ## let REACTOR_ALIAS stand for the deployed actor (ACTOR=)
	@$(BIN)/python -m deployment alias $(OF_ACTOR)

logs: $(INSTALLED)  ## print the log of the latest execution (EXECUTION=, ACTOR=)
	@$(BIN)/python -m deployment logs $(OF_ACTOR) $${EXECUTION:+--execution="$$EXECUTION"}

shell:  ## say how to get a shell with the commands of this repository
	@echo 'make install, then: . .venv/bin/activate (in the image: docker run -it --entrypoint sh IMAGE)'

init-pipeline:  ## say how to register a pipeline
	@echo 'pipelinejobs pipelines add FILE'

init-job:  ## say how to create a job
	@echo "pipelinejobs jobs create --pipeline ID --data '{...}'"

postdeploy:  ## say what there is to do after make deploy
	@echo 'make nonce, then make logs (make alias, if the alias stood for another actor)'

tests-local: test  ## the same as make test

requirements: $(INSTALLED)  ## pin what the images have, with hashes, from pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --python-version 3.12 --python-platform linux --custom-compile-command 'make requirements' --output-file requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --python-version 3.12 --python-platform linux --extra local --extra fleet --no-emit-package secantusdb --custom-compile-command 'make requirements' --output-file deploy/requirements.txt pyproject.toml

demo: $(INSTALLED)  ## run the actor on messages of every kind and show what happens
	$(BIN)/python -m local.demo

browser:  ## install the browser that the tests of the page drive, on Debian (SUDO=sudo)
	@if command -v chromium && command -v chromedriver; then exit 0; fi; \
	$(call from-debian,chromium chromium-driver)

engines:  ## install docker, podman and buildah, on Debian (SUDO=sudo)
	@if command -v dockerd && command -v runc && command -v podman && command -v buildah; then exit 0; fi; \
	$(call from-debian,docker.io containerd runc tini podman buildah)

services:  ## install PostgreSQL and RabbitMQ for the tests of several machines, on Debian (SUDO=sudo)
	@if ls /usr/lib/postgresql/*/bin/postgres /usr/lib/rabbitmq/bin/rabbitmq-server; then exit 0; fi; \
	$(call from-debian,postgresql rabbitmq-server)

test: lint pytest  ## run the linters and all tests (with --jobs, side by side)

# the tests start hundreds of processes, which would each compile the code again where a machine says so
pytest: export PYTHONDONTWRITEBYTECODE =
# in a new clone, one process compiles the tests, and not each of those that run them
pytest: $(INSTALLED)
	@[ -d tests/__pycache__ ] || $(BIN)/pytest --collect-only -qq --numprocesses=0 > /dev/null || true
	$(BIN)/pytest

lint: $(INSTALLED)  ## check format, code, types, imports, the Dockerfiles and the English
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile deploy/Dockerfile
	$(BIN)/python -m audit.prose

check: $(INSTALLED)  ## check one file in seconds, with its tests (FILE=manager/messages.py)
	@$(BIN)/python -m audit.inner "$$FILE"

pictures: $(INSTALLED)  ## make the pictures of the docs again: the page in a browser, the tour in a terminal
	PIPELINEJOBS_SCREENSHOTS=1 $(BIN)/pytest --numprocesses=0 tests/pipelinejobs/page/test_browser.py -k pictures
	$(BIN)/python -m docs.record_tour
	$(BIN)/python -m docs.render_tour

soak: $(INSTALLED)  ## try in an hour what must hold after every fault, and write docs/reliability.md
	rm -rf build/soak.ndjson && mkdir -p build
	PIPELINEJOBS_SOAK=$(CURDIR)/build/soak.ndjson $(BIN)/pytest --numprocesses=0 -m alone tests/reliability
	PIPELINEJOBS_SOAK=$(CURDIR)/build/soak.ndjson $(BIN)/pytest --numprocesses=2 -m 'not alone' tests/reliability
	PIPELINEJOBS_SOAK=$(CURDIR)/build/soak.ndjson $(BIN)/pytest --numprocesses=2 -m long --ignore=tests/reliability tests
	$(BIN)/python -m tests.reliability.report build/soak.ndjson

bench: $(INSTALLED)  ## measure in some minutes what an event costs, beside its floors, and write bench/RESULTS.md
	@$(BIN)/python -m bench

audit: $(INSTALLED)  ## look for known vulnerabilities, dangerous code and secrets
	@$(BIN)/python -m audit

mutate: $(INSTALLED)  ## change the code that decides who may do what, and count what no test notices
	@$(BIN)/python -m audit.mutation

format: $(INSTALLED)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

stop:  ## stop the local database
	@test ! -x $(BIN)/python || $(BIN)/python -m local.database stop

clean:  ## stop the local database, remove it and all that was installed or built
	-test ! -x $(BIN)/python || $(BIN)/python -m local.database stop
	rm -rf .venv .local build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis mutants
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help install up image deploy nonce nonces alias logs shell init-pipeline init-job postdeploy tests-local requirements demo browser engines services test pytest lint check pictures soak bench audit mutate format stop clean
