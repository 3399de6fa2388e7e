# Sluice. `make help` lists the targets. Nothing is needed but Go, git and make: `make test` and `make run` install the
# rest from the distribution.

GO        ?= go
BIN       := bin/sluice
FUZZTIME  ?= 5s
# What is tested, fuzzed and vetted: PKG=./protocols/... narrows it.
PKG       ?= ./...
# Further flags for `go test` and the benchmark: make test TESTFLAGS='-run TestDrain -v', make bench BENCHFLAGS=-quick.
TESTFLAGS  ?=
BENCHFLAGS ?=
DEMOFLAGS  ?=

VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.DEFAULT_GOAL := help
.PHONY: run build test test-long bench check fuzz docs deps help clean

run: build ## the whole demo on embedded servers: prints where to look and what to type
	@$(GO) build -o bin/demo ./testenv/demo
	@$(GO) build -C testenv/motan/peer -o $(CURDIR)/bin/motan-peer .
	@bin/demo -sluice $(BIN) -motan bin/motan-peer $(DEMOFLAGS)

build: ## bin/sluice
	@mkdir -p bin
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/sluice

# Packages whose long tests measure, so that they run by themselves.
MEASURE   := /resources/|/testenv/(matrix|journey)
LONG      := -race -count=1 -tags long -run Long -timeout 30m

# Results are not cached: many tests start the agent as a program, and go test does not see that it changed.
# Two passes: with the race detector, then the allocation gates alone without it, because it allocates by itself.
test: deps ## everything against real servers, under 15 minutes on 2 cores
	@GO=$(GO) internal/tools/gotest.sh -race -count=1 -timeout 10m $(TESTFLAGS) -- $(PKG)
	@GO=$(GO) internal/tools/allocs.sh $(PKG)

test-long: deps ## what takes longer: files *_long_test.go (build tag long), then fuzzing of every parser
	@GO=$(GO) internal/tools/gotest.sh $(LONG) -p 2 $(TESTFLAGS) -- $$($(GO) list $(PKG) | grep -Ev '$(MEASURE)')
	@GO=$(GO) internal/tools/gotest.sh $(LONG) -p 1 $(TESTFLAGS) -- $$($(GO) list $(PKG) | grep -E '$(MEASURE)')
	@$(MAKE) --no-print-directory fuzz FUZZTIME=$(FUZZTIME)

bench: build deps ## agent, twemproxy and HAProxy side by side: CPU for a request, throughput, latency, memory
	$(GO) run ./testenv/bench -sluice $(BIN) $(BENCHFLAGS)

check: ## format, vet, lint, layering, generated files, go.mod
	@GO=$(GO) internal/tools/check.sh

fuzz: ## every fuzz target for FUZZTIME each (make fuzz FUZZTIME=5m PKG=./protocols/resp)
	@GO=$(GO) internal/tools/fuzz.sh $(FUZZTIME) $(PKG)

docs: ## the generated part of docs
	@mkdir -p docs
	@$(GO) run ./cmd/sluice reference > docs/.reference.md.new && mv docs/.reference.md.new docs/reference.md
	@$(GO) run ./internal/tools/dashboard > docs/.grafana.json.new && mv docs/.grafana.json.new docs/grafana.json

deps: ## install the servers that the tests need (apt; silent when they are there)
	@internal/tools/deps.sh

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

clean: ## remove what was built
	rm -rf bin .cache bench.json
