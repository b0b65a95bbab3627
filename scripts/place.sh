# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# The place where QuicEther is built and tested. Sourced by ./dev.
#
#   host      this machine, if it has all dependencies or, being Debian 13, can get them from apt
#   trixie-*  a Debian 13 root in the cache folder, made by debootstrap, entered in namespaces of its own

# What is needed to build, to test, and to draw the hosts of the demo and of the network tests.
packages=(
	gcc g++ libc6-dev meson ninja-build pkg-config
	libssl-dev libipsec-mb-dev libngtcp2-dev libngtcp2-crypto-ossl-dev libtomlplusplus-dev libcbor-dev
	libjansson-dev libnl-3-dev libnl-route-3-dev libldns-dev liblwip-dev libcap-ng-dev libsystemd-dev libcmocka-dev
	clang-19 clang-format-19 libclang-rt-19-dev llvm-19
	python3 iproute2 iperf3 tcpdump nftables iptables iputils-ping conntrack ethtool procps curl openssl
	unbound dnsmasq-base udhcpc chromium-headless-shell dbus-daemon dbus-system-bus-common
)
# The same, as a host that is not asked for its packages must have it.
libraries=(
	'openssl >= 3.5' 'libngtcp2 >= 1.12' 'libngtcp2_crypto_ossl >= 1.12' 'libcbor >= 0.10' 'jansson >= 2.14'
	'libnl-route-3.0 >= 3.7' 'ldns >= 1.8' 'lwip >= 2.2' 'libcap-ng >= 0.8' 'libsystemd >= 246' 'tomlplusplus >= 3.3' 'cmocka >= 1.1'
)
build_programs='meson ninja python3'
demo_programs='ip iperf3 tcpdump nft ping conntrack curl'
test_programs="$demo_programs clang-19 clang-format-19 unbound dnsmasq udhcpc chromium-headless-shell"
bench_programs='ip iperf3 ping ethtool openssl nft'

# What a host may have in charge of its names, for tests: not to be installed, as each would take over those of this one.
resolvers=(systemd-resolved libsystemd-shared openresolv)

# What ./dev bench compares with, Debian's packages of other tunnels; and what draws the chart.
others=(wireguard-go wireguard-tools openvpn fastd nebula tinc yggdrasil gnuplot-nox)

home=${HOME-}
[ -z "${SUDO_USER-}" ] && [ -n "$home" ] || home=$(getent passwd "$(id -u)" | cut -d: -f6)
cache=${XDG_CACHE_HOME:-$home/.cache}/quicether
checkout=$PWD
child=
contained=
half_made=

# -- what is said ------------------------------------------------------------------------------------------------------

say() {
	printf '%s\n' "-- $*" >&2
}

die() {
	printf 'dev: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf '     %s\n' "${@:2}" >&2
	exit 1
}

wrong_usage() {
	printf 'dev: %s; ./dev lists the commands\n' "$1" >&2
	exit 2
}

need_root() {
	[ "$(id -u)" -eq 0 ] || die "$1 needs root" "Run it with sudo."
}

# -- what is run -------------------------------------------------------------------------------------------------------

# A shell acts on a signal only between its commands, or in wait: so commands run behind it, and are told.
run() {
	local status=0
	"$@" <&0 &
	child=$!
	wait "$child" || status=$?
	while kill -0 "$child" 2>/dev/null; do
		wait "$child" && status=0 || status=$?
	done
	child=
	return $status
}

interrupted() {
	trap '' INT TERM HUP
	if [ -n "$child" ]; then
		kill -TERM "$(first_inside "$child")" 2>/dev/null || :
		wait "$child" || :
	fi
	printf '\n' >&2
	say 'interrupted; nothing of it is left'
	exit $((128 + $1))
}

# unshare is deaf to SIGTERM: the one to tell is its only child, init.sh.
first_inside() {
	local inside=
	[ -z "$contained" ] || read -r inside <"/proc/$1/task/$1/children" || :
	echo "${inside:-$1}"
}

trap 'interrupted 2' INT
trap 'interrupted 15' TERM
trap 'interrupted 1' HUP
trap '[ -z "$half_made" ] || rm -rf "$half_made"' EXIT

namespaces=(unshare --mount --propagation private --pid --fork)

# within ROOT COMMAND...: in namespaces that end with us. setsid, so that a Ctrl-C arrives once, from us.
within() {
	contained=1
	local status=0
	run setsid setpriv --pdeathsig KILL "${namespaces[@]}" --kill-child scripts/init.sh "$1" "$checkout" "${@:2}" || status=$?
	contained=
	return $status
}

# step WHAT HINT COMMAND...: one line; on failure the end of the log, and the hint.
step() {
	local what=$1 hint=$2 log="$cache/log/${1//[^a-zA-Z0-9]/-}" start=$SECONDS
	shift 2
	mkdir -p "$cache/log"
	printf '%s' "-- $what ... " >&2
	if ! "$@" >"$log" 2>&1 </dev/null; then
		printf 'failed\n' >&2
		tail -n 15 "$log" | sed 's/^/   | /' >&2
		die "failed: $what" "The whole log is $log" "$hint"
	fi
	printf '%d s\n' $((SECONDS - start)) >&2
}

# -- this host ---------------------------------------------------------------------------------------------------------

# gcc 14 and clang 19 are the first that know enough of gnu23.
host_has_compiler() {
	"${CC:-cc}" -x c -E - >/dev/null 2>&1 <<-'END'
		#ifdef __clang__
		#define AGE (__clang_major__ - 5)
		#else
		#define AGE __GNUC__
		#endif
		#if AGE < 14
		#error too old
		#endif
	END
}

