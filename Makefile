# SerenaNet: every target sets up what it needs, and a second run sets up nothing.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup test hostile quick lint notebook wheel demo docs-check gpu gpu-check audit clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
# There while an installation runs; found at the start, it means that the last one was cut off.
UNFINISHED := $(VENV)/.unfinished
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

# The pinned versions have wheels for these Pythons.
SUPPORTED := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 13))
CANDIDATES := python3 python3.12 python3.11
works = $(shell $(1) -c "$(SUPPORTED)" >/dev/null 2>&1 && echo $(1))
PYTHON ?= $(firstword $(foreach name,$(CANDIDATES),$(call works,$(name))) python3)

# make setup CPU=1 leaves out what only a GPU uses: triton; and with CPU_INDEX=ADDRESS, that of PyTorch's wheels for CPUs,
# all of CUDA.
ifdef CPU
ONLY_GPU := triton$(if $(CPU_INDEX),|nvidia-.*|cuda-.*)
PINNED := sed -E '/^($(ONLY_GPU))==/d$(if $(CPU_INDEX),; s/^(torch|torchaudio)==([0-9.]+)$$/\1==\2+cpu/)' requirements.txt
WHEELS := --no-deps $(if $(CPU_INDEX),--extra-index-url $(CPU_INDEX))
else
PINNED := cat requirements.txt
endif

# Of what pip says: files of 10 MB and more, and the long silence at the end
LARGE := s/^ *(Downloading|Using cached) ([^ ]*\/)?([^ ]+)-[0-9][^ ]* \(([0-9]{2,}[0-9.]* MB|[0-9.]+ GB)\).*/  \1 \3, \4/p; \
	s/^Installing collected packages.*/  Installing all of them/p

# Several processes share the cores: one thread each, and waiting threads sleep.
CALM := OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1

# Two workers take file by file, in the order in which tests are collected: long ones first (tests/support/order.py).
SHARED := -n 2 --dist loadfile --no-loadscope-reorder

# Of each kind of hostile input
CASES ?= 120

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12
	@echo "PYTHON=... chooses the interpreter for $(VENV) (3.11 or 3.12); setup CPU=1 leaves out what only a GPU uses"

setup: $(STAMP)  ## make .venv with the pinned versions and this package, editable
	@$(if $(filter setup,$(MAKECMDGOALS)),echo "ready: source $(BIN)/activate",:)

$(STAMP): requirements.txt setup.py
	@$(PYTHON) -c "$(SUPPORTED)" 2>/dev/null || { echo "$(PYTHON) is not a Python 3.11 or 3.12 \
	with the venv module (Debian: python3-venv): run 'make $(MAKECMDGOALS) PYTHON=...'"; exit 1; }
	@if [ -e $(UNFINISHED) ] || ! $(PIP) --version >/dev/null 2>&1; then rm -rf $(VENV); fi
	@$(PYTHON) -m venv $(VENV)
	@touch $(UNFINISHED)
	@echo "installing the pinned versions into $(VENV) (several GB, some minutes)"
	@$(PINNED) > $(VENV)/pinned.txt
	@set -o pipefail; $(PIP) install --retries 10 --timeout 60 $(WHEELS) -r $(VENV)/pinned.txt | sed -u -n -E '$(LARGE)'
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@.ci/system-tools
	@rm $(UNFINISHED)
	@touch $@

test: setup lint  ## lint, then the whole suite with its doctests
	$(CALM) $(BIN)/pytest $(SHARED)

hostile: setup  ## hostile inputs in large numbers, generated: at least 2,000; says how many there were
	$(CALM) SERENANET_HOSTILE=$(CASES) $(BIN)/pytest tests/hostile

quick: setup lint  ## lint, and what neither trains nor takes long
	$(CALM) $(BIN)/pytest $(SHARED) -m "not (trains or slow or slurm)" tests

lint: setup  ## ruff and yamllint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/yamllint --strict .

notebook: setup  ## run docs/first_steps.ipynb from top to bottom
	$(CALM) $(BIN)/python .ci/notebook.py docs/first_steps.ipynb

wheel: setup  ## build a wheel, install it into an environment of its own, train and transcribe there
	$(CALM) .ci/wheel $(BIN)/python "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

demo: setup  ## train, evaluate and transcribe on the embedded corpus
	$(CALM) $(BIN)/serenanet demo

docs-check: setup  ## run the commands of README, docs/, recipes/ and benchmarks/, shortened, on a few clips; about an hour
	$(CALM) $(BIN)/python .ci/docs_check.py

gpu:
	@nvidia-smi -L > /dev/null 2>&1 || { echo "this machine has no NVIDIA GPU (nvidia-smi lists none): run gpu-check where there \
	is one, or rehearse with 'python benchmarks/gpu_check.py --device cpu'"; exit 1; }

gpu-check: gpu setup  ## on a machine with a GPU: kernels, tests, precisions, trainings, speed, on one page
	$(CALM) $(BIN)/python benchmarks/gpu_check.py

audit: setup  ## licences of the dependencies into docs/licences.md; vulnerabilities, where pip-audit is installed
	$(BIN)/python .ci/audit.py

clean:  ## remove .venv and the caches; results stay
	rm -rf $(VENV) *.egg-info .pytest_cache .ruff_cache .hypothesis
