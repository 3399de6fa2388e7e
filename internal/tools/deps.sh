#!/bin/sh
# Installs the programs that the tests run against, from the distribution's packages (Debian, Ubuntu). It does nothing,
# silently and fast, when they are all there. Root, or sudo, is needed only to install.
#
# Packages that bring a service start it on installation; the tests start their own servers, so what this script installs
# is kept from starting and disabled. Services that were there before are left alone.
set -eu

# program:package:service (service may be empty). Two are no programs but modules of one: see have. The race detector
# needs a C compiler.
wanted='
redis-server:redis-server:redis-server
redis-sentinel:redis-sentinel:redis-sentinel
redis-cli:redis-tools:
nutcracker:nutcracker:nutcracker
haproxy:haproxy:haproxy
carbon-cache:graphite-carbon:carbon-cache
mariadbd:mariadb-server:mariadb
mariadb:mariadb-client:
sysbench:sysbench:
php:php-cli:
php-mysqli:php-mysql:
python3-pymysql:python3-pymysql:
etcd:etcd-server:etcd
etcdctl:etcd-client:
gcc:gcc:
chromium:chromium:
node:nodejs:
npm:npm:
'

PATH=$PATH:/usr/sbin:/sbin

say() { echo "deps: $*"; }
die() {
	echo "deps: $*" >&2
	exit 1
}

# have reports whether a program, or a module of one, is there.
have() {
	case $1 in
	php-mysqli) php -r 'exit(extension_loaded("mysqli") ? 0 : 1);' >/dev/null 2>&1 ;;
	python3-pymysql) # the package is for the distribution's Python, which may not be the first in PATH
		python3 -c 'import pymysql' >/dev/null 2>&1 || /usr/bin/python3 -c 'import pymysql' >/dev/null 2>&1 ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

packages='' services='' programs=''
for w in $wanted; do
	program=${w%%:*}
	rest=${w#*:}
	have "$program" && continue
	programs="$programs $program"
	packages="$packages ${rest%%:*}"
	[ "$program" != gcc ] || packages="$packages libc6-dev"
	services="$services ${rest#*:}"
done
[ -n "$packages" ] || exit 0

command -v apt-get >/dev/null 2>&1 ||
	die "missing:$programs. apt-get is not available here: install these programs by hand and put them in PATH."

root=''
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || die "missing:$programs. Run as root, or install sudo: apt-get install$packages"
	root=sudo
fi

# While this file says 101, Debian's packages do not start their services.
policy=/usr/sbin/policy-rc.d
ours=no
log=$(mktemp)
restore() {
	rm -f "$log"
	[ "$ours" = no ] || $root rm -f "$policy"
}
trap restore EXIT
trap 'exit 130' INT TERM
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
	ours=yes
	$root chmod 755 "$policy"
fi

apt() {
	$root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" >"$log" 2>&1
}
fail() {
	tail -n 20 "$log" >&2
	die "$*"
}

say "installing$packages"
# shellcheck disable=SC2086 # the lists are words
if ! apt install -y --no-install-recommends $packages; then
	say "trying again with fresh package lists"
	apt update || fail "apt-get update failed: see above; check the network and /etc/apt/sources.list"
	# shellcheck disable=SC2086
	apt install -y --no-install-recommends $packages || fail "apt-get install$packages failed: see above"
fi

for s in $services; do
	if [ -d /run/systemd/system ]; then
		$root systemctl disable --quiet --now "$s" 2>/dev/null || true # not every package has a unit of this name
	elif [ -x "/etc/init.d/$s" ]; then
		$root "/etc/init.d/$s" stop >/dev/null 2>&1 || true # it was not started
	fi
done

for p in $programs; do
	have "$p" || die "$p is still missing after installing$packages"
done
say "installed$packages; their services are stopped and disabled"
