# Everything from a fresh clone: the first target that needs Python makes .venv and installs requirements.txt into it.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
ARGS ?=
CONFIG ?=

.PHONY: demo stack test check format bench package lock clean

demo: $(VENV)/installed
	$(RUN) -m infra.local.demo $(ARGS)

stack: $(VENV)/installed
	$(RUN) -m infra.local.stack $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

test: $(VENV)/installed
	$(RUN) -m pytest $(ARGS)

check: $(VENV)/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-cache

format: $(VENV)/installed
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(VENV)/installed
	$(RUN) -m tests.bench $(ARGS)

package: $(VENV)/installed
	$(RUN) -m infra.packaging.package $(ARGS)

lock: $(VENV)/installed
	$(RUN) -m infra.packaging.lock

clean:
	rm -rf .stack dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(VENV)/installed: requirements.txt $(wildcard functions/*/requirements.txt)
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed (make PYTHON=python3.12 ...)" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@
