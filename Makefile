# make demo: the whole workflow on a simulated cohort.   make test: the tests.   make test-slow: those that take longer,
# such as every robustness case of the preprocessing, for every night.   make test-slurm: those on a real SLURM, which is
# started on this machine (as root; Debian's packages).   make benchmark: speed, memory, precision.
# make comparison: all methods on 60 simulated people, two to three hours on two cores; docs/rivals.md has its results.
# Each installs what it needs first.
PYTHON ?= python3
SLURM ?= /tmp/dualglow-slurm
# Inside an environment of yours (venv or conda) that is used; otherwise .venv is made here.
ifneq ($(VIRTUAL_ENV)$(CONDA_PREFIX),)
BIN := $(or $(VIRTUAL_ENV),$(CONDA_PREFIX))/bin
else
BIN := .venv/bin
endif
export PATH := $(abspath $(BIN)):$(PATH)
INSTALLED := $(BIN)/.dualglow-installed

.PHONY: demo comparison test test-slurm test-slow benchmark lint install clean

install: $(INSTALLED)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "DualGlow needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,slurm]'
	touch $@

demo: install
	dualglow simulate --out data/simulated-demo --subjects 24 --seed 1 --voxel 2.0 --jobs 2
	@snakemake --configfile config/demo.yaml --unlock > /dev/null 2>&1 # a killed run leaves its lock behind
	snakemake --configfile config/demo.yaml -- all
	@dualglow table 1 --metrics results/demo/metrics/*/fold-*.tsv
	@echo "The report is results/demo/report.zip: unzip it and open report/report.html. (Simulated cohort: no real patients.)"

comparison: install
	dualglow simulate --out data/simulated-comparison --subjects 60 --seed 2 --voxel 2.0 --jobs 2
	@snakemake --configfile config/comparison.yaml --unlock > /dev/null 2>&1
	snakemake --configfile config/comparison.yaml -- all
	@dualglow table 1 --metrics results/comparison/metrics/*/fold-*.tsv

test: install
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile -m "not slow and not slurm"

test-slurm: install
	python -m tests.slurm.cluster up $(SLURM)
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile -m "slurm and not slow"; status=$$?; python -m tests.slurm.cluster down $(SLURM); exit $$status

test-slow: install
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadgroup -m slow

# docs/benchmarks.md says what these measure. The last two need a GPU and the demo's dataset, and say so without them.
benchmark: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[benchmark]'
	python -m tests.benchmarks.memory_cpu
	python -m tests.benchmarks.speed_cpu
	python -m tests.benchmarks.precision
	python -m tests.benchmarks.scan_tree
	python -m tests.benchmarks.preprocessing
	python -m tests.benchmarks.gpu
	python -m tests.benchmarks.stability

lint: install
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check workflow
	snakemake --lint

clean:
	rm -rf results/demo data/simulated-demo
