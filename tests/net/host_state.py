# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The state of a host as text, to be compared byte for byte: what VPN mode changes, and what it must leave as it was.

    before = host_state.read(host)
    ...
    host_state.check(host, before)

Left out is what changes by itself: the remaining lifetimes of addresses and routes, counters, neighbours.
"""
import difflib
import re

from lab import Failed

SCRIPT = r'''
section() { echo "== $*"; }
section interfaces; ip -o link show | sed 's/ qlen [0-9]*//'
for family in -4 -6; do
	section addresses $family; ip $family -o address show
	section rules $family; ip $family rule show
	section routes $family; ip $family route show table all
done
section nexthops; ip nexthop show
section nftables; nft --stateless list ruleset
section sysctls; sysctl -a -r '^net\.ipv[46]\.' 2>/dev/null
section resolver
for file in /etc/resolv* /etc/nsswitch.conf; do
	[ -e "$file" ] || [ -h "$file" ] || continue
	stat -c '%N, %F, inode %i, mode %a, owner %u:%g' "$file"
	[ ! -f "$file" ] || sed 's/^/   | /' "$file"
done
'''
VOLATILE = re.compile(r' (expires|valid_lft|preferred_lft|age) \d+sec')


def read(host):
    said = host.run('sh', '-c', SCRIPT)
    if said.stderr:
        raise Failed(f'the state of {host.name} cannot be read: {said.stderr}')
    return VOLATILE.sub('', said.stdout)


def difference(before, after):
    return '\n'.join(difflib.unified_diff(before.splitlines(), after.splitlines(), 'before', 'after', lineterm='', n=2))


def check(host, before):
    after = read(host)
    if after != before:
        raise Failed(f'{host.name} is not as it was:\n{difference(before, after)}')
