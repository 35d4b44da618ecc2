# `make demo` and `make test` set up all that they need in .venv; nothing is installed outside of it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What is too heavy for everybody's tests has an environment of its own, and so has what changes how TensorFlow loads.
EXTRAS := .venv-extras
KERAS2 := .venv-keras2
TORCH := .venv-torch
# What is asked of one endpoint, as it is of a replica behind Ray's proxy.
BY_RAY := answers compression deaths hang http_clients infer offload offload_command openapi other_clients service spares \
	strangers threads tokens_and_limits told triton triton_aio uploads versions

.PHONY: demo test test-extras test-arm64 check bench lock clean

demo: $(VENV)/demo.stamp
	$(BIN)/ondevice demo

# tests/conftest.py says with how many workers, and has put the long files first, where xdist would put those of many
# tests. A thousand processes start in them: with bytecode, whatever the environment says, none compiles it again.
test: $(VENV)/test.stamp
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q -n auto --dist loadfile --no-loadscope-reorder

# Extras that bring much: Ray; Keras 2; PyTorch, 2.1 GB. Some forty minutes. Where pip does not find the build of torch
# for CPUs, set PIP_EXTRA_INDEX_URL to PyTorch's index of those. The plugin that is left out warns of itself.
test-extras: $(EXTRAS)/extras.stamp $(KERAS2)/keras2.stamp $(TORCH)/torch.stamp
	$(EXTRAS)/bin/pytest -q -p no:anyio tests/cloud/ray tests/seams/test_ray*.py
	ONDEVICE_TEST_RAY=1 $(EXTRAS)/bin/pytest -q -p no:anyio $(BY_RAY:%=tests/seams/test_%.py)
	$(KERAS2)/bin/pytest -q tests/converters/sources/test_tf_keras_file.py
	$(TORCH)/bin/pytest -q -p no:anyio tests/converters/sources/test_pytorch.py tests/converters/sources/test_rebuilt.py

# Needs root; see CONTRIBUTING.md.
test-arm64: $(VENV)/demo.stamp
	sh scripts/test-arm64

check: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	sh scripts/typecheck

bench: $(VENV)/bench.stamp
	$(BIN)/python benchmarks/runner.py

# Pins every dependency for every platform; needs the network.
lock: $(VENV)/test.stamp
	$(BIN)/python -m pip install -q uv
	for part in demo test bench extras keras2 torch; do sh scripts/lock $$part; done

clean:
	rm -rf $(VENV) $(EXTRAS) $(KERAS2) $(TORCH) build dist *.egg-info

$(BIN)/python:
	sh scripts/venv $(PYTHON) $(VENV)

$(EXTRAS)/bin/python:
	sh scripts/venv $(PYTHON) $(EXTRAS)

$(TORCH)/bin/python:
	sh scripts/venv $(PYTHON) $(TORCH)

$(TORCH)/torch.stamp: requirements/torch.lock pyproject.toml scripts/checkout_path.py | $(TORCH)/bin/python
	$(TORCH)/bin/python -m pip install -q --require-hashes -r $<
	$(TORCH)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	$(TORCH)/bin/python scripts/checkout_path.py
	touch $@

$(EXTRAS)/extras.stamp: requirements/extras.lock pyproject.toml scripts/checkout_path.py | $(EXTRAS)/bin/python
	$(EXTRAS)/bin/python -m pip install -q --require-hashes -r $<
	$(EXTRAS)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	$(EXTRAS)/bin/python scripts/checkout_path.py
	touch $@

$(KERAS2)/bin/python:
	sh scripts/venv $(PYTHON) $(KERAS2)

$(KERAS2)/keras2.stamp: requirements/test.lock requirements/keras2.lock pyproject.toml scripts/checkout_path.py | $(KERAS2)/bin/python
	$(KERAS2)/bin/python -m pip install -q --require-hashes -r $< -r requirements/keras2.lock
	$(KERAS2)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	$(KERAS2)/bin/python scripts/checkout_path.py
	touch $@

$(VENV)/%.stamp: requirements/%.lock pyproject.toml scripts/checkout_path.py | $(BIN)/python
	$(BIN)/python -m pip install -q --require-hashes -r $<
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	$(BIN)/python scripts/checkout_path.py
	touch $@
