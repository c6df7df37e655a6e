# Everything from a fresh clone: the first target that needs Python makes .venv and installs requirements.txt into it, by
# uv, which takes a quarter of pip's time. It reads a mirror's address from UV_DEFAULT_INDEX.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
ARGS ?=
CONFIG ?=
# Much of the tests is waiting, for processes, emulators and clocks.
TEST_PROCESSES ?= 2

.PHONY: demo stack test check format bench soak package lock clean

demo: $(VENV)/installed
	$(RUN) -m infra.local.demo $(ARGS)

stack: $(VENV)/installed
	$(RUN) -m infra.local.stack $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

test: $(VENV)/installed
	$(RUN) -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pytest --quiet --doctest-modules shared
	$(RUN) -m mkdocs build --strict --quiet
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-cache

format: $(VENV)/installed
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# mkdocs-material advertises its successor in every build
export NO_MKDOCS_2_WARNING := 1
# The pages that the functions serve; their files are committed, so that nobody else needs node.
.PHONY: page
page:
	npm ci --prefix pages --ignore-scripts --no-audit --no-fund
	npm run --prefix pages check
	npm run --prefix pages build

# the pictures of the pages in the documentation, of the demo's made brain
.PHONY: screenshots
screenshots: $(VENV)/installed
	$(RUN) -m tests.support.browser.screenshots

.PHONY: docs
docs: $(VENV)/installed
	$(RUN) -m mkdocs serve $(ARGS)

bench: $(VENV)/installed
	$(RUN) -m tests.bench $(ARGS)

soak: $(VENV)/installed
	$(RUN) -m tests.soak $(ARGS)

package: $(VENV)/installed
	$(RUN) -m infra.packaging.package $(ARGS)

lock: $(VENV)/installed
	$(RUN) -m infra.packaging.lock

clean:
	rm -rf .stack dist build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	rm -rf .cache/site

$(VENV)/installed: requirements.txt $(wildcard functions/*/requirements.txt)
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed (make PYTHON=python3.12 ...)" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.txt)"
	$(RUN) -m uv pip install --quiet --compile-bytecode --python $(RUN) -r requirements.txt
	touch $@
