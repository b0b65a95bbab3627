# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# A Debian 13 root in the cache folder, for hosts that are too old to build QuicEther. Sourced by ./dev.
#
# A root is made in a temporary folder, under a lock, and renamed when it is whole, so one that has its name is
# complete. The name holds a hash of what is in it: a changed list makes a new root. Whoever uses one holds a shared
# lock on it, and it is not removed under them.
#
# Of the host, only debootstrap is added to it. Its own apt downloads the packages, with its proxies, certificates and
# passwords, so nothing of these has to be copied into the root, which never uses the network itself.

# To be raised when roots must be made anew although the list of packages is the same.
root_version=2

use_debian_root() {
	local hash
	hash=$(printf '%s\n' "$root_version" "${packages[@]}" "${resolvers[@]}" | sha256sum | cut -c1-12)
	place=trixie-$hash
	root=$cache/root-$hash
	if [ ! -d "$root" ]; then
		need_root "making a Debian 13 root (this host has no $(host_lacks '' | head -n 1))"
		mkdir -p "$cache"
		exec 9>"$cache/lock"
		flock -n 9 || { say 'waiting for another ./dev to make the root' && flock 9; }
		[ -d "$root" ] || make_root
		exec 9>&-
	fi
	need_root "working in the Debian 13 root"
	exec 8<"$root"
	flock -s 8
}

make_root() {
	local start=$SECONDS mirror
	rm -rf "$cache"/half-*
	[ "$(df --output=avail -k "$cache" | tail -n 1)" -gt 2500000 ] ||
		die "less than 2.5 GB are free for a Debian 13 root in $cache" \
			'Make room, or set XDG_CACHE_HOME to a folder on a larger disk.'
	say "this host is older than Debian 13; making a Debian 13 root in $root (once)"
	command -v debootstrap >/dev/null || step 'installing debootstrap' 'Does apt-get update work on this host?' \
		run env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends debootstrap
	mirror=$(debian_mirror)
	half_made=$(mktemp -d "$cache/half-XXXXXX")
	chmod 755 "$half_made"
	export DEV_PLACE=trixie
	write_dpkg_config
	step "unpacking Debian 13 from $mirror" \
		'Has the mirror trixie (QUICETHER_MIRROR names another)? Does the disk allow devices (XDG_CACHE_HOME)?' \
		with_proxy within / scripts/debootstrap.sh "$half_made" "$mirror"
	write_apt_config "$half_made" "$mirror"
	step 'reading the lists of trixie and trixie-backports' 'Is the mirror complete and up to date?' \
		root_apt "$half_made" update
	step "downloading packages" 'Run it again; what has come is not kept.' \
		root_apt "$half_made" install --download-only "${packages[@]}"
	step 'installing packages' 'This should not fail; the log says why it did.' \
		within "$half_made" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-download \
		--no-install-recommends "${packages[@]}"
	step 'unpacking resolvers' 'Run it again; what has come is not kept.' unpack_resolvers "$half_made"
	forget_apt "$half_made"
	rm -f "$half_made"/.wgetrc
	unset DEV_PLACE
	mv "$half_made" "$root"
	half_made=
	remove_roots_but "$root"
	say "the root is made: $((SECONDS - start)) s"
}

# A root can be made anew at any time, so it need not be safe against a loss of power, nor have manuals. What is
# installed in it starts no service: its network is the host's.
write_dpkg_config() {
	mkdir -p "$half_made/etc/dpkg/dpkg.cfg.d" "$half_made/usr/sbin"
	printf '#!/bin/sh\nexit 101\n' >"$half_made/usr/sbin/policy-rc.d"
	chmod 755 "$half_made/usr/sbin/policy-rc.d"
	cat >"$half_made/etc/dpkg/dpkg.cfg.d/quicether" <<-'END'
		force-unsafe-io
		path-exclude=/usr/share/doc/*
		path-exclude=/usr/share/info/*
		path-exclude=/usr/share/locale/*
		path-exclude=/usr/share/man/*
	END
}

# write_apt_config ROOT MIRROR. What runs in the root afterwards is its own apt; what downloads is the host's, whose hooks
# must not run for it.
write_apt_config() {
	local etc=$1/etc/apt
	printf 'deb %s trixie main\ndeb %s trixie-backports main\n' "$2" "$2" >"$etc/sources.list"
	printf 'Package: %s\nPin: release n=trixie-backports\nPin-Priority: 990\n' 'libngtcp2*' \
		>"$etc/preferences.d/quicether"
	cat >"$1/.host-apt.conf" <<-END
		#clear APT::Update;
		#clear APT::Architectures;
		#clear DPkg;
		APT::Architecture "$(dpkg --print-architecture)";
		APT::Default-Release "";
		APT::Sandbox::User "root";
		Dir "$1/";
		Dir::State::status "$1/var/lib/dpkg/status";
		Dir::Etc::netrc "/etc/apt/auth.conf";
		Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
	END
}

root_apt() {
	run apt-get -q -y --no-install-recommends -c "$1/.host-apt.conf" "${@:2}"
}

# Each into a folder of its own, which tests/net/host_dns_test.py lays over /usr: both have a program resolvconf.
unpack_resolvers() {
	local archives=$1/var/cache/apt/resolvers package name
	mkdir -p "$archives" "$1/opt/resolvers"
	(cd "$archives" && run apt-get -q -c "$1/.host-apt.conf" download "${resolvers[@]}") || return
	for package in "$archives"/*.deb; do
		name=${package##*/}
		run dpkg-deb -x "$package" "$1/opt/resolvers/${name%%_*}" || return
	done
}

