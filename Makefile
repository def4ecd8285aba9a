# `make study` runs the whole study, `make test` all checks; both install what they need, once.
# `make check` is for each change, `make test-thorough` for a release.
# It runs on real data with: make study DATASET=… WEIGHTS=… PROFILE=quick STORE=…

PROFILE ?= demo
STORE   ?= store
DATASET ?=
WEIGHTS ?=
SET     ?=
EXTRAS  ?=
JOBS    ?= 3
BASE    ?= main
N       ?= 50

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: study test check test-thorough setup lint lock clean
.DEFAULT_GOAL := study

study: $(VENV)/.ready-to-run
	$(BIN)/flowers17 run study --profile $(PROFILE) --store $(STORE) \
	  $(if $(DATASET),--dataset '$(DATASET)') $(if $(WEIGHTS),--weights-dir '$(WEIGHTS)') \
	  $(foreach one,$(SET),--set '$(one)')

test: lint
	$(BIN)/python -m compileall -q flows flowers17 tasks tests  # once for all processes that tests start
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations 30

# Before a commit, within a minute: format, types, unit tests of what differs from BASE.
check: $(VENV)/.ready-to-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy  # from its cache, if it ran before
	@files=$$($(BIN)/python -m tests.support.changed $(BASE)) || exit 1; \
	  if [ -z "$$files" ]; then echo "no unit test of what changed"; exit; fi; echo $$files; \
	  $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m 'not slow and not server' $$files \
	  || [ $$? -eq 5 ]  # no test is left but slow ones

# Before a release, for hours: whole matrices, N times as many kills and cases of every fuzzer.
test-thorough: lint
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m '' --fuzz $(N) --timeout 86400 \
	  -o faulthandler_timeout=0

lint: $(VENV)/.ready-to-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(VENV)/.ready-to-run
	$(if $(EXTRAS),sed -n 's/^\([A-Za-z0-9].*[^ ]\) *\\$$/\1/p' requirements/run.txt > $(VENV)/pins.txt)
	$(if $(EXTRAS),$(PIP) -c $(VENV)/pins.txt -e '.[$(EXTRAS)]' --no-build-isolation)

$(VENV)/bin/python:
	sh .ci/python -m venv $(VENV)

# The pip that comes with Python 3.11 loses the pin of a package that another wants with extras.
$(VENV)/.ready-to-run: requirements/pip.txt requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing the pinned requirements into $(VENV) (once, some minutes)"
	$(PIP) --require-hashes -r requirements/pip.txt
	$(PIP) --require-hashes -r requirements/run.txt
	PYTHONWARNINGS=ignore $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.ready-to-test: requirements/dev.txt $(VENV)/.ready-to-run
	$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

# Pins anew, with hashes and without addresses, for every Python that is supported.
lock: $(VENV)/bin/python
	$(PIP) uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --upgrade pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate pyproject.toml --extra dev --extra onnx --extra ray --extra s3 --extra mlflow --extra heif --extra parquet --extra hub -c requirements/run.txt -o requirements/dev.txt
	echo pip | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --upgrade - -o requirements/pip.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate pyproject.toml --extra gpu -c requirements/run.txt -o requirements/gpu.txt

clean:
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache
