#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# init.sh ROOT CHECKOUT COMMAND...: the first process in the namespaces that scripts/place.sh makes.
#
# Mounts and processes are private to them, so when this process ends, however it ends, nothing of what ran inside is
# left: no daemon, no network namespace, no mount. ROOT is / for this host itself.
set -eu
root=$1 checkout=$2
shift 2

mount_root() {
	mount --bind "$root" "$root"
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs tmpfs "$root/run"
	mount -t tmpfs tmpfs "$root/tmp"
	mkdir -p "$root$checkout"
	mount --bind "$checkout" "$root$checkout"
}

mount_host() {
	mount -t proc proc /proc
	mkdir -p /run/netns
	mount -t tmpfs tmpfs /run/netns
}

if [ "$root" != / ]; then
	mount_root
	exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
		TERM="${TERM-dumb}" DEV_PLACE="$DEV_PLACE" DEV_COMMIT="${DEV_COMMIT-}" DEV_KEEP="${DEV_KEEP-}" \
		/bin/bash "$checkout/scripts/init.sh" / "$checkout" "$@"
fi

cd "$checkout"
export PYTHONDONTWRITEBYTECODE=1
[ "$DEV_PLACE" != host ] || mount_host

# Five seconds for the command to put its things in order, then all of it is over.
trap '(kill -TERM $child; sleep 5; kill -KILL $child) 2>/dev/null &' INT TERM HUP
env --default-signal=INT,QUIT "$@" <&0 3>&- &
child=$!
status=0
wait $child || status=$?
while kill -0 $child 2>/dev/null; do
	wait $child && status=0 || status=$?
done

# What a laboratory (tests/net/lab.py) that was killed has left in /tmp, which is the host's own if ROOT is /.
sweep() {
	local netns
	for netns in /run/netns/*-*-*; do
		netns=${netns##*/}
		rm -rf "/tmp/${netns%-*}"
	done
}

# A kept demo: its daemons live as long as this process, which lets go of the terminal and says so on descriptor 3.
if [ -n "${DEV_KEEP-}" ] && [ $status -eq 0 ]; then
	echo kept >&3
	exec </dev/null >/dev/null 2>&1 3>&-
	trap 'sweep; exit 0' TERM
	while :; do
		sleep 3600 &
		wait $! || :
	done
fi
sweep
exit $status
