# Every target has one help line after ##; `make` alone prints them.
MODULE  := github.com/hashlease/hashlease
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TOOL    := go tool -modfile=tools/go.mod
LDFLAGS := -s -w -X main.version=$(VERSION)
ARGS    ?=

.DEFAULT_GOAL := help
.PHONY: help demo build release test conform browser race lint fuzz bench perf proto cover sim site

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## run the whole product on this machine: btcd, 200 simulated ASICs, leases, console (ARGS="--for 90s --json")
	go run ./cmd/hashlease demo $(ARGS)

build: ## compile everything and put both programs into dist/
	go build ./...
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o dist/ ./cmd/hashlease ./cmd/hashsim

release: ## make one static binary with a systemd unit and checksums in dist/
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o dist/hashlease ./cmd/hashlease
	cp -f cmd/hashlease/systemd/hashlease.service LICENSE dist/
	cd dist && sha256sum hashlease hashlease.service LICENSE > SHA256SUMS && cat SHA256SUMS

test: ## run every functional test
	go test -timeout 20m ./...

conform: ## check the server against the Stratum V2 rules, and the rules against seeded defects
	go build -o dist/ ./cmd/sv2conform
	CONFORM_DEFECTS=1 go test -count 1 -parallel 2 -timeout 20m ./stratum/conformance/...

browser: ## test the console in a real Chromium; stops if there is none
	tools/browser.sh

race: ## run the tests under the race detector
	CGO_ENABLED=1 go test -race -short ./...

lint: ## check style, rooms and proto files
	$(TOOL) golangci-lint run ./...
	cd tools && go tool golangci-lint run --config ../.golangci.yml ./...
	cd proto && go tool -modfile=../tools/go.mod buf lint

fuzz: ## fuzz every target for FUZZTIME (10s)
	tools/fuzz.sh

bench: ## measure against the goals; BENCH_OUT=FILE also writes JSON lines
	go -C tools run ./bench -root .. $(if $(BENCH_OUT),-out $(abspath $(BENCH_OUT)))

perf: ## measure the server under load (11 minutes) and rewrite the tables in docs/performance.md
	go run ./cmd/hashsim load --connections 1000,5000,10000 --into docs/performance.md $(ARGS)
	go run ./cmd/hashsim load --dialect v1 --connections 1000,5000 --into docs/performance.md $(ARGS)

proto: ## regenerate Go code from proto/
	cd proto && go tool -modfile=../tools/go.mod buf generate

cover: ## print test coverage by function; dist/cover.html shows the lines
	mkdir -p dist && go test -coverpkg=./cmd/...,./lease/...,./pool/...,./storage/...,./stratum/... \
		-coverprofile=dist/cover.out ./...
	go tool cover -html=dist/cover.out -o dist/cover.html && go tool cover -func=dist/cover.out

sim: ## run the real governor over 10,000 simulated workers (90 minutes at most, both cores); rewrites docs/performance.md
	go test ./pool/governor/simtest -run LongStory -count 1 -timeout 110m -v -sim.long \
		-sim.into $(abspath docs/performance.md) $(ARGS)

site: ## run a simulated site alone (ARGS="--help")
	go run ./cmd/hashsim site $(ARGS)
