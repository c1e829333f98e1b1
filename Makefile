# The commands of the README. Everything else is `swift build` and `swift test`.

PACKAGES := bpftool clang-format curl ethtool iproute2 iputils-ping libbpf-dev libelf-dev \
	linux-libc-dev pkg-config tcpdump util-linux zlib1g-dev

.PHONY: bench build chaos demo fuzz packages root static test

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
	@strip -o .build-static/dist/martlet \
		$$(swift build -c release --scratch-path .build-static --show-bin-path)/martlet
	@ls -l .build-static/dist/martlet

# Loading BPF programs needs root; without it those tests are skipped, and this says so: first, and
# again where it can't be missed.
#
# In two parts: tests that reckon for minutes would keep the threads from those that wait for answers.
RECKONING := (BalancingTests|ConsistencyTests|ControlTests|ModelTests|XDPPlaneTests)[.]

test: packages
	@$(say-if-not-root)
	swift test --filter '$(RECKONING)'
	swift test --skip '$(RECKONING)'
	@$(say-if-not-root)

say-if-not-root = [ "$$(id -u)" = 0 ] || \
	echo "not root: tests of networks and BPF programs are skipped; run make test as root"

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