# Prints what the host lacks to run a command that uses these programs: a line for each, none if it is fit.
host_lacks() {
	local need
	for need in $build_programs $1; do
		command -v "$need" >/dev/null || echo "$need"
	done
	host_has_compiler || echo 'gcc >= 14 or clang >= 19'
	for need in "${libraries[@]}"; do
		pkg-config --exists "$need" 2>/dev/null || echo "$need"
	done
	[ -e /usr/include/intel-ipsec-mb.h ] || [ -e /usr/local/include/intel-ipsec-mb.h ] || echo intel-ipsec-mb
}

host_release() {
	sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" /etc/os-release
}

is_debian_13() {
	[ "$(host_release ID)" = debian ] && [ "$(host_release VERSION_ID)" = 13 ]
}

# Debian 13's ngtcp2 is older than its helper for OpenSSL, which is in trixie-backports. For this one run apt is
# shown the host's own sources and that one; the host's configuration stays as it is.
host_install() {
	local sources=$1
	find /etc/apt/sources.list /etc/apt/sources.list.d -type f \( -name '*.list' -o -name '*.sources' \) \
		-exec cp -t "$sources" {} + 2>/dev/null || :
	echo "deb $(debian_mirror) trixie-backports main" >"$sources/quicether-backports.list"
	if [ -d /run/systemd/system ] && ! command -v unbound >/dev/null; then
		systemctl mask unbound.service # a program for tests, no resolver of this host
	fi
	local apt=(run env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends
		-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$sources")
	"${apt[@]}" update && "${apt[@]}" install "${packages[@]}" \
		libngtcp2-dev/trixie-backports libngtcp2-crypto-ossl-dev/trixie-backports
}

# -- the choice --------------------------------------------------------------------------------------------------------

# Sets place and root for a command that uses these programs.
choose_place() {
	root=/
	if [ -n "${DEV_PLACE-}" ]; then
		place=$DEV_PLACE
		return
	fi
	place=host
	[ -n "$(host_lacks "$1")" ] || return 0
	if is_debian_13; then
		need_root "installing $(host_lacks "$1" | wc -l) missing programs and libraries"
		half_made=$(mktemp -d)
		step 'installing packages with apt' 'Does apt-get update work on this host?' host_install "$half_made"
		rm -rf "$half_made"
		[ -z "$(host_lacks "$1")" ] || die "still missing: $(host_lacks "$1" | paste -sd,)"
	elif command -v apt-get >/dev/null; then
		use_debian_root
	else
		die "this host lacks: $(host_lacks "$1" | paste -sd,)" \
			'Install them (docs/dependencies.md says what and why), or use Debian 12 or 13, where ./dev does it.'
	fi
}

# While there is a git to ask.
name_commit() {
	export DEV_COMMIT=${DEV_COMMIT-$(scripts/commit.sh 2>/dev/null)}
}

# in_place PROGRAMS COMMAND...: as the last thing that ./dev does.
in_place() {
	choose_place "$1"
	shift
	name_commit
	if [ "${DEV_PLACE-}" ] || [ "$(id -u)" -ne 0 ]; then
		exec env DEV_PLACE="$place" "$@"
	fi
	export DEV_PLACE=$place
	within "$root" "$@" </dev/null
}

place_shell() {
	need_root shell
	[ $# -eq 0 ] || kept_shell "$1"
	choose_place "$test_programs"
	say "a shell in ${root%/}$checkout; it ends with exit"
	DEV_PLACE=$place exec "${namespaces[@]}" --kill-child scripts/init.sh "$root" "$checkout" /bin/bash
}

# -- the kept demo -----------------------------------------------------------------------------------------------------

# in_place, but what the command leaves running stays up; init.sh says on descriptor 3 that it has come so far.
keep_in_place() {
	local pipe=$cache/kept.pipe kept=
	choose_place "$1"
	shift
	name_commit
	rm -f "$pipe" && mkfifo "$pipe"
	contained=1
	DEV_PLACE=$place DEV_KEEP=1 setsid "${namespaces[@]}" scripts/init.sh "$root" "$checkout" "$@" </dev/null 3>"$pipe" &
	child=$!
	read -r kept <"$pipe" || :
	rm -f "$pipe"
	if [ -z "$kept" ]; then
		wait "$child"
	else
		first_inside "$child" >"$cache/kept"
		kill -KILL "$child" # unshare, which only waits and holds our terminal
	fi
}

kept_pid() {
	local pid
	read -r pid 2>/dev/null <"$cache/kept" && grep -qsz 'scripts/init.sh$' "/proc/$pid/cmdline" && echo "$pid"
}

kept_stop() {
	local pid
	pid=$(kept_pid) || return 1
	kill -TERM "$pid"
	while [ -e "/proc/$pid" ]; do sleep 0.1; done
	rm -f "$cache/kept"
}

kept_shell() {
	local pid
	pid=$(kept_pid) || die 'no hosts are up' 'Start them with: sudo ./dev demo --keep'
	exec nsenter --target "$pid" --mount --pid --root --wd /bin/bash -c '
		netns=$(cd /run/netns && printf "%s\n" *-"$0")
		[ -e "/run/netns/$netns" ] || { echo "dev: no host $0; there are:" $(ls /run/netns) >&2; exit 1; }
		file=/tmp/${netns%-*}/$0.d/shell
		[ ! -f "$file" ] || . "$file"
		export PS1="$0# "
		exec ip netns exec "$netns" /bin/bash --norc' "$1"
}
