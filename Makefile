# make help lists what can be made.
.DEFAULT_GOAL := help
.PHONY: help demo demo-down test test-fast soak bench bench-application bench-artifacts bench-scale bench-pressure figures lint locks readme

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: ## a whole server in a container, proven by a training run
	@scripts/demo

demo-down: ## remove it
	@scripts/demo-down

test: ## every test, from a fresh machine; an hour or more on two cores
	@tests/run all

test-fast: ## the tests without containers, under a minute
	@tests/run fast

soak: ## the long proofs, for hours: kills everywhere, 100 points under load, abuse (ABUSE_SECONDS, 7200), a long day
	@tests/run soak

bench: ## how fast it is, against stock MLflow on this machine; an hour on an idle one
	@scripts/bench

bench-artifacts: ## what login, logs and rules cost a small artifact; some minutes on an idle machine
	@scripts/bench artifacts

bench-application: ## what the settings of MLflow's own processes are worth; a quarter of an hour on an idle machine
	@scripts/bench application

bench-scale: ## how searches keep up with a million runs, and what PostgreSQL's settings are worth there; two hours on an idle machine
	@scripts/bench scale

bench-pressure: ## small requests beside big uploads, and too much load; an hour on an idle machine
	@scripts/bench pressure

figures: ## measure again what README.md and docs/results/README.md say; an hour on an idle machine
	@scripts/setup controller client engine
	@.venv/bin/python -m bench.provisioning
	@.venv/bin/python -m bench.recovery
	@$(MAKE) demo && .venv/bin/python -m bench.access && $(MAKE) demo-down readme

lint: ## ansible-lint, yamllint, ruff, mypy
	@tests/run lint

locks: ## resolve the lock files again from their .in files
	@scripts/locks

readme: ## write the variable tables of the roles' READMEs
	@scripts/setup controller
	@.venv/bin/python -m scripts.readme_tables
