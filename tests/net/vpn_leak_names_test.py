#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Names in VPN mode: the laptop's programs resolve them by way of the gateway, which asks in its own name; and whatever somebody
writes into the laptop's resolv.conf, no question goes to the LAN's resolver.

The network is drawn in internet.py, what is a leak in leaks.py.
"""
from internet import GATE, ROUTER, SERVER
from lab import wait_until
from vpn_scene import scene

TIMES = 5


def resolves(here, name):
    """Whether programs of the laptop find the server under a name that nobody has asked for."""
    return SERVER[0] in here.host.run('getent', 'ahostsv4', name, check=False, timeout=30).stdout


def check_names(here):
    here.up()
    with here.closed('names'):
        here.services.seen.clear()
        assert resolves(here, 'through.example')
        assert 'through.example' in here.services.asked
        assert not resolves(here, 'nowhere.example')


def check_resolv_conf(here):
    """Somebody writes the LAN's resolver into the file, more often than it is put back: then the file is theirs, also afterwards."""
    resolv_conf = here.host.etc / 'resolv.conf'
    ours, theirs = resolv_conf.read_text(), f'nameserver {ROUTER[0]}\n'
    with here.closed('resolv.conf overwritten'):
        for turn in range(TIMES):
            resolv_conf.write_text(theirs)
            if turn < 2:
                wait_until('ours is back', lambda: resolv_conf.read_text() == ours)
                assert resolves(here, f'turn{turn}.example')
            else:
                assert not resolves(here, f'turn{turn}.example')
        here.watch.speak()
    here.down()
    assert resolv_conf.read_text() == theirs and resolves(here, 'after.example')
    return resolv_conf.stat().st_ino


def main():
    with scene('names') as here:
        inode = (here.host.etc / 'resolv.conf').stat().st_ino
        here.open('VPN mode off')
        check_names(here)
        theirs = check_resolv_conf(here)
        here.before = here.before.replace(f'inode {inode},', f'inode {theirs},')


if __name__ == '__main__':
    main()
