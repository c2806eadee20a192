# make run        from nothing to a trained, evaluated model and a picture of what it retrieves
# make serve-demo from nothing to two models on a server, asked by text and by picture
#                 (METHODS="ridge_cca pls" takes others)
# make test       the whole test suite, on WORKERS processes (each takes up to 4 GB of memory)
# make lint       ruff, the import contracts, the types of the public API
# make benchmark  all methods on wikipedia (../shared/data, or else emoji_scenes), seed 0: benchmarks/all
# make beam-env   the environment of export/embed_corpus.py: .venv-beam
# make docs       the documentation, from docs/ and the docstrings, into site/
# make bench      the measurements quoted in the documentation
# make protos     the query client's messages again, from their .proto
PYTHON ?= python3
BIN := .venv/bin
RUN := runs/quickstart
METHODS ?= scl drsl
PORT ?= 8500
WORKERS ?= 2
# What the development server says once it answers, and what TensorFlow Serving says.
UP := ^Ready\|Running gRPC ModelServer

WIKIPEDIA := $(wildcard ../shared/data/wikipedia)

.PHONY: run serve-demo test lint docs benchmark bench protos beam-env
run: .venv/ready
	$(BIN)/python trainers/train_scl.py --run-dir $(RUN) --resume
	$(BIN)/python trainers/evaluate.py --run $(RUN) --baseline pls random
	@echo "Retrieved items: $(RUN)/figures/retrieved.png"
	@echo "TensorBoard:     $(BIN)/tensorboard --logdir $(RUN)/logs"

# What is there already, runs and exports, is taken as it is.
serve-demo: .venv/ready
	@mkdir -p models && : > models/server.log
	@for method in $(METHODS); do \
		run=runs/quickstart-$$method; test $$method != scl || run=$(RUN); \
		test -f $$run/metrics.json || $(BIN)/python trainers/train.py $$method --run-dir $$run --resume || exit 1; \
		test -d models/$$method/1 || $(BIN)/python export/export_savedmodel.py --run $$run --to models/$$method --gallery test || exit 1; \
	done
	@$(BIN)/python export/serve.py $(foreach method,$(METHODS),--model models/$(method)) --port $(PORT) --rest-port 0 > models/server.log 2>&1 & \
	server=$$!; trap "kill $$server; wait $$server; cat models/server.log | tail -1" EXIT; \
	until grep -q "$(UP)" models/server.log; do kill -0 $$server || { cat models/server.log; exit 1; }; sleep 1; done; \
	grep "$(UP)" models/server.log; \
	picture=$$(ls data/emoji_scenes/*/images/* | tail -1); \
	for model in $(METHODS); do \
		ask="$(BIN)/python export/query.py --server localhost:$(PORT) --model $$model"; \
		echo "$$model: pictures for 'a cat and a pizza'"; $$ask --text "a cat and a pizza" --html models/$$model.html || exit 1; \
		echo "$$model: texts for $$picture"; $$ask --image $$picture || exit 1; \
	done

test: .venv/ready
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# mkdocs.yml is strict: a broken link, or a docstring of an argument that is not there, fails.
docs: .venv/ready
	$(BIN)/mkdocs build --quiet

# Goes on where it was stopped.
benchmark: .venv/ready
	$(BIN)/python trainers/benchmark.py --to benchmarks/all --jobs $(WORKERS) \
		--datasets $(if $(WIKIPEDIA),wikipedia=$(WIKIPEDIA),emoji_scenes)

bench: .venv/ready
	$(BIN)/python -m tests.benchmarks.bench_scl_step
	$(BIN)/python -m tests.benchmarks.bench_metrics
	$(BIN)/python -m tests.benchmarks.bench_epoch
	$(BIN)/python -m tests.benchmarks.bench_relation_step
	$(BIN)/python -m tests.benchmarks.bench_dcca_step
	$(BIN)/python -m tests.benchmarks.bench_relation_scores
	$(BIN)/python -m tests.benchmarks.bench_extraction
	$(BIN)/python -m tests.benchmarks.bench_serving
	$(BIN)/python -m tests.benchmarks.bench_help

# Touched last: a half-made environment is made again.
.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tfxmodal needs Python 3.11 or newer: make PYTHON=python3.11 run")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

beam-env: .venv-beam/ready
.venv-beam/ready: export/requirements-beam.txt
	$(PYTHON) -m venv .venv-beam
	.venv-beam/bin/python -m pip install --quiet --disable-pip-version-check -r export/requirements-beam.txt
	@touch $@

# Generated code runs on the protobuf of requirements.txt, or a newer one.
protos:
	$(BIN)/python -m pip install --quiet "grpcio-tools==1.85.1"
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. tfxmodal/serving/client/protos/serving.proto
