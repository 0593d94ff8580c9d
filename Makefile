# GradLab. Works with GNU make 3.81 (macOS) and newer; `make help` lists the targets.

# Which Python makes .venv: python3, or PYTHON=python3.12 after the target. Kept once made.
python = $(or $(PYTHON),python3)
PORT ?= 8888
LONG ?= $(CI)
bin = .venv/bin
# nbgrader calls programs of the environment by name.
run = PATH="$(CURDIR)/$(bin):$$PATH"
uv = build/uv/bin/uv

.DEFAULT_GOAL := help
.PHONY: help lab staff setup test lint grade bench build lock python

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile

lab: python ## set up, then open the course in JupyterLab (PORT=8889 for another port)
	@$(python) bootstrap.py lab $(PORT)

staff: python ## the same for staff: with nbgrader's formgrader
	@$(python) bootstrap.py staff $(PORT)

setup: python ## make .venv from requirements.lock (PYTHON=python3.12 for another Python)
	@$(python) bootstrap.py setup

test: setup ## set up, then run the tests (LONG=1 for the long ones too, as in CI)
	@$(bin)/python -m pytest --numprocesses logical --maxprocesses 4 --no-loadscope-reorder $(if $(LONG),,-m "not long")

lint: setup ## style, types and stray paths: what pre-commit checks, on every file
	@$(bin)/pre-commit run --all-files

build: setup ## solutions/ to labs/
	@$(run) gradlab build

grade: setup ## grade what lies under grading/submitted/
	@$(run) gradlab grade

bench: setup ## measure: tables into BENCHMARKS.md, figures into build/bench.json
	@$(run) gradlab bench

lock: $(uv) ## resolve the dependencies anew where pyproject.toml asks for it
	@$(uv) pip compile course/pyproject.toml grading/pyproject.toml --extra dev --no-emit-package gradlab \
	  --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" --system-certs --quiet --output-file requirements.lock

# uv makes the lock and nothing else, so it is not in the environment.
$(uv): | python
	@$(python) -m venv build/uv && build/uv/bin/pip install --quiet uv==0.13.9

python:
	@command -v $(python) >/dev/null 2>&1 || { echo "GradLab: there is no $(python) here: install it (sudo apt-get\
	 install python3-venv, or: brew install python@3.13), then run the same command again." >&2; exit 1; }
