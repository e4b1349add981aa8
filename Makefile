# Pawl. `make help` lists the targets.
#
#   DEBUG=1  SAN=address,undefined  CC=clang  WERROR=1    each has its own folder in build/
#   V=1                                                   shows the commands
#   WOLFSSL_TARBALL=/path                                 takes wolfSSL from a file
#   prefix=/usr DESTDIR=/tmp/image                        where make install puts things

VERSION := 0.1.0

ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS     ?= -O2 -g
PKG_CONFIG ?= pkg-config
PYTHON     := /usr/bin/python3
comma      := ,
empty      :=
Q          := $(if $(V),,@)

# The folder: build/ for the plain build, build/clang, build/san, build/debug-san, ...
VARIANT := $(filter-out gcc cc,$(notdir $(CC))) $(if $(DEBUG),debug) $(if $(SAN),san) \
           $(if $(WERROR),werror)
VARIANT := $(subst $(empty) ,-,$(strip $(VARIANT)))
BUILD   := build$(if $(VARIANT),/$(VARIANT))
PAWL    := $(BUILD)/pawl
RESULTS := $(BUILD)/results

WOLFSSL := build/deps/wolfssl-$(shell deps/wolfssl.sh key).stamp
LIBS     = build/deps/lib/libwolfssl.a \
           $(shell $(PKG_CONFIG) --libs libevent_core libevent_extra inih libseccomp 2>/dev/null) -lm -lpthread
LIBS    := $(LIBS)

OUR_CPPFLAGS := -I. -isystem build/deps/include -D_GNU_SOURCE -DPAWL_VERSION='"$(VERSION)"'
OUR_CFLAGS   := -std=c17 -ffile-prefix-map=$(CURDIR)=. \
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
    -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wimplicit-fallthrough \
    -Wconversion $(if $(WERROR),-Werror) \
    -fPIE -fstack-protector-strong -fstack-clash-protection \
    $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
OUR_LDFLAGS  := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed

ifdef SAN
OUR_CPPFLAGS += -DPAWL_SANITIZED=1
OUR_CFLAGS  += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
OUR_LDFLAGS += -fsanitize=$(SAN)
TEST_ENV    += PAWL_SAN=$(SAN) UBSAN_OPTIONS=print_stacktrace=1:exitcode=99 \
    ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:exitcode=99
endif
ifdef DEBUG
override CFLAGS += -O0 -g3
endif
ifeq ($(SAN)$(DEBUG),)
OUR_CPPFLAGS += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif

