# SPDX-License-Identifier: MIT
# A thin front: meson builds, the scripts in tools/ do the rest. Every goal installs what is missing
# first.
.PHONY: all setup test test-tools demo bench soak asan aarch64 fuzz clean
B := build

all: $(B)/build.ninja
	@ninja -C $(B)

setup:
	@tools/setup.sh

$(B)/build.ninja: | setup
	@meson setup $(B)

test: all
	@tools/run-tests.sh $(B)

# Real tools of the distribution, in every mode; takes minutes and installs them
test-tools: all
	@tools/test-tools.sh $(B)

demo: all
	@tools/demo.sh $(B)

# make bench BENCH=hit/entry runs the cases that begin with it; without, also what loaders pay
bench: all
	@$(B)/bench/run -o $(B)/bench.json $(BENCH)
	@[ -n "$(BENCH)" ] || meson test -C $(B) --no-rebuild --suite bench --verbose </dev/null

soak: all
	@tools/run-tests.sh --soak $(B)

# make fuzz FUZZ='-t 600 insn btf'; what it finds is in fuzz-findings/
fuzz: all
	@tools/fuzz.sh $(FUZZ)

asan: setup
	@tools/run-tests.sh --asan-only

aarch64: setup
	@tools/run-tests.sh --aarch64-only

clean:
	rm -rf $(B) build-asan build-aarch64 build-fuzz
