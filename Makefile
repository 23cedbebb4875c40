# SPDX-License-Identifier: Apache-2.0
# Thin over scripts/ and the `mtia` command line. `make help` lists the verbs.

PYTHON_OF_VENV := .venv/bin/python
MTIA := $(PYTHON_OF_VENV) -m sw.cli
RUN := PYTHONPATH=. $(PYTHON_OF_VENV)
TEST_OPTION = $(if $(TEST),--test '$(TEST)')

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup doctor sim test lint rtl synth waves bench formal mutate netlist coverage \
  nightly docs clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  CONFIG=NAME   member of the family, see 'mtia configs'"
	@echo "  TEST=WHAT     a path, a pytest node id, or part of a test's name"
	@echo "  SEED=N        replay a run; 1 if not given"
	@echo "  WAVES=1       record dump.fst; WAVES_FROM=, WAVES_TO= in cycles, WAVES_SCOPE= an instance"

setup: ## make .venv and install what is missing; the other verbs do this first
	@scripts/setup

doctor: setup ## check this machine, say what to type
	@$(MTIA) doctor

sim: setup ## Verilator regression on tiny, GEMM and digits on the full-size element
	@$(RUN) scripts/run_tests.py sim $(TEST_OPTION)

test: setup ## everything that must pass: lint, types, layers, models, benches, proofs
	@$(RUN) scripts/run_tests.py test $(TEST_OPTION)

lint: setup ## style, format, types, layers
	@$(RUN) scripts/run_tests.py lint

rtl: setup ## Verilog, file list and memory map of CONFIG into build/rtl/CONFIG
	@$(MTIA) rtl --config $(or $(CONFIG),tiny) -o build/rtl/$(or $(CONFIG),tiny)

synth: setup ## FPGA flow: area, clock, critical paths of CONFIG=fpga; TARGET=, UNIT=, SEEDS=, SET=
	@$(MTIA) synth --config $(or $(CONFIG),fpga) $(if $(TARGET),--target $(TARGET)) \
	  $(if $(UNIT),--unit '$(UNIT)') $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(FIRST_SEED),--first-seed $(FIRST_SEED)) \
	  $(foreach change,$(SET),--set '$(change)') $(if $(filter 1,$(COMPARE)),--compare) $(OPTIONS)

waves: setup ## run TEST with waves, then look at them in GTKWave
	@$(MTIA) waves '$(TEST)'

bench: setup ## measure the figures of README on CONFIG, and of the FPGA member (tens of minutes)
	@$(RUN) scripts/run_tests.py bench

formal: setup ## all proofs
	@$(RUN) scripts/run_tests.py formal $(TEST_OPTION)

mutate: setup ## how many small faults each unit's bench notices; UNIT= one unit
	@$(RUN) scripts/mutate.py $(UNIT)

netlist: setup ## each unit's bench on its ECP5 netlist; UNIT= one unit
	@$(RUN) scripts/netlist.py $(UNIT)

coverage: setup ## what the last 'make test' or 'make sim' brought about, and what never
	@$(RUN) scripts/coverage_report.py

nightly: setup ## everything, slow tests too, under a fresh seed
	@$(RUN) scripts/run_tests.py nightly

docs: setup ## write the generated pages of docs/
	@$(RUN) scripts/make_docs.py

clean: ## remove build/ and caches; .venv stays
	@rm -rf build .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find hw sim sw tb scripts -name __pycache__ -type d -prune -exec rm -rf {} +
