# Thin names for what has its one implementation elsewhere: tox.ini, hack/, manifests/.

# Where `install`, `deploy` and `run` go. Your current cluster is never touched by accident: name
# a context (make install CONTEXT=staging) or set KUBECONFIG.
CONTEXT ?=
IMG ?= observatory-operator:latest
CONTAINER_TOOL ?= docker
PLATFORMS ?= linux/amd64,linux/arm64
PYTHON ?= python3
VENV := .venv
# Half a pipe is no success.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
KUBECTL := hack/kubectl $(if $(CONTEXT),--context=$(CONTEXT))
RENDERED = $(KUBECTL) kustomize manifests/default | sed 's|image: observatory-operator:latest|image: $(IMG)|'

.DEFAULT_GOAL := help

##@ See it work

.PHONY: demo
demo: $(VENV)/ready ## Run the quick-start workflow on a cluster that is found or made.
	$(VENV)/bin/python hack/demo up

.PHONY: demo-down
demo-down: ## Remove the demo's cluster and everything in it.
	$(PYTHON) hack/demo down

##@ Use it on a cluster (CONTEXT=name, or KUBECONFIG)

.PHONY: install
install: ## Install the CRD.
	$(KUBECTL) apply --server-side -f manifests/crd

.PHONY: cleanup
cleanup: $(VENV)/ready ## Let go of every Pod and Observatory that the operator holds; it must not run.
	@test -n "$(CONTEXT)$(KUBECONFIG)" || { echo "error: name the cluster: make cleanup CONTEXT=name, or set KUBECONFIG" >&2; exit 2; }
	$(VENV)/bin/python -m observatory cleanup --force $(if $(CONTEXT),--context=$(CONTEXT))

.PHONY: uninstall
uninstall: cleanup ## Remove the CRD, and with it every Observatory.
	$(KUBECTL) delete --ignore-not-found --timeout=120s -f manifests/crd

.PHONY: deploy
deploy: ## Deploy the operator with leader election (IMG=repository/image:tag).
	$(RENDERED) | $(KUBECTL) apply --server-side -f -

.PHONY: undeploy
undeploy: $(VENV)/ready ## Remove the operator, the CRD, and with it every Observatory.
	PYTHON=$(VENV)/bin/python hack/undeploy $(if $(CONTEXT),--context=$(CONTEXT))

.PHONY: run
run: $(VENV)/ready ## Run the operator from here against that cluster.
	@test -n "$(CONTEXT)$(KUBECONFIG)" || { echo "error: name the cluster: make run CONTEXT=name, or set KUBECONFIG" >&2; exit 2; }
	$(VENV)/bin/python -m observatory run $(if $(CONTEXT),--context=$(CONTEXT))

##@ Develop

.PHONY: test
test: $(VENV)/ready ## Run everything: lint, types, contracts, unit, integration, e2e.
	$(VENV)/bin/tox

.PHONY: lint
lint: $(VENV)/ready ## Run the linters, the type checker and the import contracts.
	$(VENV)/bin/tox -e lint,types,imports

.PHONY: benchmark
benchmark: $(VENV)/ready ## Measure CPU per task and peak memory on fake nodes.
	$(VENV)/bin/python hack/benchmark

.PHONY: generate manifests
generate: manifests ## The same as manifests: everything generated comes from observatory/api.
manifests: $(VENV)/ready ## Write the CRD, the RBAC rules and docs/api.md from observatory/api.
	$(VENV)/bin/python hack/manifests

.PHONY: lock
lock: $(VENV)/ready ## Pin what the image installs, with hashes, from pyproject.toml.
	$(VENV)/bin/tox -e lock

##@ Build

.PHONY: build
build: $(VENV)/ready ## Build the wheel into dist/.
	$(VENV)/bin/python -m pip --quiet wheel --no-deps --wheel-dir dist .

.PHONY: build-installer
build-installer: ## Write dist/install.yaml, for kubectl apply --server-side -f (IMG=repository/image:tag).
	@mkdir -p dist
	$(RENDERED) > dist/install.yaml

.PHONY: chart
chart: $(VENV)/ready ## Write the Helm chart into dist/chart, rendered from manifests/.
	$(VENV)/bin/python hack/chart

# Of the sources and not of the moment, so that equal sources make an equal image.
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' observatory/__init__.py)
REVISION = $(shell git describe --always --dirty --abbrev=40 --match= 2>/dev/null || echo unknown)
CREATED = $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
IMAGE_ARGS = --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg CREATED=$(CREATED)

.PHONY: docker-build
docker-build: ## Build the image (IMG=repository/image:tag; CONTAINER_TOOL=hack/image: no registry).
	$(CONTAINER_TOOL) build --tag $(IMG) $(IMAGE_ARGS) .

.PHONY: docker-push
docker-push: ## Push the image (IMG=repository/image:tag).
	$(CONTAINER_TOOL) push $(IMG)

.PHONY: sbom
sbom: ## Write dist/sbom.json, of the image that hack/image built last (IMG=repository/image:tag).
	@mkdir -p dist
	hack/image packages $(IMG) > dist/packages
	hack/sbom --dpkg-status dist/packages > dist/sbom.json

.PHONY: docker-buildx
docker-buildx: ## Build and push it for PLATFORMS, with SBOM and provenance.
	$(CONTAINER_TOOL) buildx build --platform $(PLATFORMS) --sbom=true --provenance=mode=max \
	  --tag $(IMG) $(IMAGE_ARGS) --push .

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*##"; printf "Usage: make \033[36m<target>\033[0m\n"} \
	  /^[a-z-]+:.*?##/ { printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2 } \
	  /^##@/ { printf "\n\033[1m%s\033[0m\n", substr($$0, 5) }' $(MAKEFILE_LIST)

$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than Python 3.11; set PYTHON=python3.x" >&2; exit 2; }
	@echo "Installing the project into $(VENV) (about a minute the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(VENV)/bin/python -m pip install --quiet --editable . 'tox>=4.67,<5'
	@touch $@
