# What can be made here; `make` alone lists it.
#
# Every target that needs a tool gets it first: see tests/deps.

PG_CONFIG ?= pg_config
CARGO ?= cargo

export PG_CONFIG
# The build of the bridge to Postgres asks this one.
export PGRX_PG_CONFIG_PATH := $(PG_CONFIG)

# Evaluated when a recipe runs, since `deps` may have to install pg_config before.
PG_MAJOR = $(shell $(PG_CONFIG) --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
FEATURES = --no-default-features --features pg$(PG_MAJOR)
LIBDIR = $(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir)
TARGET = $(or $(CARGO_TARGET_DIR),target)
SHAREDIR = $(DESTDIR)$(shell $(PG_CONFIG) --sharedir)/extension

.PHONY: help deps test-deps build install install-built demo test soak lint bench clean

help:
	@echo 'make install   build the extension and install it into the Postgres of PG_CONFIG ($(PG_CONFIG))'
	@echo 'make demo      show it: a simulated Salesforce, a throwaway cluster, queries, a connection string'
	@echo 'make test      format, lints, unit tests, PostgreSQL 14 to 18, end-to-end tests'
	@echo 'make soak      an hour of damaged answers, fifteen thousand random queries, half an hour of trouble for synced tables'
	@echo 'make lint      format and lints alone'
	@echo 'make bench     measure'
	@echo 'make clean     remove what was built'

deps:
	@tests/deps

test-deps:
	@tests/deps --tests

build: deps
	$(CARGO) build --release -p sequin_fdw $(FEATURES)

install: build install-built

# For whoever has built it already.
install-built:
	@for dir in "$(LIBDIR)" "$(SHAREDIR)"; do \
	  mkdir -p "$$dir" && test -w "$$dir" || { echo "cannot write to $$dir: run make install as its owner" >&2; exit 1; }; \
	done
	install -m 755 '$(TARGET)/release/libsequin_fdw.so' '$(LIBDIR)/sequin_fdw.so'
	install -m 644 sequin_fdw.control sql/*.sql '$(SHAREDIR)'

demo: deps
	$(CARGO) build --release -p sequin_fdw -p sandbox $(FEATURES)
	@$(MAKE) --no-print-directory install-built
	@tests/demo

test: test-deps
	@tests/all

# Answers of APIs, changed at random, for an hour (SEQUIN_FUZZ_MINUTES; SEQUIN_FUZZ_SEED repeats what failed: see src/tests/fuzz).
# Then random queries, half of them in databases with C collation, half in others with ICU's. SEQUIN_SEED=1234 runs one query of each API in
# both, and tells all about it. Then the tests of synced tables, with half an hour of random trouble (SEQUIN_SYNC_MINUTES, SEQUIN_SYNC_SEED).
soak: deps
	$(CARGO) build --release --workspace $(FEATURES)
	@$(MAKE) --no-print-directory install-built
	@SEQUIN_FUZZ_MINUTES=$${SEQUIN_FUZZ_MINUTES:-60} \
	  $(CARGO) test --release --workspace $(FEATURES) --lib no_answer_breaks_what_reads_it -- --nocapture
	@SEQUIN_SEED=$${SEQUIN_SEED:-0..5000} tests/cluster run -- \
	  $(CARGO) test --release --workspace $(FEATURES) --test e2e random_queries_of_salesforce -- --nocapture
	@SEQUIN_SEED=$${SEQUIN_SEED:-0..2500} tests/cluster run -- \
	  $(CARGO) test --release --workspace $(FEATURES) --test e2e random_queries_of_airtable -- --nocapture
	@SEQUIN_SYNC_MINUTES=$${SEQUIN_SYNC_MINUTES:-30} tests/cluster run -- \
	  $(CARGO) test --release --workspace $(FEATURES) --test e2e syncing_ -- --show-output --test-threads 2

lint: deps
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets $(FEATURES) -- -D warnings

bench: install
	$(CARGO) bench --no-run $(FEATURES) --benches
	@tests/cluster run -- $(CARGO) bench $(FEATURES) --bench scan
	@tests/cluster run -- $(CARGO) bench $(FEATURES) --bench airtable
	@tests/cluster run -- $(CARGO) bench $(FEATURES) --bench write
	@tests/cluster run --set shared_preload_libraries=sequin_fdw -- $(CARGO) bench $(FEATURES) --bench sync

clean:
	$(CARGO) clean
