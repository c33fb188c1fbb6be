# GNU make. Every target that needs Python prepares .venv first (.ci/venv says how); PYTHON=... names another Python.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-slow check docs bench bench-peers clean

export PYTHON
RUN := .venv/bin/python
# The suite uses two processes; a threaded BLAS under them only makes them wait for each other.
TEST_ENV := MPLBACKEND=Agg OPENBLAS_NUM_THREADS=1

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo:  ## Run the examples in order; their figures go to examples/
	@.ci/venv demo plots
	@cd examples && for script in [0-9]*.py; do \
		printf '\n== examples/%s\n' "$$script"; \
		MPLBACKEND=Agg ../$(RUN) "$$script" || { echo "examples/$$script failed" >&2; exit 1; }; \
	done
	@printf '\nFigures:\n'; ls examples/*.png 2>/dev/null | sed 's/^/  /' || true

test:  ## Run the whole suite, doctests and README included (slow tests apart)
	@.ci/venv test test
	$(TEST_ENV) $(RUN) -m pytest -W error -n 2 -q

test-slow:  ## Run the slow tests
	@.ci/venv test test
	$(TEST_ENV) $(RUN) -m pytest -W error -n 2 -q -m slow

check:  ## Lint, check the format, check the types
	@.ci/venv dev dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

docs:  ## Build the documentation; a warning is an error
	@.ci/venv docs docs
	MPLBACKEND=Agg $(RUN) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench:  ## Measure bayeskit alone, a few minutes; ARGS="rats --only stages" selects, ARGS=--help says what there is
	@.ci/venv bench
	$(RUN) -m benchmarks $(ARGS)

bench-peers:  ## Measure bayeskit beside its peers (an hour or two); ARGS=--resume goes on with a run that was cut short
	@.ci/venv bench
	@.ci/peers
	$(RUN) -m benchmarks --peers benchmarks/.venv-peers/bin/python $(ARGS)

clean:  ## Remove what was made: the environment, caches, built pages, figures
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	rm -rf docs/_build docs/api docs/gallery docs/sg_execution_times.rst examples/*.png
	rm -rf benchmarks/.venv-peers benchmarks/.cache
	find bayeskit tests examples docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
