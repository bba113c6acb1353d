# `make demo` and `make test` work on a fresh clone: each makes .venv and installs everything itself.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# torch first and alone, so that nothing else can pull in another build of it. On Linux, PyPI's torch is a CUDA build of
# several GB; for the small CPU build: make demo TORCH_INDEX="--index-url https://download.pytorch.org/whl/cpu"
TORCH_INDEX ?=
OUT    ?= build/demo
JOBS   ?= 2

.PHONY: demo test check format lint bench fuzz peers clean help

help:
	@echo "make demo    train, convert, estimate and deploy on built-in data; report in $(OUT)/report.html"
	@echo "make test    lint, types, import contracts, then the tests"
	@echo "make bench   the benchmarks (installs peer libraries)"
	@echo "make fuzz    damaged files of every format through every reader"
	@echo "make format  format the code"
	@echo "make clean   remove .venv and build products"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) $(TORCH_INDEX) torch
	$(PIP) --editable ".[train]"
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --editable ".[train,dev]"
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	$(PIP) atheris
	@touch $@

$(VENV)/.peers: $(VENV)/.run
	$(PIP) --editable ".[peers]"
	$(PIP) --no-deps spikingjelly norse nirtorch
	@touch $@

demo: $(VENV)/.run
	$(BIN)/snnkit demo --out $(OUT)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One thread per worker: the workers fill the cores, and threads of several of them would wait for each other.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

peers: $(VENV)/.peers

bench: $(VENV)/.peers
	$(BIN)/python benchmarks/neurons.py
	$(BIN)/python benchmarks/linear.py
	$(BIN)/python benchmarks/conv.py
	$(BIN)/python benchmarks/delays.py
	$(BIN)/python benchmarks/liquid.py
	$(BIN)/python benchmarks/transforms.py
	$(BIN)/python benchmarks/encoders.py

# A million damaged files of all formats, then a minute per format of search guided by coverage.
fuzz: $(VENV)/.fuzz
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.run --inputs 1000000 --jobs $(JOBS)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.guided --seconds 60

clean:
	rm -rf $(VENV) build dist snnkit.egg-info .mypy_cache .ruff_cache .pytest_cache
