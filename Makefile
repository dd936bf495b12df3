# SPDX-License-Identifier: BSD-2-Clause
#
# The door in front of Meson, for hands that type `make`. Meson decides what depends on what.
#
#   make               build everything into build/; the command is build/tadan
#   make test          the tests, and their sum; make test-asan, test-tsan: under sanitizers
#   make demo          install what is missing, build, and see everything at work
#   make test-nfs      a file system on a server, at every level (some minutes)
#   make fuzz          the fuzzers, FUZZ_SECONDS each (needs clang)
#   make lab           10,000 machine-made faults at every level (LAB_TRIALS); LAB_EMULATED in an emulator where keys are missing
#   make crash         crash the machine at every write: all of it (CRASH_SEEDS rounds)
#   make soak          work, faults and changes of level for SECONDS, with an eye on memory
#   make storm         100 faults a second, for SECONDS (60) at each level
#   make bench         measure (QUICK=1: a first look)
#   make install       into /usr/local (PREFIX=/elsewhere)
#   make packages      install the Debian packages that building and testing need
#   make clean

MAKEFLAGS += --no-print-directory
BUILD ?= build
PREFIX ?= /usr/local
MESON ?= meson
# Arguments for Meson's setup, and for `meson test`.
SETUP ?=
TESTS ?=

all: $(BUILD)/build.ninja
	@$(MESON) compile -C $(BUILD)

$(BUILD)/build.ninja:
	@command -v $(MESON) >/dev/null || { echo "Meson is missing; make packages installs it" >&2; exit 1; }
	CC=$(CC) $(MESON) setup $(BUILD) --prefix $(PREFIX) $(SETUP)

# Meson ends with an error if a test failed; so does the report, which has the last word.
test:
	@scripts/install-packages build test || echo "going on with what is there; tests that lack something say so"
	@$(MAKE) all
	@$(MESON) test -C $(BUILD) --no-rebuild --print-errorlogs $(TESTS); tests/report $(BUILD)

# A sanitizer's build gets what its tests need and no more: `meson test` builds that.
SANITIZED = $(BUILD)-$(@:test-%=%)
test-asan: SANITIZE = address,undefined
test-asan: SUITES = --no-suite plain --no-suite vm
test-tsan: SANITIZE = thread
test-tsan: SUITES = --suite threads
test-asan test-tsan:
	@scripts/install-packages build test || echo "going on with what is there; tests that lack something say so"
	@$(MAKE) $(SANITIZED)/build.ninja BUILD=$(SANITIZED) SETUP='-Db_sanitize=$(SANITIZE)'
	@$(MESON) test -C $(SANITIZED) --print-errorlogs $(SUITES); tests/report $(SANITIZED)

test-nfs: all
	@$(MESON) test -C $(BUILD) --no-rebuild --print-errorlogs --setup long --suite nfs --suite nfs-long; tests/report $(BUILD)

FUZZ_SECONDS ?= 60
fuzz:
	@$(MAKE) $(BUILD)-fuzz/build.ninja BUILD=$(BUILD)-fuzz CC=clang SETUP='-Db_sanitize=address,undefined -Db_lundef=false'
	@ninja -C $(BUILD)-fuzz fuzz/elf fuzz/process fuzz/snfs fuzz/records fuzz/sandbox tests/sfi/handmade.wasm
	@for f in elf process snfs records; do $(BUILD)-fuzz/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) || exit 1; done
	@$(BUILD)-fuzz/fuzz/sandbox -max_total_time=$(FUZZ_SECONDS) -seed_inputs=$(BUILD)-fuzz/tests/sfi/handmade.wasm

CRASH_SEEDS ?= 10
crash: all
	@for seed in $$(seq 1 $(CRASH_SEEDS)); do for cache in 0 65536; do for how in "" --trouble; do \
		$(BUILD)/tests/crash/crash $$how --cache $$cache --seed $${seed}00 --most 1000000 $(BUILD)/modules/smfs/smfs.so || exit 1; \
		done; $(BUILD)/tests/crash/crash --storm --cache $$cache --seed $${seed}00 --most 100 $(BUILD)/modules/smfs/smfs.so || exit 1; \
		done; done

demo:
	@scripts/install-packages build demo
	@$(MAKE) all
	@$(BUILD)/tadan demo

# Each level has its own report beside the others.
LAB_TRIALS ?= 10000
LAB_EMULATED ?= $(LAB_TRIALS)
lab: all
	@tests/lab/campaigns --build $(BUILD) --trials $(LAB_TRIALS) --emulate $(LAB_EMULATED) --out $(BUILD)/lab

SECONDS ?= 60
soak: all
	@$(BUILD)/tadan lab smfs --soak $(SECONDS)

storm: all
	@for level in guarded walled sandboxed isolated; do \
		$(BUILD)/tests/stress/stress $(BUILD)/tests/undo/smfs_planted.so $(SECONDS) 1 \
			$$level,restart=1000/1s 100; \
		case $$? in 0 | 77) ;; *) exit 1 ;; esac; done

# The table of CAVEATS.md, from trials.
caveats: all
	@tests/lab/matrix --build $(BUILD) --caveats CAVEATS.md --write --emulate
	@tests/attack/table $(BUILD)/tests/attack/net_use $(BUILD)/tests/attack CAVEATS.md --write --vm tests/vm/run

bench: all
	@scripts/install-packages bench
	@for what in gates hook yields protection levels; do \
		$(BUILD)/tadan bench $$what $(if $(QUICK),--quick) --json $(BUILD)/bench-$$what.json \
			--plot $(BUILD)/bench-$$what.svg || exit 1; done

install: all
	@$(MESON) install -C $(BUILD) --no-rebuild

packages:
	@scripts/install-packages

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz

.PHONY: all crash test test-asan test-tsan test-nfs fuzz demo lab soak storm caveats bench install packages clean
