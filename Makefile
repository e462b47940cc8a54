# Two commands are enough to know regild: `make demo` and `make test`.
.PHONY: demo demo-rotation test test-slow nightly fuzz bench lint format clean

PYTEST = .venv/bin/python -m pytest

demo:           ## build an outdated appliance, bring it up to date, show what changed
	@demo/run

demo-rotation:  ## real guests of libvirt, rotated in waves; a bad image halted and rolled back; needs root
	@scripts/setup demo slow
	@setpriv --pdeathsig TERM -- .venv/bin/python -m demo.rotation

test:           ## everything fast, a few minutes on two cores
	@scripts/setup test
	$(PYTEST) -n 2 -m "not slow and not nightly"

test-slow:      ## whole journeys, kills, other people's tools; one at a time, they watch the machine
	@scripts/setup slow
	$(PYTEST) -m "slow and not nightly"

nightly:        ## boots under emulation, images at random against apt and dnf; hours; kept in bench/RESULTS.md
	@scripts/setup targets
	.venv/bin/python -m bench.nightly

fuzz:           ## every parser for ten minutes of processor time, guided by coverage; goes on where it was ended
	@scripts/setup fuzz
	.venv/bin/python -m tests.fuzz.long_run
	.venv/bin/python -m tests.fuzz.long_run --harvest

bench:          ## measure beside other tools and append to bench/RESULTS.md
	@scripts/setup bench
	.venv/bin/python -m bench.run

lint:           ## the rules that machines can check, as make test checks them too
	@scripts/setup test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format:         ## put every file into its one form
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format .

clean:          ## what can be made again in this folder; appliances stay in the user's cache
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
