# My Own Cluster: `make run` shows it and serves it, `make test` proves it. Both need only Python 3.11-3.13 and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PORT   ?= 8443
JUPYTER_PORT ?= 8888
SERVE  ?=

.PHONY: help install run test fuzz check bench format clean

help:
	@echo 'make run       set everything up, do the main job once, then serve JupyterLab and the HTTPS gateway'
	@echo '               ONCE=1 ends after the main job; PORT=8443 JUPYTER_PORT=8888 choose the ports'
	@echo 'make test      everything that must hold: unit, contract, fault, server, kernel, notebook and browser tests'
	@echo 'make fuzz      the generators of tests without end, until one finds something; SECONDS=600 ends with that round'
	@echo 'make check     ruff, mypy, import-linter'
	@echo 'make bench     measure, side by side with what one would use instead; writes docs/benchmarks.md'
	@echo 'make install   only make the virtual environment .venv'
	@echo 'make format    format the code'
	@echo 'make clean     remove .venv and what tools left behind (never a storage directory)'

install: $(STAMP)

$(STAMP): pyproject.toml jupyter-config/kernelspec/kernel.json jupyter-config/jupyter_server_config.d/moc_server_ext.json
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "moc: error[python]: $$($(PYTHON) -V 2>&1) cannot run moc: it needs Python 3.11, 3.12 or 3.13. Name one: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "moc: error[python]: $(PYTHON) cannot make virtual environments. Install python3-venv (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@test -x $(BIN)/python || { echo 'Making the virtual environment $(VENV) …'; $(PYTHON) -m venv $(VENV); }
	@echo 'Installing my-own-cluster and what it needs into $(VENV) (a few minutes, once) …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[lab,c,dev]'
	@touch $@

run: install
	@$(BIN)/python samples/main_job.py
ifndef ONCE
	@$(BIN)/jupyter trust notebooks/*.ipynb >/dev/null 2>&1
	@exec $(BIN)/moc serve --lab --port $(PORT) --jupyter-port $(JUPYTER_PORT) --notebook-dir notebooks --open-path quickstart.ipynb $(SERVE)
endif

# The tests start hundreds of processes of moc: each would compile all its modules where Python may not keep them.
# Two at a time, in the order of the files, so that tests which share a server or a kernel stay together.
test: install
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 2 --dist worksteal

# Rounds, each with new examples: what a round finds is kept in .hypothesis and tried first by the next `make test`.
fuzz: install
	@began=$$(date +%s); while :; do \
	  $(BIN)/python -m pytest -n 2 --dist worksteal -q -m fuzz --hypothesis-profile=fuzz --timeout=0 || exit 1; \
	  test -z '$(SECONDS)' || test $$(( $$(date +%s) - began )) -lt '$(SECONDS)' || exit 0; \
	done

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: install
	@$(BIN)/python -m benchmarks

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
