# The commands of the README. Everything else is `swift build` and `swift test`.

PACKAGES := bpftool clang-format curl ethtool iproute2 libbpf-dev libelf-dev linux-libc-dev pkg-config \
	util-linux zlib1g-dev

.PHONY: build test packages

build:
	swift build

# Loading BPF programs needs root; without it those tests are skipped, and this says so.
test: packages
	@[ "$$(id -u)" = 0 ] || echo "not root: the tests that load BPF programs are skipped"
	swift test

# Installs the Debian packages that are missing, and says which before it does.
packages:
	@missing=$$(for package in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || \
			printf '%s ' $$package; done); \
	if [ -n "$$missing" ]; then \
		echo "installing Debian packages: $$missing"; \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $$missing; \
	fi
