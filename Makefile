# make run      serve metrics: of the built-in demo, or of a real libvirt with URI=qemu:///system
# make unit     pure tests: no system packages, no libvirtd, less than a minute
# make test     every test, on real libvirtd, QEMU and Prometheus
# make lint     ruff, mypy --strict, import-linter
# make chaos    the storm of the tests, for longer: LAB_CHAOS_SECONDS=600 LAB_SEED=1
# make rules    the alert rules, from alerts/thresholds.toml and alerts/generator
# make dashboards   Grafana's dashboards, from dashboards/source
# make bench    measures speed and size beside floors and peers; writes docs/performance.md (ARGS="scrapes": one part)
# make soak     runs storms, reconnects and outages for SOAK_MINUTES=30, and checks that nothing keeps growing
# make docs     docs/configuration.md and docs/metrics.md, from the code
# make chart    brings the Helm chart's copies, schema and README up to date
# make image    the container image, with docker, podman or buildah (IMAGE=name:tag)
# make test-image   builds the image on a debootstrap Debian and runs it as the chart does (root, minutes)
# make format   formats the code
# make dist     sdist and wheel, in dist/
# make lock     requirements-hashed*.txt: the versions of constraints.txt with the hashes of their files
# Each command first installs what is missing.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
.DEFAULT_GOAL := help
.PHONY: help run unit test chaos lint rules dashboards docs bench soak chart image test-image format dist lock clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: $(VENV)/run
ifdef URI
	@exec $(BIN)/libvirt-lifecycle-exporter --libvirt.uri '$(URI)' $(ARGS)
else
	@exec $(BIN)/libvirt-lifecycle-exporter demo $(ARGS)
endif

ON_NEWER := $(patsubst %,tests/qemu/test_%.py,scenarios migration daemon_loss messages rfc)

# Each process has its own daemons and guests; more than 4 would have too little CPU time each.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Go programs are built in the background; the tests that need them run last.
# The second run repeats the tests with real guests on a newer libvirt and QEMU (LAB_COMPLETE=1: they must be there).
test: $(VENV)/test
	@setsid tests/lab/build-tools.sh >/dev/null 2>&1 & builds=$$!; \
		trap 'kill -- -$$builds 2>/dev/null' EXIT; \
		$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)
	LAB_LIBVIRT=newer $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ON_NEWER) $(ARGS)

# Needs no daemon, and only the system packages with which libvirt-python is built.
unit: $(VENV)/dev
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -q tests/unit tests/prometheus/test_metrics_page.py tests/packaging/test_language.py $(ARGS)

chaos: export LAB_CHAOS_SECONDS ?= 600
chaos: $(VENV)/test
	$(BIN)/python -m pytest tests/chaos --timeout=7200 -s $(ARGS)

lint: $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

rules:
	$(PYTHON) -m alerts.generator --write

bench: $(VENV)/test
	$(BIN)/python -m tests.bench $(ARGS)

SOAK_MINUTES ?= 30
soak: $(VENV)/test
	$(BIN)/python -m tests.bench --soak-minutes $(SOAK_MINUTES) soak

dashboards: $(VENV)/dev
	$(BIN)/python -m dashboards.generate

docs: $(VENV)/dev
	$(BIN)/python -m docs.generate_metrics
	$(BIN)/python -m docs.generate_configuration

chart: $(VENV)/dev
	$(BIN)/python -m helm.chart

IMAGE ?= libvirt-lifecycle-exporter:latest
BUILDER = $(firstword $(foreach one,docker podman buildah,$(shell command -v $(one))))
image: export BUILDAH_FORMAT := docker
image:
	@test -n '$(BUILDER)' || { echo 'install docker, podman or buildah' >&2; exit 1; }
	$(BUILDER) build --tag '$(IMAGE)' --build-arg REVISION="$$(git rev-parse HEAD)" \
		--build-arg CREATED="$$(date -u +%Y-%m-%dT%H:%M:%SZ)" $(ARGS) .

# Not part of `test`, because it takes long and needs root.
test-image: export LAB_IMAGE := 1
test-image: $(VENV)/test
	@.ci/install-system-packages image
	$(BIN)/python -m pytest tests/image --timeout=900 -s $(ARGS)

format: $(VENV)/dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

dist: $(VENV)/dev
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/twine check --strict dist/*

lock: $(VENV)/dev
	$(BIN)/pip install -q -c constraints.txt uv
	tests/lab/lock.sh $(BIN)/uv

clean:
	rm -rf $(VENV) .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist

# Stamp files: system packages, then the virtual environment, then the packages in it.
$(VENV)/run: pyproject.toml constraints.txt .ci/install-system-packages
	@.ci/install-system-packages run
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt pip
	$(BIN)/pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/dev: $(VENV)/run
	$(BIN)/pip install -q -c constraints.txt --group dev
	@touch $@

$(VENV)/test: $(VENV)/dev
	@.ci/install-system-packages test
	@touch $@
