# Two commands for a user: make demo, make test. Each does all of its own set-up.
VENV ?= .venv
BIN := $(VENV)/bin
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1

.PHONY: demo test fast shapes check format bench mutation formal docs clean

demo:  ## prove and check the shipped models, write the report
	@scripts/environment.sh $(VENV)
	$(BIN)/pessimal demo --out demo-out

test: shapes  ## every test
	$(BIN)/python -m pytest -n 2 -q

fast:  ## the tests that take a moment each
	@scripts/environment.sh $(VENV) test
	$(BIN)/python -m pytest -n 2 -q -m "not slow"

# Checking every call takes ten times as long as the call; shapes go wrong on the first few examples or not at all.
shapes:  ## the fast tests on a few examples, with every shape checked at run time
	@scripts/environment.sh $(VENV) test
	PESSIMAL_EXAMPLES=2 $(BIN)/python -m pytest -n 2 -q -m "not slow and not survey" --jaxtyping-packages=pessimal,beartype.beartype

check:  ## style, types, layers, generated documentation
	@scripts/environment.sh $(VENV) test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/house_rules.py
	$(BIN)/python docs/trusted_lines.py --check

format:
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench:  ## the speed claims, as ratios where there is a reference
	@scripts/environment.sh $(VENV) test
	$(BIN)/python benchmarks/speed.py

mutation:  ## mutate the trusted code and count what the tests catch
	@scripts/environment.sh $(VENV) test
	$(BIN)/python tests/mutation/run.py

formal:  ## build the Coq theorems and prove the claims of two shipped certificates in Coq's kernel
	@scripts/environment.sh $(VENV)
	scripts/formal.sh $(VENV)

docs:  ## refresh the generated parts of docs/
	$(BIN)/python docs/trusted_lines.py

clean:
	rm -rf $(VENV) demo-out build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
