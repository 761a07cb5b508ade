# The tools of the checks are pinned in tools/go.mod, apart from the product's.
tool = go tool -modfile=tools/go.mod

# Go gives a package ten minutes by itself. cmd/manus, which starts hundreds of processes, has to
# come to its end on a slow machine too.
patient = -timeout 60m

# SQLite, which is C that was translated, keeps its data in memory that isn't Go's. The race detector
# doesn't look there, but is asked at each access: then all that uses the store takes five times as long.
# Of what is asked without it, all is within one connection, which the driver and we, with it, hold.
race = -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc/...=-race=false -gcflags=modernc.org/memory=-race=false

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: dev
dev: ## Run the whole product on this machine
	go run ./cmd/manus dev

.PHONY: build
build: ## Build the binary, ./manus
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w \
		-X main.version=$$(git describe --tags --always --dirty) \
		-X main.commit=$$(git rev-parse HEAD) \
		-X main.buildTime=$$(date -u +%Y-%m-%dT%H:%M:%SZ)" ./cmd/manus

.PHONY: setup
setup: ## Install and build what the tests start, where that hasn't been done
	go run ./internal/testsetup

.PHONY: test
test: setup ## Run the tests
	go test $(patient) ./...

.PHONY: check
check: format vet lint race mongodb deadcode ## Everything that has to be green before a commit

.PHONY: format
format: ## Fail when a file isn't formatted
	@test -z "$$(gofmt -l .)" || { echo "not formatted (run gofmt -w):"; gofmt -l .; exit 1; }

.PHONY: vet
vet: ## Run go vet
	go vet ./...
	cd internal/mongotest/server && go vet ./...
	cd internal/s3test/server && go vet ./...
	cd internal/sentrytest/go && go vet ./...
	cd bench && go vet ./... # a minute where nothing is cached: peers are compiled

.PHONY: lint
lint: ## Run staticcheck
	$(tool) staticcheck ./...

.PHONY: race
race: setup ## Run the tests with the race detector
	go test $(race) $(patient) ./...
	cd internal/mongotest/server && go test -race ./...

.PHONY: mongodb
mongodb: setup ## Run the capabilities' tests on MongoDB too; see MONGODB_TEST_URI
	MANUS_TEST_STORE=mongodb go test $(patient) ./account ./audit ./backup ./billing ./errtrack ./idempotency ./incident ./mail ./notify ./readiness ./session ./subscribe ./uptime

.PHONY: deadcode
deadcode: ## Fail when code isn't reachable from the program or a test
	@out=$$($(tool) deadcode -test ./...) && test -z "$$out" || { echo "$$out"; exit 1; }

# The rooms with rules; of backup, the files that have them.
mutated = account audit billing config idempotency lease notify queue ratelimit session

.PHONY: mutate
mutate: setup ## Change each rule a little, and list the changes that no test sees
	cd tools && go run ./mutate $(mutated)
	cd tools && go run ./mutate -files retention.go,manifest.go,schedule.go backup

.PHONY: fuzz
fuzz: ## Fuzz every parser of foreign bytes, 30 s each
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
			echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime 30s $$pkg || exit 1; \
		done; \
	done

.PHONY: bench
bench: ## Measure, beside the peers; see bench/RESULTS.md
	cd bench && go run . && go run . -copies && go run . -store && go run ./limits && go run ./backup && go run ./alerts && go run ./uptime && go run ./statuspage
