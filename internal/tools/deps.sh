#!/bin/sh
# Installs the programs that the tests run against, from the distribution's packages (Debian, Ubuntu). It does nothing,
# silently and fast, when they are all there. Root, or sudo, is needed only to install.
#
# Packages that bring a service start it on installation; the tests start their own servers, so what this script installs
# is kept from starting and disabled. Services that were there before are left alone.
set -eu

# program:package:service (service may be empty). Some are no programs but modules of one, or a font: see have. The race
# detector needs a C compiler, Motan's Java peers a JDK and Maven, which brings their libraries when a test first needs them.
wanted='
redis-server:redis-server:redis-server
redis-sentinel:redis-sentinel:redis-sentinel
redis-cli:redis-tools:
nutcracker:nutcracker:nutcracker
haproxy:haproxy:haproxy
nginx:nginx-light:nginx
carbon-cache:graphite-carbon:carbon-cache
graphite-manage:graphite-web:
mariadbd:mariadb-server:mariadb
mariadb:mariadb-client:
sysbench:sysbench:
php:php-cli:
php-mysqli:php-mysql:
python3-pymysql:python3-pymysql:
curl:curl:
etcd:etcd-server:etcd
etcdctl:etcd-client:
gcc:gcc:
chromium:chromium:
font-zh:fonts-wqy-microhei:
node:nodejs:
npm:npm:
javac:default-jdk-headless:
mvn:maven:
zookeeper.jar:libzookeeper-java:
consul:consul:consul
h2load:nghttp2-client:
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
	*.jar) [ -e "/usr/share/java/$1" ] ;;
	font-zh) # without one the browser draws boxes for Chinese, and nobody sees how its pages look
		[ -n "$(fc-list :lang=zh-cn 2>/dev/null)" ] ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

packages='' services='' programs='' bullseye=''
for w in $wanted; do
	program=${w%%:*}
	rest=${w#*:}
	have "$program" && continue
	programs="$programs $program"
	services="$services ${rest#*:}"
	case $program in
	consul) bullseye=consul && continue ;; # see below
	esac
	packages="$packages ${rest%%:*}"
	case $program in
	gcc) packages="$packages libc6-dev" ;;
	font-zh) packages="$packages fontconfig" ;; # has fc-list
	esac
done
[ -n "$packages$bullseye" ] || exit 0

command -v apt-get >/dev/null 2>&1 ||
	die "missing:$programs. apt-get is not available here: install these programs by hand and put them in PATH."

root=''
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || die "missing:$programs. Run as root, or install sudo: apt-get install$packages $bullseye"
	root=sudo
fi

# While this file says 101, Debian's packages do not start their services.
policy=/usr/sbin/policy-rc.d
ours=no
log=$(mktemp)
aside='' # a folder of ours
restore() {
	rm -f "$log"
	[ -z "$aside" ] || $root rm -rf "$aside"
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

update() {
	apt update || fail "apt-get update failed: see above; check the network and /etc/apt/sources.list"
}

# Debian 12 and 13 have no Consul, Debian 11 (bullseye) has. Where the machine's own sources lack it, the package alone is taken
# from there, by lists of its own that are signed by Debian as all are, and then installed as a file: whatever it needs comes
# from the machine's own sources, and these and their lists stay as they are.
offered() { [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]; }
if [ -n "$bullseye" ]; then
	offered "$bullseye" || update
	if offered "$bullseye"; then
		packages="$packages $bullseye"
		bullseye=''
	fi
fi

# from downloads the package from a mirror of Debian.
from() {
	echo "deb [signed-by=$keyring] $1 bullseye main" >"$aside/sources"
	set -- -o "Dir::Etc::sourcelist=$aside/sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$aside/lists" \
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any
	apt "$@" update && (cd "$aside" && apt "$@" download "$bullseye")
}

if [ -n "$bullseye" ]; then
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -e "$keyring" ] || die "there is no package $bullseye here, and without $keyring (package debian-archive-keyring) it" \
		"cannot be taken from Debian 11: install $bullseye by hand and put it in PATH."
	aside=$(mktemp -d)
	mkdir -p "$aside/lists/partial"
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' \
		'Component: main' 2>/dev/null | head -n 1)
	say "taking $bullseye from Debian 11"
	from "${mirror:-http://deb.debian.org/debian}" || from http://archive.debian.org/debian ||
		fail "$bullseye cannot be had from Debian 11 (bullseye): see above; install it by hand and put it in PATH"
	packages="$packages $(echo "$aside/$bullseye"_*.deb)"
fi

say "installing$packages"
# shellcheck disable=SC2086 # the lists are words
if ! apt install -y --no-install-recommends $packages; then
	say "trying again with fresh package lists"
	update
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
