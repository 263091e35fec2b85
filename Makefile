# What can be done with a checkout of saeviz: `make help` lists it.

PYTHON ?= python3
IN_ENVIRONMENT = exec $(PYTHON) saeviz/running/bootstrap.py
# Processes of one thread each, as a laptop of two cores has; the tests of a file stay together: they share what takes
# long to make. Modules that have been compiled are kept, wherever one is told to keep none: tests start Python often.
PROCESSES ?= 2
SIDE_BY_SIDE = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(IN_ENVIRONMENT) requirements-dev.txt -m pytest -n $(PROCESSES) \
	--dist loadfile --no-loadscope-reorder

.PHONY: help run check test soak test-peers lint bench bench-engine clean

help:           ## this list
	@sed -n 's|^\([a-z-]*\):.*## \(.*\)|  make \1  \2|p' Makefile

run:            ## the site with everything it needs, at http://127.0.0.1:8000; SAE=path imports one, RUN=folder follows a training; Ctrl-C ends it
	@$(IN_ENVIRONMENT) requirements.txt -m saeviz.running

test: lint      ## every test that can run here; what cannot says why
	@$(SIDE_BY_SIDE) $(ARGS)

check: lint     ## in a minute: form, linter, arrows, the engine against its definitions
	@$(SIDE_BY_SIDE) tests/saeviz/test_arrows.py tests/saeviz/test_docs.py tests/engine $(ARGS)

soak:           ## attacks and faults against a site of its own on this machine, and what became of each (some ten minutes)
	@$(IN_ENVIRONMENT) requirements-dev.txt -m tests.soak $(ARGS)

test-peers:     ## the same figures by other tools, each in an environment of its own (minutes, some GB)
	@$(IN_ENVIRONMENT) requirements-dev.txt -m tests.bench.peer_environments $(ARGS)

lint:           ## what ruff has to say of errors and form
	@$(IN_ENVIRONMENT) requirements-dev.txt -m ruff check .
	@$(IN_ENVIRONMENT) requirements-dev.txt -m ruff format --check .

bench:          ## how long things take here
	@$(IN_ENVIRONMENT) requirements-dev.txt -m tests.bench

bench-engine:   ## how long the arithmetic takes here
	@$(IN_ENVIRONMENT) requirements-dev.txt -m tests.bench engine

clean:          ## remove the environment and the caches; data/ stays
	rm -rf .venv .pytest_cache .ruff_cache build
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
