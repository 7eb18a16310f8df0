# Two commands are enough to start: `make run` runs the demo, `make test` runs all tests.
# Both first install what they need into .venv, in the versions of constraints.txt.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
# More than cores, as slow tests mostly wait for servers and for late runs; the others compute.
WORKERS ?= 6
quick: WORKERS := 3
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

# The extras to install: the requested ones, and mlx on platforms with wheels (Linux with glibc 2.35 or newer,
# Apple silicon with macOS 14 or newer).
define EXTRAS
import platform, sys
def version(text): return tuple(int(part) for part in (text or "0").split(".")[:2])
libc, number = platform.libc_ver()
linux = libc == "glibc" and version(number) >= (2, 35)
apple = platform.machine() == "arm64" and version(platform.mac_ver()[0]) >= (14, 0)
names = ["mlx"] * (linux or apple) + sys.argv[1:]
print("[" + ",".join(names) + "]" if names else "")
endef
export EXTRAS
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt
# pip compiles installed packages, but not an editable install. Without this, every process would compile our modules
# again if PYTHONDONTWRITEBYTECODE is set.
COMPILE := $(BIN)/python -m compileall -q gridtide tasks flows deployments
# Pytest compiles tests with the values that assertions compare, which takes seconds in each of its processes.
COMPILE_TESTS := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --collect-only --quiet >/dev/null || true

.DEFAULT_GOAL := help
.PHONY: help run test quick explore programs lint types bench constraints clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: .venv/run ## install, then run the demo: collect, backfill and prepare training data from an embedded sandbox
	$(BIN)/gridtide demo

test: .venv/dev ## install, then run the whole test suite
	$(PYTEST)

quick: .venv/dev ## run the tests that take a few seconds each
	$(PYTEST) -m "not slow"

explore: .venv/dev ## run the property tests with new random examples, which each run chooses anew
	$(PYTEST) --hypothesis-profile=explore $$(grep -rl "@given" tests)

# Real programs that tests drive. Tests that need a missing one are skipped and say which.
programs: ## install the programs that some tests drive: Chromium, databases, Prometheus, Redis (Debian, as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  chromium chromium-driver mariadb-server postgresql prometheus prometheus-pushgateway redis-server

lint: .venv/dev ## check style and format with ruff
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/dev ## check types with mypy --strict
	$(BIN)/mypy

bench: .venv/bench ## run the benchmarks and write benchmarks/results.json
	$(BIN)/python -m benchmarks

constraints: ## pin the versions in .venv; upgrade with `.venv/bin/pip install --upgrade …` before
	{ sed -n '/^#/p' constraints.txt; $(BIN)/pip freeze --all --exclude-editable --exclude gridtide --exclude setuptools \
	  | sed 's/^mlx==\(.*\)/&\nmlx-metal==\1/' | LC_ALL=C sort -fu; } > constraints.new
	mv constraints.new constraints.txt

clean: ## remove installed, built and cached files; lakes stay
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/run: .venv/made
	@echo "Installing Gridtide into .venv: some minutes the first time"
	$(INSTALL) --editable ".$$($(BIN)/python -c "$$EXTRAS")"
	@$(COMPILE)
	@touch $@

.venv/dev: .venv/made
	@echo "Installing Gridtide and its tools into .venv: some minutes the first time"
	$(INSTALL) --editable ".$$($(BIN)/python -c "$$EXTRAS" test lint learn dask)"
	@$(COMPILE)
	@$(COMPILE_TESTS)
	@touch $@ .venv/run

.venv/bench: .venv/dev
	$(INSTALL) --editable ".$$($(BIN)/python -c "$$EXTRAS" bench)"
	@touch $@

# A newer pip than the one that comes with Python 3.11, because it resolves twice as fast.
.venv/made: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Gridtide needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(INSTALL) --upgrade pip
	@touch $@
