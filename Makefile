# All targets need only python3 (3.11 or newer) and make.
#
#   make image                  an image of a real tree; TREE=/some/folder IMAGE=/some/file.img
#   make test                   all tests; PYTEST_ARGS='-k name' selects some
#   make check                  lint, and three minutes of tests; run it before each commit
#   make lint                   ruff and mypy
#   make man                    manual pages in build/man
#   make dist                   wheel and sdist in dist, checked
#   make bench                  the benchmarks
#   make clean                  remove everything that these targets create
#
# PYTHON=/path/to/python3.12 chooses the interpreter of the environment in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?= build/stdlib.img
TREE ?=
BUILD_ARGS ?=
PYTEST_ARGS ?=

.PHONY: help image test check lint man dist bench clean
.DELETE_ON_ERROR:

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

# The default tree is Python's standard library, so Python must not write compiled modules into it.
image: export PYTHONDONTWRITEBYTECODE = 1
image: $(VENV)/.installed
	@mkdir -p "$(dir $(IMAGE))"
	@tree="$(TREE)"; \
	test -n "$$tree" || \
	    tree=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))'); \
	$(BIN)/ext4writer build "$$tree" -o "$(IMAGE)" $(BUILD_ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# The tests that most faulty changes break, including some images that e2fsck judges.
CHECK_TESTS := tests/ondisk tests/emit/test_units.py tests/tree/test_composition.py \
    tests/api/test_determinism.py tests/api/test_metadata.py tests/inspection/test_check.py \
    tests/project/test_floors.py tests/project/test_typing.py

check: lint
	$(BIN)/python -m pytest -q -n auto -m "not slow and not huge and not qemu" $(CHECK_TESTS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

man: $(VENV)/.installed
	$(BIN)/python -m ext4writer_cli.man_pages build/man

dist: $(VENV)/.installed-test
	rm -rf dist
	$(BIN)/python -m hatchling build
	$(BIN)/python -m twine check --strict dist/*

# QUICK=1 takes two minutes, PROFILE=1 writes profiles, KEEP=1 keeps the workloads, PUBLISH=1 puts
# the results into docs. AGAINST=REVISION compares with that revision instead of other programs.
# ROUNDS=N runs each row N times, TREE=/some/folder replaces /usr, BENCH_ARGS adds further options.
bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks $(strip $(foreach flag,QUICK PROFILE KEEP PUBLISH,\
	    $(if $(filter-out 0,$($(flag))),--$(shell echo $(flag) | tr A-Z a-z))) \
	    $(if $(AGAINST),--against "$(AGAINST)") $(if $(ROUNDS),--rounds "$(ROUNDS)") \
	    $(if $(TREE),--tree "$(TREE)") $(BENCH_ARGS))

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.installed

# Debian has the part of "venv" that installs pip in a separate package. If that is missing, an
# already installed pip can install another one into the environment.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is missing or older than Python 3.11; name a newer one:" >&2; \
	    echo "    make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null && $(PYTHON) -m venv --clear $(VENV); then \
	    true; \
	elif $(PYTHON) -m venv --clear --without-pip $(VENV) && \
	    $(PYTHON) -m pip --python $(BIN)/python install --quiet pip 2>/dev/null; then \
	    true; \
	else \
	    rm -rf $(VENV); \
	    echo "Cannot create an environment with pip; on Debian: apt install python3-venv" >&2; \
	    exit 1; \
	fi
