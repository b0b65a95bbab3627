#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Split tunnel: what is excluded, included or on the LAN goes beside the tunnel, and that alone.

The network is drawn in internet.py, what is a leak in leaks.py. The server's neighbour 203.0.113.1 is the router.
"""
from internet import GATE, LAPTOP, SERVER
from lab import wait_until
from vpn_scene import scene


def is_dns(packet):
    return packet.destination_port == 53


def to_server(version):
    """All but names goes there: plain DNS is for the resolver alone."""
    address = SERVER[0 if version == 4 else 1]
    return lambda packet: packet.destination == address and not is_dns(packet)


def to_lan(packet):
    """Private addresses of the networks that the laptop is in, and what is for all on the link."""
    destination = packet.destination or ''
    local = destination.startswith(('10.0.1.', '224.0.0.', 'fe80:', 'ff02:')) or destination == '255.255.255.255'
    return local and not is_dns(packet)


def but_server(packet):
    return packet.destination not in SERVER and not is_dns(packet)


def sources(here, what):
    """Whom the server sees from now on, once it has seen both families."""
    here.services.seen.clear()
    return wait_until(f'{what} comes by both families', lambda: len(here.services.sources(what)) > 1 and here.services.sources(what))


def check_exclude(here):
    """A prefix of the one family, then of the other."""
    for version, prefix in (4, '203.0.113.0/24'), (6, '2001:db8:9::/64'):
        here.restart(exclude=[prefix])
        here.up()
        expected = {LAPTOP[0], GATE[1]} if version == 4 else {GATE[0], LAPTOP[1]}
        with here.closed(f'exclude = {prefix}', allow=to_server(version)):
            assert sources(here, 'tcp') == sources(here, 'udp') == expected, here.services.seen
        here.down()


def check_include(here):
    """The server through the tunnel, all else beside it."""
    here.restart(include=['203.0.113.9/32', '2001:db8:9::9/128'])
    here.up()
    with here.closed('include = the server', allow=but_server):
        here.wait_through()
        assert here.host.pings('203.0.113.1') and here.host.pings('2001:db8:9::1')
    with here.closed('include, gateway dead', allow=but_server):
        here.gate.kill()
        here.wait_state('reconnecting', 'blocked')
        assert here.host.pings('203.0.113.1') and not here.host.pings(SERVER[0], timeout=1)
    here.gate.start()
    here.wait_state('connected')
    here.down()


def check_lan(here):
    """The home's private addresses can be reached; its public ones cannot, but through the tunnel."""
    here.restart(lan='allow')
    here.up()
    with here.closed('lan = "allow"', allow=to_lan):
        here.wait_through()
        assert here.host.pings('10.0.1.1')
    here.restart()
    here.up()
    with here.closed('lan = "block"'):
        here.wait_through()


def main():
    with scene('split') as here:
        here.open('VPN mode off')
        for check in check_exclude, check_include, check_lan:
            check(here)


if __name__ == '__main__':
    main()