SOURCES := $(sort $(wildcard proxy/*.c config/*.c certs/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/obj/%.o)
UNITS   := $(patsubst tests/unit/test_%.c,%,$(sort $(wildcard tests/unit/test_*.c)))
TESTS   := $(UNITS:%=$(BUILD)/tests/test_%)
TOOLS   := $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,$(wildcard tests/tools/*.c))
BENCH_CLIENT := $(BUILD)/tests/bench/load_client
LINK     = $(CC) $(OUR_CFLAGS) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS)

all: $(PAWL) ## build pawl (the default)
	@:

$(PAWL): $(OBJECTS)
	@echo "  LINK  $@"
	$(Q)$(LINK) -o $@ $^ $(LIBS)

$(BUILD)/obj/%.o: %.c Makefile $(WOLFSSL)
	@echo "  CC    $@"
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The page is part of that object.
$(BUILD)/obj/proxy/admin_page.o: proxy/admin_page.html

$(WOLFSSL):
	$(Q)deps/wolfssl.sh

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

deps: ## install the Debian packages that building needs
	@deps/install.sh build

demo: deps ## build everything and run pawl demo
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@exec $(PAWL) demo

# --- Tests. tests/unit/modules.mk says which modules each unit test links: name := module...
-include tests/unit/modules.mk
LOG_PARTS := proxy/log_escape proxy/log_flood proxy/log_sink
linked     = $($(1)) $(if $(filter proxy/log,$($(1))),$(LOG_PARTS))

define unit_rule
ifeq ($(origin $(1)),file)
$(BUILD)/tests/test_$(1): $(BUILD)/obj/tests/unit/test_$(1).o $(patsubst %,$(BUILD)/obj/%.o,$(call linked,$(1))) \
        tests/unit/modules.mk
	@echo "  LINK  $$@"
	@mkdir -p $$(@D)
	$(Q)$$(LINK) -o $$@ $$(filter %.o,$$^) -lcmocka $$(LIBS)
else
.PHONY: $(BUILD)/tests/test_$(1)
$(BUILD)/tests/test_$(1):
	@echo 'tests/unit/modules.mk: no line "$(1) := module..." for test_$(1).c' >&2; exit 1
endif
endef
$(foreach unit,$(UNITS),$(eval $(call unit_rule,$(unit))))

# Programs for the end-to-end tests link nothing of ours.  One listens in on the library.
$(BUILD)/tests/tools/secrets_client: OUR_LDFLAGS += -Wl,--wrap=wc_PRF_TLS \
    -Wl,--wrap=wc_Tls13_HKDF_Extract_ex,--wrap=wc_Tls13_HKDF_Expand_Label_ex \
    -Wl,--wrap=wc_curve25519_shared_secret_ex,--wrap=wc_ecc_shared_secret \
    -Wl,--wrap=wc_MlKemKey_EncodePublicKey
$(TOOLS): $(BUILD)/tests/tools/%: $(BUILD)/obj/tests/tools/%.o
	@echo "  LINK  $@"
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $< $(LIBS)

# The product's own objects, but for one call: see tests/probe/probe.c.
PROBE := $(BUILD)/tests/tools/pawl-probe
$(PROBE): $(OBJECTS) $(BUILD)/obj/tests/probe/probe.o
	@echo "  LINK  $@"
	@mkdir -p $(@D)
	$(Q)$(LINK) -Wl,--wrap=sandbox_enter -o $@ $^ $(LIBS)

$(BENCH_CLIENT): $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/bench/*.c))
	@echo "  LINK  $@"
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

check: ## install what testing needs, then run all tests
	@deps/install.sh build test
	@$(MAKE) --no-print-directory check-all

check-san: ## the same tests under the sanitizers
	@deps/install.sh build test
	@$(MAKE) --no-print-directory check-all SAN=address,undefined

# A suite that leaves no count could not be built or run: that is one failure.
check-all:
	@mkdir -p $(RESULTS); rm -f $(RESULTS)/*.count; \
	for suite in unit e2e; do \
	    $(MAKE) --no-print-directory -j$$(nproc) $$suite; \
	    [ -f $(RESULTS)/$$suite.count ] || echo 0 1 > $(RESULTS)/$$suite.count; \
	done; \
	awk '{ p += $$1; f += $$2 } END { print p " passed, " f " failed"; exit f > 0 }' \
	    $(RESULTS)/*.count

# A test program that fails without a failed test in its output crashed or hung.
unit: $(TESTS) ## run the unit tests
	@mkdir -p $(RESULTS); rm -f $(RESULTS)/*.tap $(RESULTS)/unit.count; bad=0; \
	for unit in $(UNITS); do \
	    tap=$(RESULTS)/$$unit.tap; echo "# test_$$unit"; \
	    env $(TEST_ENV) CMOCKA_MESSAGE_OUTPUT=TAP timeout 120 \
	        $(BUILD)/tests/test_$$unit > $$tap; status=$$?; cat $$tap; \
	    if [ $$status -ne 0 ] && ! grep '^not ok' $$tap | grep -qv '# SKIP'; then \
	        echo "not ok - test_$$unit ended with status $$status" | tee -a $$tap; \
	    fi; \
	done; \
	cat /dev/null $(RESULTS)/*.tap | awk '/# SKIP/ { next } /^ok/ { p++ } /^not ok/ { f++ } \
	    END { print p + 0, f + 0 > "$(RESULTS)/unit.count"; \
	          print "unit: " p + 0 " passed, " f + 0 " failed"; exit f > 0 }'

e2e: $(PAWL) $(TOOLS) $(PROBE) ## run the end-to-end tests (E2E=expression selects, PYTEST_ARGS=)
	@mkdir -p $(RESULTS); rm -f $(RESULTS)/e2e.*; \
	env $(TEST_ENV) PAWL=$(CURDIR)/$(PAWL) PAWL_TOOLS=$(CURDIR)/$(BUILD)/tests/tools \
	    PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -p no:cacheprovider -q tests/e2e \
	    --junitxml=$(RESULTS)/e2e.xml $(if $(E2E),-k '$(E2E)') $(PYTEST_ARGS); status=$$?; \
	[ -f $(RESULTS)/e2e.xml ] || exit $$status; \
	attribute() { sed -nE "s/.*<testsuite [^>]*$$1=\"([0-9]+)\".*/\1/p" $(RESULTS)/e2e.xml; }; \
	failed=$$(( $$(attribute errors) + $$(attribute failures) )); \
	passed=$$(( $$(attribute tests) - failed - $$(attribute skipped) )); \
	[ $$status -eq 0 ] || [ $$failed -gt 0 ] || failed=1; \
	echo $$passed $$failed > $(RESULTS)/e2e.count; \
	echo "e2e: $$passed passed, $$failed failed"; [ $$failed -eq 0 ]

soak: ## run the scripted day for ten minutes (SOAK_SECONDS=, SOAK_SEED=)
	@deps/install.sh build test
	@SOAK_SECONDS=$(or $(SOAK_SECONDS),600) $(MAKE) --no-print-directory e2e E2E=test_day \
	    PYTEST_ARGS='-s $(PYTEST_ARGS)'

tests-build: $(PAWL) $(TESTS) $(TOOLS) $(PROBE) $(BENCH_CLIENT)

bench: ## measure Pawl and its peers (BENCH="full small pawl hitch" selects, ROUNDS=, SECONDS=)
	@deps/install.sh build peers bench
	@$(MAKE) --no-print-directory -j$$(nproc) $(PAWL) $(BENCH_CLIENT)
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/bench/bench.py --pawl $(PAWL) \
	    --client $(BENCH_CLIENT) --out $(BUILD)/bench --rounds $(or $(ROUNDS),3) \
	    --seconds $(or $(SECONDS),5) --only "$(BENCH)"

lint: ## formatting, static analysis, gcc and clang with -Werror, house rules
	@deps/install.sh build lint
	@MAKE='$(MAKE)' tests/lint/lint.sh

format: ## format the C files in place
	clang-format -i $(wildcard proxy/*.[ch] config/*.[ch] certs/*.[ch] tests/*/*.[ch])

docs: $(PAWL) ## write the README's table of keys and proxy.ini.example from the table in code
	@tests/lint/docs.sh $(PAWL) write

repro: $(WOLFSSL) ## build twice in different directories and compare the binaries
	@tests/lint/repro.sh

# --- Installing.  mode:file:place
prefix     ?= /usr/local
bindir     ?= $(prefix)/bin
mandir     ?= $(prefix)/share/man
sysconfdir ?= /etc
unitdir    ?= $(prefix)/lib/systemd/system
INSTALLED = 755:$(PAWL):$(bindir)/pawl \
    644:packaging/pawl.1:$(mandir)/man1/pawl.1 \
    644:packaging/proxy.ini.5:$(mandir)/man5/proxy.ini.5 \
    644:$(BUILD)/pawl.service:$(unitdir)/pawl.service \
    644:packaging/completion/pawl.bash:$(prefix)/share/bash-completion/completions/pawl \
    644:packaging/completion/_pawl:$(prefix)/share/zsh/site-functions/_pawl \
    644:packaging/completion/pawl.fish:$(prefix)/share/fish/vendor_completions.d/pawl.fish \
    644:README.md:$(prefix)/share/doc/pawl/README.md \
    644:LICENSE:$(prefix)/share/doc/pawl/LICENSE \
    644:proxy.ini.example:$(sysconfdir)/pawl/proxy.ini.example

install: $(PAWL) $(BUILD)/pawl.service ## install below prefix (/usr/local) and sysconfdir (/etc)
	$(Q)printf '%s\n' $(INSTALLED) | while IFS=: read -r mode file place; do \
	    install -D -m $$mode $$file "$(DESTDIR)$$place" || exit 1; done

uninstall: ## remove what make install has put there; the configuration stays
	$(Q)printf '%s\n' $(INSTALLED) | while IFS=: read -r mode file place; do \
	    rm -f "$(DESTDIR)$$place" || exit 1; done

$(BUILD)/pawl.service: packaging/pawl.service
	@mkdir -p $(@D)
	$(Q)sed 's#/usr/local/bin/#$(bindir)/#g; s#/etc/pawl/#$(sysconfdir)/pawl/#g' $< > $@

clean: ## remove what was built, keep wolfSSL
	rm -rf $(filter-out build/deps,$(wildcard build/*))

distclean: ## remove all of build/
	rm -rf build

.PHONY: all help deps demo check check-san check-all unit e2e soak tests-build lint format docs \
        bench repro install uninstall clean distclean \
        $(BUILD)/pawl.service
.DELETE_ON_ERROR:
.PRECIOUS: $(BUILD)/obj/%.o
-include $(wildcard $(BUILD)/obj/*/*.d $(BUILD)/obj/tests/*/*.d)
