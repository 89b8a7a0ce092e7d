# Every target works alone on a clean clone: it needs Python >= 3.11, make and a package index.
PYTHON ?= python3
JOBS ?= 2
PYTEST_ARGS ?=
REPORT_ARGS ?=
GPU_ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python -m
STAMP := $(VENV)/.installed
PLAIN := $(VENV)/.installed-plain
HOME_FILE := $(VENV)/.made-in

# A venv is sound if its Python is the one asked for, its pip imports, and it was made right here:
# the scripts and the editable install inside it hold absolute paths.
VERSION := import sys; print(sys.version.replace(chr(10), ""))
WANTED := $(shell $(PYTHON) -c '$(VERSION)' 2>/dev/null)
FOUND := $(shell $(VENV)/bin/python -c 'import pip; $(VERSION)' 2>/dev/null)
MADE_IN := $(shell cat $(HOME_FILE) 2>/dev/null || pwd -P)
HERE := $(shell pwd -P)
SOUND := $(and $(FOUND),$(findstring $(WANTED),$(FOUND)),$(findstring :$(HERE):,:$(MADE_IN):))

.PHONY: report test test-zoo lint format docs gpu clean install unsound
.DEFAULT_GOAL := test

# Needs nothing of [dev]; what has it is good enough.
report: $(if $(wildcard $(STAMP)),$(STAMP),$(PLAIN))
	$(RUN) sipp_cli report $(REPORT_ARGS)

# pyright, which has one thread, runs beside the tests; what it says comes last.
test: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	@$(RUN) pyright > $(VENV)/pyright.log & types=$$!; \
	$(RUN) pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS); tested=$$?; \
	wait $$types; typed=$$?; cat $(VENV)/pyright.log; \
	[ $$tested -ne 0 ] || tested=$$typed; exit $$tested

# Networks of torchvision, timm and transformers, and the pages that use these; installs them first.
test-zoo: $(STAMP)
	$(RUN) pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[zoo]'
	$(RUN) pytest -n $(JOBS) tests/zoo tests/docs/test_pages.py $(PYTEST_ARGS)

lint: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) pyright

format: $(STAMP)
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

# The site in build/site; its claims carry the verdicts of a run of the ledger.
docs: $(STAMP) build/ledger.json
	$(VENV)/bin/python docs/diagram.py
	SIPP_LEDGER=build/ledger.json NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build

build/ledger.json: $(STAMP) $(shell find sipp_theory sipp_core proofs_check -name '*.py')
	mkdir -p build
	$(RUN) sipp_cli check --json > $@.part
	mv $@.part $@

# With the packages of that Python, from this folder: nothing is installed or fetched.
gpu:
	$(PYTHON) scripts/gpu.py $(GPU_ARGS)

install: $(STAMP)

$(STAMP): EXTRAS := [dev]
$(STAMP) $(PLAIN): pyproject.toml constraints.txt $(if $(SOUND),,unsound)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or later is needed; name one with: make PYTHON=python3.11")'
	$(if $(SOUND),,$(PYTHON) -m venv --clear $(VENV))
	printf '%s\n' '$(HERE)' > $(HOME_FILE)
	$(RUN) pip install --disable-pip-version-check --quiet --no-compile -c constraints.txt \
	  -e '.$(EXTRAS)'
# On every core, where pip has one; files that are no Python of this version are passed over.
	$(RUN) compileall -qq -j 0 -x "/tests?/" $(VENV)/lib || true
	touch $@

# Not a file, so whatever depends on it is made anew.
unsound:

clean:
	rm -rf $(VENV) reports/out build dist .hypothesis .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
