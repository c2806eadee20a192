# make run        from nothing to a trained, evaluated model and a picture of what it retrieves
# make serve-demo from nothing to a search service with its page, asked by text and by picture
#                 (METHOD=drsl takes another method; STAY=no ends it after that)
# make test       the whole test suite, on WORKERS processes (one more than the cores it was measured on, since tests
#                 wait at times; each takes 4 GB of memory)
# make lint       ruff, the import contracts, the types of the public API
# make benchmark  all methods on wikipedia (../shared/data, or else emoji_scenes), seed 0, JOBS at once: benchmarks/all
# make beam-env   the environment of export/embed_corpus.py: .venv-beam
# make docs       the documentation, from docs/ and the docstrings, into site/
# make bench      the measurements quoted in the documentation, but for those of a trained run
#                 (bench_distil, bench_index, bench_stores) or of an hour (bench_closed_forms)
# make protos     the query client's messages again, from their .proto
PYTHON ?= python3
BIN := .venv/bin
RUN := runs/quickstart
METHOD ?= scl
DEMO_RUN := $(if $(filter scl,$(METHOD)),$(RUN),runs/quickstart-$(METHOD))
PORT ?= 8500
HTTP_PORT ?= 8080
STAY ?= yes
WORKERS ?= 3
JOBS ?= 2
# What the development server says once it answers, and what TensorFlow Serving says.
UP := ^Ready\|Running gRPC ModelServer

WIKIPEDIA := $(wildcard ../shared/data/wikipedia)

.PHONY: run serve-demo test lint docs benchmark bench protos beam-env
run: .venv/ready
	$(BIN)/python trainers/train_scl.py --run-dir $(RUN) --resume
	$(BIN)/python trainers/evaluate.py --run $(RUN) --baseline pls random
	@echo "Retrieved items: $(RUN)/figures/retrieved.png"
	@echo "TensorBoard:     $(BIN)/tensorboard --logdir $(RUN)/logs"

# What is there already, the run, the export and the gallery, is taken as it is.
serve-demo: .venv/ready
	@test -f $(DEMO_RUN)/metrics.json || $(BIN)/python trainers/train.py $(METHOD) --run-dir $(DEMO_RUN) --resume
	@test -d models/$(METHOD)/1 || $(BIN)/python export/export_savedmodel.py --run $(DEMO_RUN) --to models/$(METHOD)
	@$(BIN)/python export/serve.py --model models/$(METHOD) --port $(PORT) --rest-port 0 > models/server.log 2>&1 & \
	server=$$!; trap "kill $$server; wait $$server" EXIT; trap "exit 0" INT TERM; \
	until grep "$(UP)" models/server.log; do kill -0 $$server || { cat models/server.log; exit 1; }; sleep 1; done; \
	service="$(BIN)/python export/search_service.py"; manifest=$$(ls data/emoji_scenes/*/pairs.jsonl | tail -1); \
	where="--folder gallery/$(METHOD) --server localhost:$(PORT) --model $(METHOD)"; \
	test -f gallery/$(METHOD)/current.json || $$service new $$where --version 1 --landmarks $$manifest || exit 1; \
	$$service fill $$where --data $$manifest --split test || exit 1; \
	$$service serve $$where --port $(HTTP_PORT) > models/service.log 2>&1 & \
	service=$$!; trap "kill $$service; wait $$service; kill $$server; wait $$server" EXIT; \
	until curl -sf localhost:$(HTTP_PORT)/ready; do kill -0 $$service || { cat models/service.log; exit 1; }; sleep 1; done; \
	picture=$$(ls data/emoji_scenes/*/images/* | tail -1); \
	echo; echo "Pictures for 'a cat and a pizza':"; \
	curl -sf -F text="a cat and a pizza" -F k=3 localhost:$(HTTP_PORT)/search || exit 1; \
	echo; echo "Texts for $$picture:"; \
	curl -sf -F image=@$$picture -F find=texts -F k=3 localhost:$(HTTP_PORT)/search || exit 1; \
	echo; echo "The page: http://localhost:$(HTTP_PORT) (Ctrl-C ends it)"; \
	test "$(STAY)" = no || wait $$service

test: .venv/ready
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# mkdocs.yml is strict: a broken link, or a docstring of an argument that is not there, fails.
# With --quiet it would not: what is not told is not counted.
docs: .venv/ready
	$(BIN)/mkdocs build

# Goes on where it was stopped.
benchmark: .venv/ready
	$(BIN)/python trainers/benchmark.py --to benchmarks/all --jobs $(JOBS) --minutes 4 --set scl.mi_negatives=8 \
		--datasets $(if $(WIKIPEDIA),wikipedia=$(WIKIPEDIA),emoji_scenes)

bench: .venv/ready
	$(BIN)/python -m tests.benchmarks.bench_scl_step
	$(BIN)/python -m tests.benchmarks.bench_metrics
	$(BIN)/python -m tests.benchmarks.bench_epoch
	$(BIN)/python -m tests.benchmarks.bench_cells
	$(BIN)/python -m tests.benchmarks.bench_relation_step
	$(BIN)/python -m tests.benchmarks.bench_dcca_step
	$(BIN)/python -m tests.benchmarks.bench_relation_scores
	$(BIN)/python -m tests.benchmarks.bench_extraction
	$(BIN)/python -m tests.benchmarks.bench_serving
	$(BIN)/python -m tests.benchmarks.bench_service
	$(BIN)/python -m tests.benchmarks.bench_sync
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
