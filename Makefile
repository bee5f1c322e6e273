# Two commands on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test coverage docs bench system clean

demo: $(VENV)/light
	$(BIN)/camtrace demo

test: system $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

# Which lines of the core no test reaches; ends with an error below 95 %. One test looks at which modules are loaded, and coverage loads some.
coverage: system $(VENV)/test
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not lab" --deselect tests/test_cli.py::test_the_version_is_said_before_anything_heavy_is_loaded
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

docs: $(VENV)/test
	$(BIN)/sphinx-build -W --keep-going -q -b html docs site

# Without --no-compile, pip writes 90 MB of byte code that hardly any of is ever run
$(VENV)/light: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --editable .
	touch $@

# A pair that fits; on Linux these are CUDA builds of 5 GB, for CPU builds see CONTRIBUTING.md
$(VENV)/test: $(VENV)/light
	$(BIN)/pip install --quiet "torch==2.14.1" "torchvision==0.29.1"
	$(BIN)/pip install --quiet --editable ".[lab,wandb,test]"
	$(BIN)/python -m camtrace.web.vendor
	touch $@

# About ten minutes; PHOTOS is a folder of real ones to count agreement on, made ones if not given
bench: $(VENV)/test
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/run_all.py $(if $(PHOTOS),--photos $(PHOTOS))

# For the tests of the page and of PDF reports: a browser, Pango. Where nobody may install them those tests are skipped, aloud.
system:
	@command -v chromium > /dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -q && \
	  apt-get install -y -q --no-install-recommends chromium libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0; } || \
	  echo "no Chromium, and it cannot be installed from here: tests of the page will be skipped"

clean:
	rm -rf $(VENV) dist site
