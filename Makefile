# What this needs: Go and make. What it makes: bin/, and tools in .cache/.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
ARGS    ?=
FUZZRUNS ?= 200000
TESTTIMEOUT ?= 15m
SCENARIOTIMEOUT ?= 20m
RACETIMEOUT ?= 45m
STRESSTIMEOUT ?= 40m
E2ETIMEOUT ?= 23m
SEEDS   ?= 1000
TRACE   ?= testdata/trace/dal09-2000.csv.gz

STATIC  = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false
LINTERS = .cache/bin/staticcheck

.PHONY: help build nodes run test race scenarios e2e-knative stress mutants lint fuzz bench replay clean vet fmt floors unit

help: ## list these targets
	@echo "make TARGET [ARGS='...']"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile

build: ## build bin/infinicache and bin/infinicache-node
	@mkdir -p bin
	$(STATIC) -ldflags "-X main.version=$(VERSION)" -o bin/infinicache ./cmd/infinicache
	$(STATIC) -tags lambda.norpc -ldflags "-s -w -X main.version=$(VERSION)" -o bin/infinicache-node ./cmd/infinicache-node

nodes: ## build bin/infinicache-node-linux-arm64 and -amd64, to be deployed
	@mkdir -p bin
	for arch in arm64 amd64; do \
		GOOS=linux GOARCH=$$arch $(STATIC) -tags lambda.norpc -ldflags "-s -w -X main.version=$(VERSION)" \
			-o bin/infinicache-node-linux-$$arch ./cmd/infinicache-node || exit 1; \
	done

run: build ## run a cache on this machine until Ctrl-C (ARGS: flags of infinicache up)
	bin/infinicache up $(ARGS)

test: build vet fmt lint floors unit ## build, check the source, run every test

race: build ## run every test under the race detector
	$(GO) test -race -timeout $(RACETIMEOUT) -skip '^TestSagas$$' ./... # hours of hundreds of nodes take too long so

scenarios: ## play every scenario over real processes at full length, and print what they measured
	cd cmd/infinicache && $(GO) test -count 1 -timeout $(SCENARIOTIMEOUT) -run '^TestScenario' -scenarios $(ARGS)

e2e-knative: build ## deploy to the cluster of KUBECONFIG and play scenarios there; E2E_IMPORT is a command that brings an image archive to it (ARGS: flags of go test)
	cd internal/e2e/knative && E2E_BIN="$${E2E_BIN:-$(CURDIR)/bin}" $(GO) test -count 1 -v -tags e2e -parallel 4 -timeout $(E2ETIMEOUT) $(ARGS) .

stress: ## play random workloads, and crashes of the proxy, with SEEDS seeds (1000) against whole caches in virtual time
	cd internal/simcache && $(GO) test -count 1 -timeout $(STRESSTIMEOUT) -run '^(TestRandomWorkload|TestSagas|TestCrashesUnderLoad)$$' -seeds=$(SEEDS) $(ARGS)

mutants: ## change the source for the worse, bit by bit, and see that the tests notice (ARGS: flags of tools/mutants)
	cd tools && $(GO) run ./mutants $(ARGS)

lint: $(LINTERS) ## staticcheck, and the analyzers of tools/vet
	.cache/bin/staticcheck ./...
	$(GO) vet -vettool="$$PWD/.cache/bin/vet" ./...

# Counted, not timed: until Go 1.27 a run that ends by the clock may fail with
# "context deadline exceeded" and no input (go.dev/issue/75804).
fuzz: ## run every fuzz target FUZZRUNS times (200000)
	@set -e; \
	for file in $$(find . -name '*_test.go' -not -path './.cache/*' -exec grep -l '^func Fuzz' {} + | sort); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "$(GO) test -fuzz $$target $${file%/*}"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZRUNS)x -fuzzminimizetime 100x "$${file%/*}"; \
		done; \
	done

bench: build ## measure speed, beside redis-server if it is installed (ARGS: flags of infinicache bench)
	bin/infinicache bench --up --compare-redis auto $(ARGS)

replay: build ## replay the first 2,000 requests of TRACE at a hundredth of their size
	bin/infinicache replay $(TRACE) --scale 0.01 --requests 2000 --verify --up $(ARGS)

clean: ## remove bin/ and the tools
	rm -rf bin .cache

# The parts of test.

vet:
	$(GO) vet ./...

fmt:
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "gofmt these files:"; echo "$$unformatted"; exit 1; fi

floors:
	$(GO) test -count 1 ./internal/floors

unit:
	$(GO) test -timeout $(TESTTIMEOUT) ./...

$(LINTERS): tools/go.mod tools/go.sum tools/vet/main.go
	@mkdir -p .cache/bin
	cd tools && $(GO) build -buildvcs=false -o ../.cache/bin/ honnef.co/go/tools/cmd/staticcheck ./vet
	@touch $@