# Lists and packages are not kept.
forget_apt() {
	rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/.host-apt.conf
}

# debootstrap downloads with wget, which does not know apt's settings.
with_proxy() {
	local http= https= authority=
	eval "$(apt-config shell http Acquire::http::Proxy https Acquire::https::Proxy authority Acquire::https::CAInfo)"
	[ -z "${http#DIRECT}" ] || export http_proxy=$http
	[ -z "${https#DIRECT}" ] || export https_proxy=$https
	if [ -n "$authority" ]; then
		echo "ca_certificate = $authority" >"$half_made/.wgetrc"
		export WGETRC=$half_made/.wgetrc
	fi
	"$@"
}

# -- what ./dev bench compares with -----------------------------------------------------------------------------------

# fetch_others: Debian's packages of other tunnels, with the libraries that they need and that are not there yet, unpacked
# into a directory that ./dev clean removes. Nothing is installed: no service starts, and neither host nor root knows of them.
fetch_others() {
	local dir archives
	dir=$([ "$place" = host ] && echo build-others || echo build-trixie-others)
	archives=$PWD/$dir.archives
	[ ! -d "$dir" ] || return 0
	need_root 'fetching the packages of other tunnels'
	mkdir -p "$archives/partial"
	if [ "$place" = host ]; then
		step "downloading ${others[*]}" 'Does apt-get update work on this host? --subjects picks what needs no package.' \
			run apt-get -q -y --no-install-recommends install --download-only -o "Dir::Cache::archives=$archives" "${others[@]}"
	else
		write_apt_config "$root" "$(debian_mirror)"
		step 'reading the lists of trixie' 'Is the mirror complete and up to date?' root_apt "$root" update
		step "downloading ${others[*]}" 'Run it again; or --subjects picks what needs no package.' \
			root_apt "$root" install --download-only -o "Dir::Cache::archives=$archives" "${others[@]}"
		forget_apt "$root"
	fi
	half_made=$dir.half
	step 'unpacking them' 'This should not fail; the log says why it did.' unpack_others "$archives" "$half_made"
	mv "$half_made" "$dir"
	half_made=
	rm -rf "$archives"
}

unpack_others() {
	local package
	for package in "$1"/*.deb; do
		run dpkg-deb -x "$package" "$2" || return
		dpkg-deb -W "$package" >>"$2/versions" || return
	done
}

# The Debian mirror that the host's own apt uses; it has trixie too if it has what the host is.
debian_mirror() {
	if [ -n "${QUICETHER_MIRROR-}" ]; then
		echo "$QUICETHER_MIRROR"
		return
	fi
	apt-get indextargets --no-release-info --format '$(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
		sed -n 's,/$,,; s,^main \(bullseye\|bookworm\|trixie\|\(old\)*stable\) \(http[^ ]*\)$,\3,p' |
		sort -u | sed -n '1{p;q}' | grep . ||
		die "apt's sources on this host name no Debian mirror" 'Set QUICETHER_MIRROR to the address of one.'
}

# A root in use stays; the next one made removes it.
remove_roots_but() {
	local old
	for old in "$cache"/root-*; do
		[ "$old" != "$1" ] && [ -d "$old" ] || continue
		if flock -n -x "$old" true; then
			say "removing $old"
			rm -rf "$old"
		else
			say "$old is in use and stays"
		fi
	done
}
