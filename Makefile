# make run   from nothing to a trained, evaluated model and a picture of what it retrieves
# make test  the whole test suite
# make lint  ruff
# make bench the measurements quoted in the README
PYTHON ?= python3
BIN := .venv/bin
RUN := runs/quickstart

.PHONY: run test lint bench
run: .venv/ready
	$(BIN)/python trainers/train_scl.py --run-dir $(RUN) --resume
	$(BIN)/python trainers/evaluate.py --run $(RUN) --baseline pls random
	@echo "Retrieved items: $(RUN)/figures/retrieved.png"
	@echo "TensorBoard:     $(BIN)/tensorboard --logdir $(RUN)/logs"

test: .venv/ready
	$(BIN)/python -m pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/ready
	$(BIN)/python -m tests.benchmarks.bench_scl_step
	$(BIN)/python -m tests.benchmarks.bench_metrics
	$(BIN)/python -m tests.benchmarks.bench_epoch

# Touched last: a half-made environment is made again.
.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tfxmodal needs Python 3.11 or newer: make PYTHON=python3.11 run")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@
