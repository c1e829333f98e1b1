#!/usr/bin/env bash
# The static file, optimised as users get it, in a network namespace of its own: loads, attaches,
# answers, leaves everything forwarding when it stops, and detaches. Usage: smoke.sh FILE
set -euo pipefail
martlet=$(realpath "$1")
cd "$(dirname "$0")/../.."
if [ "${2:-}" != inside ]; then
	exec unshare --net --mount --propagation private -- bash "$0" "$martlet" inside
fi
fail() { echo "static file: $1" >&2; exit 1; }

mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmpfs /run
ip link set lo up
ip link add eth1 type veth peer name eth0
ip address add 192.168.1.1/24 dev eth1
ip link set eth1 up
ip link set eth0 up

if ldd "$martlet" >/dev/null 2>&1; then fail "needs shared libraries"; fi
"$martlet" check deploy/examples/martlet.yaml
"$martlet" run --config deploy/examples/martlet.yaml 2>/run/log &
controller=$!
for _ in $(seq 100); do
	"$martlet" status >/run/status 2>/dev/null && break
	kill -0 "$controller" 2>/dev/null || { cat /run/log >&2; fail "the controller ended"; }
	sleep 0.1
done
grep -q 'eth1: program [0-9]*, native' /run/status || fail "status does not show the program"
"$martlet" counters --json | grep -q '"DROP_NO_BACKEND"' || fail "counters show no verdicts"
kill -TERM "$controller"
wait "$controller" || fail "it did not stop well"
ip -d link show eth1 | grep -q 'prog/xdp' || fail "it took the program with it"
[ "$("$martlet" detach)" = detached ] || fail "it did not detach"
if ip -d link show eth1 | grep -q 'prog/xdp'; then fail "the program is still there"; fi
echo "static file: loads, attaches, answers, stops and detaches"
