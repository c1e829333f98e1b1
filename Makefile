# The commands of the README. Everything else is `swift build` and `swift test`.

PACKAGES := bpftool clang-format curl ethtool iproute2 iputils-ping libbpf-dev libelf-dev \
	linux-libc-dev openssl pkg-config python3-venv tcpdump util-linux zlib1g-dev

.PHONY: bench build chaos deb demo fuzz man packages restarts root schemathesis static test

build: packages
	swift build

# A client, a balancer and three servers in namespaces, and what happens when one dies.
demo: root packages
	swift build --product martlet
	swift build --product martlet-lab
	@$$(swift build --show-bin-path)/martlet-lab demo

# Random packets through the XDP program and through the reference model, until they differ or
# Ctrl-C. SEED=n repeats a run.
fuzz: packages
	swift build -c release --scratch-path .build-fuzz --product martlet-fuzz
	@$$(swift build -c release --scratch-path .build-fuzz --show-bin-path)/martlet-fuzz \
		$(if $(SEED),--seed $(SEED))

# Connections that are held open while backends change, in every forwarding mode: none may break.
# SEED=n repeats a run, RUNS=20 takes the seeds from there on, CONNECTIONS=5000 STEPS=12 make it hard.
chaos: root packages
	MARTLET_CHAOS_SEED=$(SEED) MARTLET_CHAOS_RUNS=$(or $(RUNS),1) \
		MARTLET_CHAOS_CONNECTIONS=$(or $(CONNECTIONS),2000) MARTLET_CHAOS_STEPS=$(or $(STEPS),10) \
		swift test --filter ChaosTests

# A million packets and 300 connections while controllers are restarted, killed, upgraded and
# downgraded, in two forwarding modes: none may be lost or cut.
restarts: root packages
	MARTLET_RESTARTS=$(or $(RESTARTS),100) MARTLET_KILLS=$(or $(KILLS),20) \
		MARTLET_UPGRADES=$(or $(UPGRADES),3) MARTLET_PACKETS=$(or $(PACKETS),1000000) \
		swift test --filter RestartTests

# Nanoseconds for each packet, as multiples of a program that swaps two MAC addresses, and frames
# through a veth. JSON=FILE writes all of it there, too.
bench: root packages
	swift build -c release --scratch-path .build-bench --product martlet-bench
	@$$(swift build -c release --scratch-path .build-bench --show-bin-path)/martlet-bench \
		$(if $(JSON),--json $(JSON))

# One file that needs nothing of the machine it runs on but the kernel.
static: packages
	swift build -c release -Xswiftc -static-executable --scratch-path .build-static \
		--product martlet
	@mkdir -p .build-static/dist
	@strip --remove-section=.comment -o .build-static/dist/martlet \
		$$(swift build -c release --scratch-path .build-static --show-bin-path)/martlet
	@ls -l .build-static/dist/martlet

# The pages of the manual, in .build-static/manual: `man -l .build-static/manual/martlet.1`
man: static
	swift build -c release -Xswiftc -static-executable --scratch-path .build-static \
		--product martlet-manual
	@rm -rf .build-static/manual
	@.build-static/dist/martlet --experimental-dump-help >.build-static/commands.json
	@$$(swift build -c release --scratch-path .build-static --show-bin-path)/martlet-manual \
		--dump .build-static/commands.json --configuration docs/configuration.md \
		--version "$$(.build-static/dist/martlet --version)" \
		--date "$$(git log -1 --format=%cs 2>/dev/null || date +%F)" .build-static/manual

# A Debian package in .build-static/deb. MAINTAINER="Name <address>" names who answers for it;
# LINTIAN=no leaves out Debian's own checks, and the package that makes them.
deb: man
	@rm -rf .build-static/deb
	deploy/debian/build .build-static/dist/martlet .build-static/manual .build-static/deb
ifneq ($(LINTIAN),no)
	@command -v lintian >/dev/null || \
		{ apt-get update -q && DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -q --no-install-recommends lintian; }
	lintian --allow-root --fail-on error,warning --pedantic .build-static/deb/*.deb
endif

# Loading BPF programs needs root; without it those tests are skipped, and this says so: first, and
# again where it can't be missed.
#
# In two parts: tests that reckon for minutes would keep the threads from those that wait for answers.
RECKONING := (BalancingTests|ConsistencyTests|ControlTests|ExplainTests|ModelTests|XDPPlaneTests)[.]

test: packages schemathesis
	@$(say-if-not-root)
	swift test --filter '$(RECKONING)'
	swift test --skip '$(RECKONING)'
	@$(say-if-not-root)

say-if-not-root = [ "$$(id -u)" = 0 ] || \
	echo "not root: tests of networks and BPF programs are skipped; run make test as root"

# Holds the API against its description; from PyPI, in a place of its own, the versions fixed.
SCHEMATHESIS := Tests/schemathesis/requirements.txt

schemathesis: packages
	@if ! cmp -s $(SCHEMATHESIS) .build-schemathesis/requirements.txt; then \
		echo "installing schemathesis into .build-schemathesis"; \
		rm -rf .build-schemathesis && /usr/bin/python3 -m venv .build-schemathesis && \
		.build-schemathesis/bin/pip install -q --disable-pip-version-check --no-input \
			-r $(SCHEMATHESIS) && \
		cp $(SCHEMATHESIS) .build-schemathesis/; \
	fi

# Before minutes of building, not after.
root:
	@[ "$$(id -u)" = 0 ] || { echo "cannot make network namespaces: run as root" >&2; exit 1; }

# Installs the Debian packages that are missing, and says which before it does.
packages:
	@missing=$$(for package in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || \
			printf '%s ' $$package; done); \
	if [ -n "$$missing" ]; then \
		[ "$$(id -u)" = 0 ] || \
			{ echo "missing Debian packages: $$missing: install them as root" >&2; exit 1; }; \
		echo "installing Debian packages: $$missing"; \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $$missing; \
	fi
	@$(fetch-promtool)

# Of Debian's prometheus only the tool that checks metrics: installing it would start a daemon. Without
# the tool its test is skipped.
PROMTOOL := .build-tools/promtool
download = apt-get -q -o APT::Sandbox::User=root download prometheus
fetch-promtool = command -v promtool >/dev/null || [ -x $(PROMTOOL) ] || ( \
	mkdir -p .build-tools/package && cd .build-tools/package && rm -rf * && \
	echo "fetching promtool from the Debian package prometheus" && \
	{ $(download) || { apt-get -q update && $(download); }; } >/dev/null && dpkg-deb --extract *.deb . && mv usr/bin/promtool .. && rm -rf * ) || \
	echo "cannot fetch promtool: metrics are not checked with it" >&2
