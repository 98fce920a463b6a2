# make table   sets up .venv, then makes reports/table.html
# make gpu-check tries the GPU in some minutes; SPEC=cifar10 says whose table to forecast
# make test    sets up .venv, then runs the whole test suite; COVERAGE=1 counts the lines that run, in half as long again
# make faults  sets up .venv, then tries FAULTS damaged files (10,000) from the seed FAULTS_SEED, and hostile ones
# A second call does no work over. PYTHON=python3.12 chooses the Python that makes .venv; CORES=4 the cores to use.

PYTHON ?= python3
CORES ?= 8
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := table
.PHONY: table test faults lint format size gpu-check dag constraints install

table: install
	snakemake --cores $(CORES) reports/table.html

test: install
	python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile $(if $(COVERAGE),--cov)

FAULTS ?= 10000
FAULTS_SEED ?= 0
faults: install
	SFDDM_FAULTS=$(FAULTS) SFDDM_FAULTS_SEED=$(FAULTS_SEED) python -m pytest -s tests/faults

install: $(INSTALLED)

# pip takes the pins from constraints.txt; a CPU build of torch that pip finds satisfies its pin just as well.
$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[workflow,dev]'
	touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo 'make: sfddm needs Python 3.11, 3.12 or 3.13; name one like this: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo 'make: no $(VENV); does $(PYTHON) have its venv module (Debian: python3-venv)?' >&2; exit 1; }

lint: install
	ruff check .
	ruff format --check .
	snakefmt --line-length 120 --check Snakefile workflow
	mypy
	lint-imports
	snakemake --lint
	python benchmarks/size.py

format: install
	ruff check --fix .
	ruff format .
	snakefmt --line-length 120 Snakefile workflow

# Lines by folder; fails where a file, a function or the core is too long.
size:
	@$(PYTHON) benchmarks/size.py

# Whether this machine's GPU can run every method, how fast, and how long SPEC's table would take; without a GPU, the CPU.
gpu-check: install
	python -m benchmarks.gpu_check $(SPEC)

# After a change to the rules; needs graphviz.
dag: install
	snakemake --rulegraph dot --config experiments=digits | dot -Tsvg > docs/dag.svg

# The newest versions of everything but HOLD: a fresh environment, resolved once, frozen. Build labels such as +cpu go,
# so that any build of the same version will do. torch is held at the release that the tests run with on the CPU build.
HOLD ?= torch==2.13.0
constraints:
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --disable-pip-version-check --editable '.[workflow,dev]' $(HOLD)
	{ echo '# The pinned environment for Python 3.11 to 3.13. `make constraints` writes this file.'; \
	  build/constraints/bin/python -m pip freeze --exclude-editable | sed 's/+[A-Za-z0-9.]*$$//'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/constraints
