#!/usr/bin/env bash
# The Debian package: what is in it, that its pages and scripts are well, and what becomes of a
# system on which it is installed, upgraded, removed and purged: one that is thrown away.
# Usage: check.sh FILE
set -euo pipefail
package=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "package: $1" >&2; exit 1; }

dpkg-deb --extract "$package" "$work/files"
dpkg-deb --control "$package" "$work/control"
dpkg-deb --contents "$package" >"$work/list"
for file in usr/bin/martlet lib/systemd/system/martlet.service \
	lib/systemd/system/martlet-decapsulate@.service usr/lib/sysusers.d/martlet.conf \
	usr/lib/tmpfiles.d/martlet.conf etc/logrotate.d/martlet etc/default/martlet \
	usr/share/martlet/backend/l2-dsr usr/share/martlet/backend/tunnel \
	usr/share/man/man1/martlet.1.gz usr/share/man/man1/martlet-run.1.gz \
	usr/share/man/man5/martlet.yaml.5.gz usr/share/bash-completion/completions/martlet \
	usr/share/zsh/vendor-completions/_martlet usr/share/fish/vendor_completions.d/martlet.fish \
	usr/share/doc/martlet/api.md.gz usr/share/doc/martlet/decisions/0007-generations.md.gz \
	usr/share/doc/martlet/copyright usr/share/doc/martlet/changelog.gz \
	usr/share/doc/martlet/examples/martlet.yaml; do
	[ -s "$work/files/$file" ] || fail "there is no $file"
done
if grep -v ' root/root ' "$work/list"; then fail "the above belongs to others than root"; fi
if grep -E '^-.{7}w|^d.{7}w|^.{3}s' "$work/list"; then fail "others may write the above"; fi
for file in $(cat "$work/control/conffiles"); do
	[ -f "$work/files$file" ] || fail "conffile $file is not in it"
done
(cd "$work/files" && md5sum --quiet -c "$work/control/md5sums")

# A page for each command, and none with a fault.
commands=$("$work/files/usr/bin/martlet" --experimental-dump-help |
	sed -n 's/^        "commandName" : "\(.*\)",*$/\1/p')
[ "$(echo "$commands" | wc -l)" -gt 5 ] || fail "which commands there are was not found out"
for command in $commands; do
	[ "$command" = help ] || [ -s "$work/files/usr/share/man/man1/martlet-$command.1.gz" ] ||
		fail "there is no page of martlet $command"
done
if command -v groff >/dev/null; then
	for page in "$work"/files/usr/share/man/man*/*.gz; do
		warnings=$(gzip -dc "$page" | groff -ww -K utf8 -t -man -Tutf8 -z 2>&1)
		[ -z "$warnings" ] || fail "$(basename "$page"): $warnings"
	done
else
	echo "package: there is no groff to check the pages with"
fi
for script in "$work"/control/p* "$work"/files/usr/share/martlet/backend/*; do
	sh -n "$script" || fail "$script is no script"
done
bash -n "$work/files/usr/share/bash-completion/completions/martlet"
for example in "$work"/files/usr/share/doc/martlet/examples/*.yaml; do
	"$work/files/usr/bin/martlet" check "$example" >/dev/null || fail "$example is refused"
done
echo "package: complete, its pages and scripts are well"

if [ "$(id -u)" != 0 ]; then
	echo "package: not root: it was not installed anywhere"
	exit
fi
cat >"$work/inside" <<'EOF'
set -eu
fail() { echo "package: $1" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
log() { "$@" >/tmp/log 2>&1 || { cat /tmp/log >&2; fail "$* failed"; }; }
# What else the system lacks is not ours.
log dpkg --force-depends --install /package.deb
[ "$(stat -c '%U:%G %a' /etc/martlet)" = 'root:martlet 750' ] || fail "/etc/martlet is open"
getent passwd martlet | grep -q nologin || fail "there is no such user, or he may log in"
[ ! -e /etc/martlet/martlet.yaml ] || fail "it configured something"
martlet --version >/dev/null
# An upgrade, with a controller's tables in the kernel: they stay, and so do settings.
mount -t bpf bpf /sys/fs/bpf
mkdir /sys/fs/bpf/martlet /sys/fs/bpf/martlet-decapsulate
links=/etc/systemd/system/multi-user.target.wants
mkdir -p $links
ln -s /lib/systemd/system/martlet.service $links/martlet.service
ln -s /lib/systemd/system/martlet-decapsulate@.service $links/martlet-decapsulate@eth0.service
echo 'services: []' >/etc/martlet/martlet.yaml
echo MARTLET_OPTIONS=--changed >/etc/default/martlet
log dpkg --force-depends --force-confdef --install /package.deb
[ -d /sys/fs/bpf/martlet ] || fail "an upgrade detached"
[ -d /sys/fs/bpf/martlet-decapsulate ] || fail "an upgrade ended the decapsulation"
[ -L $links/martlet.service ] || fail "an upgrade disabled the unit"
grep -q changed /etc/default/martlet || fail "an upgrade took the settings"
log dpkg --remove martlet
[ ! -e /sys/fs/bpf/martlet ] || fail "it was removed, and its tables were not"
[ ! -e /sys/fs/bpf/martlet-decapsulate ] || fail "it was removed, and still decapsulates"
[ -e /etc/martlet/martlet.yaml ] || fail "removing it took the configuration"
log dpkg --purge martlet
[ ! -e /etc/default/martlet ] || fail "purging left settings"
for link in $links/martlet*; do [ ! -L "$link" ] || fail "purging left $link"; done
[ -e /etc/martlet/martlet.yaml ] || fail "purging took a file that was not its own"
EOF
export work package
unshare --mount --net --propagation private bash -euc '
	mkdir "$work/layer" "$work/root"
	mount -t tmpfs tmpfs "$work/layer"
	mkdir "$work/layer/upper" "$work/layer/work"
	mount -t overlay overlay \
		-o "lowerdir=/,upperdir=$work/layer/upper,workdir=$work/layer/work" "$work/root"
	mount -t proc proc "$work/root/proc"
	mount -t sysfs sysfs "$work/root/sys"
	mount -t tmpfs tmpfs "$work/root/run"
	mount -t tmpfs tmpfs "$work/root/tmp"
	mount --bind /dev "$work/root/dev"
	cp "$package" "$work/root/package.deb"
	cp "$work/inside" "$work/root/inside"
	chroot "$work/root" sh /inside'
echo "package: installs, upgrades without detaching, is removed and purged"
