# dunfold. Two commands matter: `make book` builds the book, `make test` checks everything.
# Each sets up what it needs in .venv, from Python 3.11 or later and nothing else.
#   PYTHON=python3.12     another interpreter
#   TORCH_INDEX=URL       another index for torch; without it the CPU wheels of download.pytorch.org
#                         where Linux shows no GPU, else pip's own index (tools/install.py)

PYTHON ?= python3
TORCH := $(if $(filter undefined,$(origin TORCH_INDEX)),,--torch-index "$(TORCH_INDEX)")
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
HTML := _build/html/index.html
export JUPYTER_PREFER_ENV_PATH := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1
# pages and tests start hundreds of processes, and each would compile the library anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: book slides test test-lowest test-newest lab check format map bench fuzz lock colab chapters stamp clean help
.DEFAULT_GOAL := help

help:  ## what there is to make
	@grep -E '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(READY): requirements-torch.txt requirements.lock pyproject.toml
	@$(PYTHON) tools/install.py $(TORCH)

$(DEV): requirements-torch.txt requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) tools/install.py --dev $(TORCH)

book: $(READY)  ## build the book; a page that raises or warns fails the build
	@$(BIN)/python tools/stale.py
	@$(BIN)/python tools/first.py
	OMP_NUM_THREADS=1 $(BIN)/jupyter-book build -q -W -n --keep-going .
	@OMP_NUM_THREADS=1 $(BIN)/python tools/chapters.py
	@echo "The book is at $(CURDIR)/$(HTML)"

slides: book  ## a deck of slides for each chapter, from its built page
	$(BIN)/python tools/slides.py

# at once, for the last part of a build leaves a core idle
test: $(DEV)  ## checks, the book, and every test
	@$(MAKE) --no-print-directory -j2 book check
	$(BIN)/python -m pytest -rfEs -n 2 --no-loadscope-reorder

lab: $(READY)  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir=. notebooks/sparse.ipynb

check: $(DEV)  ## format, lint, types, floors
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/map.py --check

format: $(DEV)  ## format and mend what the linter can
	$(BIN)/ruff format -q .
	$(BIN)/ruff check -q --fix .

map: $(DEV)  ## rewrite the table of rooms and floors in README.md
	$(BIN)/python tools/map.py

test-lowest test-newest: $(DEV)  ## the tests at the lowest versions that are allowed, or the newest
	$(BIN)/python tools/bounds.py $(@:test-%=%)

bench: $(DEV)  ## each speed-up beside its plain form, in one run, as a ratio
	$(BIN)/python tools/bench.py

fuzz: $(DEV)  ## bad input at every public door, 10,000 calls, and damaged files
	$(BIN)/python tools/fuzz.py 10000
	@if [ -f tools/fuzz_files.py ]; then $(BIN)/python tools/fuzz_files.py; fi

kills: $(DEV)  ## kill trainings at 300 random moments; all must end as the untouched ones do
	$(BIN)/python tools/kills.py

lock: $(DEV)  ## resolve both locks and environment.yml anew
	$(BIN)/python tools/lock.py

colab: $(READY)  ## notebooks that carry the library, for Colab and Kaggle, in _build/colab
	$(BIN)/python tools/colab.py

chapters: $(READY)  ## each chapter as a plain notebook, in _build/html/notebooks
	$(BIN)/python tools/chapters.py

stamp: $(READY)  ## write the repository's address (from _config.yml) into badges and first cells
	$(BIN)/python tools/stamp.py

clean:  ## remove what was built (not .venv)
	rm -rf _build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
