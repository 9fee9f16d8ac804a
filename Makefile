# One command each. `make` alone prints this list; every target builds .venv first if it is missing.
PYTHON ?= python3
VENV   := .venv
LIBRARIES := .venv-libraries
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
OUT    ?= out
WORKERS ?= 2
SECONDS ?= 60

# two test workers with two threads each on two cores wait for one another
test test-long test-libraries coverage fuzz: export OMP_NUM_THREADS = 1
test test-long test-libraries coverage fuzz: export OPENBLAS_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long test-libraries coverage check format docs bench fuzz package clean

help:  ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(READY)  ## set up .venv with pinned versions (does nothing the second time)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,docs]'
	@touch $@

demo: $(OUT)/report.html  ## train a teacher and three students on digits, measure, write out/report.html

$(OUT)/report.html: | $(READY)
	$(BIN)/kernelscope demo --out $(OUT)
	@echo "open $(OUT)/report.html"

test: $(READY)  ## all tests, short proofs
	$(BIN)/python -m pytest -n $(WORKERS) -m "not long"

test-long: $(READY)  ## the slow proofs as well (kill loops, long fuzz, every bound on every kind of data)
	$(BIN)/python -m pytest -n $(WORKERS)

test-libraries: $(LIBRARIES)/.ready  ## with torchvision, timm, transformers and others, in an environment of their own (6 GB)
	HF_HUB_OFFLINE=1 $(LIBRARIES)/bin/python -m pytest -n $(WORKERS) tests/libraries

$(LIBRARIES)/.ready: pyproject.toml tests/libraries/constraints.txt
	test -x $(LIBRARIES)/bin/python || $(PYTHON) -m venv $(LIBRARIES)
	$(LIBRARIES)/bin/pip install --quiet --disable-pip-version-check -c tests/libraries/constraints.txt -e '.[libraries]'
	@touch $@

coverage: $(READY)  ## branch coverage of all tests; at least 92 % in kernels, features and checkpoints
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest -n $(WORKERS) -m "not long" --cov=kernelscope --cov-branch --cov-report=
	$(BIN)/python -m coverage report --skip-covered
	for room in kernels features checkpoints; do \
		$(BIN)/python -m coverage report --include="kernelscope/$$room/*" --fail-under=92 --format=total || exit 1; done

check: $(READY)  ## lint, format check, types, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

format: $(READY)  ## apply the formatter and the safe lint fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## write the pages that come from the program, and build the site into out/site
	$(BIN)/python -m kernelscope.cli.reference docs/cli.md
	$(BIN)/python -m kernelscope.rendering.documents docs
	$(BIN)/python -m tests.docs.report_example
	$(BIN)/python -m mkdocs build --strict --site-dir $(OUT)/site

bench: $(READY)  ## every benchmark; each prints its table of ratios
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

fuzz: $(READY)  ## every reader of strangers' files under atheris, SECONDS for each; what is found lies in out/fuzz
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	for target in $$($(BIN)/python -c "from tests.fuzz.targets import TARGETS; print(*TARGETS)"); do \
		$(BIN)/python -m tests.fuzz.run $$target $(SECONDS) $(OUT)/fuzz/$$target || exit 1; done

package: $(READY)  ## sdist and wheel in out/dist, the same bits twice, and the demo in an environment that has only the wheel
	rm -rf $(OUT)/dist $(OUT)/again $(OUT)/empty $(OUT)/from-wheel
	$(BIN)/python -m hatchling build -d $(OUT)/dist
	$(BIN)/python -m hatchling build -d $(OUT)/again
	diff -r $(OUT)/dist $(OUT)/again
	$(PYTHON) -m venv $(OUT)/empty
	$(OUT)/empty/bin/pip install --quiet --disable-pip-version-check -c constraints.txt $(OUT)/dist/*.whl
	$(OUT)/empty/bin/kernelscope demo --out $(OUT)/from-wheel

clean:  ## remove what these targets made
	rm -rf $(VENV) $(LIBRARIES) $(OUT) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
