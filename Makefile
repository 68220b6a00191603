# make app     set everything up, then serve the page on http://127.0.0.1:7860
# make test    the whole test suite; one file: make test ARGS=tests/core/decoding/test_search.py
# make test-fast   the tests that need no more than pip gives: no browser, no Java; at most two minutes
# make lint    style and formatting (ruff), types of core/networks and core/decoding (mypy)
# make deploy SPACE=user/name   copy the app into a Hugging Face Space; ARGS=--dry-run only lists what would go there
# make bench    one table: quality, speed and memory beside what a user would pick instead, and under load (half an hour)
# make screenshots              renew the pictures of the README
# make clean   remove the virtual environment and the caches
#
# A machine needs Python 3.11 or newer and make, no more. Everything from pip goes into $(VENV), once: a second call
# installs nothing unless a requirements file has changed.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
ARGS ?=

python := $(VENV)/bin/python
pip := $(python) -m pip --disable-pip-version-check install
export GRADIO_ANALYTICS_ENABLED ?= False

.PHONY: app test test-fast lint bench deploy screenshots system clean
.DELETE_ON_ERROR:

app: $(VENV)/.app
	$(python) app.py $(ARGS)

# A part of the tests may need no browser and no Java: then they are not installed, and a test that does need one says so.
test: $(if $(ARGS),,system) $(VENV)/.dev
	$(python) -m pytest $(ARGS)

test-fast: $(VENV)/.dev
	$(python) -m pytest -q -m "not (slow or app or browser or java)" $(ARGS)

lint: $(VENV)/.dev
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

deploy: $(VENV)/.app
	@test -n "$(SPACE)" || { echo 'Name the Space: `make deploy SPACE=user/name`.' >&2; exit 2; }
	$(python) -m scripts.deploy $(SPACE) $(ARGS)

bench: $(VENV)/.app
	$(python) -m benchmarks.report $(ARGS)

screenshots: system $(VENV)/.dev
	$(python) -m scripts.screenshots $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(python):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed: name one with `make PYTHON=/path/to/python`.' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app: requirements.txt | $(python)
	$(pip) -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.app
	$(pip) -r requirements-dev.txt
	@touch $@

# The browser tests drive Chromium, and the METEOR metric runs on Java: both are the system's, not pip's.
system:
	@have() { command -v "$$1" >/dev/null; }; missing=; \
	have chromium || have chromium-browser || have google-chrome || missing="$$missing chromium"; \
	have java || missing="$$missing default-jre-headless"; \
	test -z "$$missing" && exit 0; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; \
	else \
		echo "The tests need$$missing: run \`sudo apt-get install$$missing\`, or your system's own command." >&2; exit 1; \
	fi
