#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A host moves from one network to another under an open TCP connection, whichever of the two dials.

    mobile -- house   10.0.1.2 --------------------------- 10.0.1.1
              cafe    10.0.4.2 --------------------------- 10.0.4.1
              train   192.168.7.2 --- NAT --- 10.0.2.2 --- 10.0.2.1        internet --- fixed
              campus  2001:db8:3::2 ---------------------- 2001:db8:3::1             10.0.9.2
    100.64.0.1                                                                  2001:db8:9::2
                                                                                   100.64.0.2

The mobile host is in one of these networks at a time: when it leaves one, its addresses, routes and link there are gone.
"""
import time

from lab import Lab, Node, wait_until
from traffic import Stream

GAP_MAX = 3.0
GAP_MAX_IP = 6.0  # to the other kind of IP: the old link must fail first, and then TCP waits for twice as long
NETWORKS = {  # the mobile host's interface: its address, and its router
    'house': ('10.0.1.2/24', '10.0.1.1'),
    'cafe': ('10.0.4.2/24', '10.0.4.1'),
    'train': ('192.168.7.2/24', '192.168.7.1'),
    'campus': ('2001:db8:3::2/64', '2001:db8:3::1'),
}
# By who dials: where the mobile host goes, as whom the fixed one sees it there, and whether the link stays the same:
# QUIC lets its client move, but neither its server nor from one kind of IP to the other.
JOURNEYS = {
    'mobile': (('train', '10.0.2.2', True), ('cafe', '10.0.4.2', True),
               ('campus', '[2001:db8:3::2]', False), ('house', '10.0.1.2', False)),
    'fixed': (('train', '10.0.2.2', False), ('cafe', '10.0.4.2', True)),
}


def draw(lab):
    mobile, train, internet, fixed = lab.host('mobile'), lab.router('train'), lab.router('internet'), lab.host('fixed')
    lab.link(mobile, 'house', '', internet, 'house', '10.0.1.1/24')
    lab.link(mobile, 'cafe', '', internet, 'cafe', '10.0.4.1/24')
    lab.link(mobile, 'train', '', train, 'inside', '192.168.7.1/24')
    lab.link(train, 'outside', '10.0.2.2/24', internet, 'train', '10.0.2.1/24')
    lab.link(mobile, 'campus', '', internet, 'campus', '2001:db8:3::1/64')
    lab.link(internet, 'fixed', '10.0.9.1/24 2001:db8:9::1/64', fixed, 'eth0', '10.0.9.2/24 2001:db8:9::2/64')
    train.route('default', '10.0.2.1')
    train.masquerade('outside')
    for network in NETWORKS:
        leave(mobile, network)
    fixed.route('default', '10.0.9.1')
    fixed.route('default', '2001:db8:9::1')
    return mobile, fixed


def leave(mobile, network):
    mobile.ip('address', 'flush', 'dev', network)
    mobile.ip('link', 'set', network, 'down')


def enter(mobile, network):
    address, router = NETWORKS[network]
    mobile.ip('link', 'set', network, 'up')
    mobile.address(network, address)
    mobile.route('default', router)


def start(here, there, dialler):
    """Starts both nodes, of which only the dialler knows where the other is."""
    here_at = ['10.0.1.2:7844'] if dialler == 'fixed' else []
    there_at = ['10.0.9.2:7844', '[2001:db8:9::2]:7844'] if dialler == 'mobile' else []
    here.configure(network={'tun_addr': ['100.64.0.1']},
                   peers=[there.as_peer(endpoints=there_at, addresses=['100.64.0.2'])])
    there.configure(network={'tun_addr': ['100.64.0.2']},
                    peers=[here.as_peer(endpoints=here_at, addresses=['100.64.0.1'])])
    for node in (there, here) if dialler == 'mobile' else (here, there):
        node.start()
    here.wait_connected(there)
    there.wait_connected(here)
    wait_until('one link is left', lambda: here.peer(there)['links'] == there.peer(here)['links'] == 1)


def remote_of(there, here):
    """Address and port, or nothing."""
    link = there.peer(here)['link']
    return link['remote'].rpartition(':')[::2] if link else ('', '')


def handshakes(node):
    return node.status()['counters']['handshakes']


def check_move(here, there, stream, old, new, address, same_link):
    before = handshakes(there)
    since = time.monotonic()
    leave(here.host, old)
    enter(here.host, new)
    stream.wait_flow(deadline=20)
    gap = stream.longest_gap(since)
    print(f'{old} to {new}: {gap:.2f} s without data', flush=True)
    assert gap <= (GAP_MAX_IP if 'campus' in (old, new) else GAP_MAX), gap
    wait_until(f'the fixed host sees the mobile one at {address}', lambda: remote_of(there, here)[0] == address)
    # The NAT, and only that, changes the port.
    assert (remote_of(there, here)[1] == '7844') == (new != 'train'), remote_of(there, here)
    assert (handshakes(there) == before) == same_link, (before, handshakes(there))


def check_journey(here, there, dialler):
    network = 'house'
    enter(here.host, network)
    wait_until('the networks are up', lambda: here.host.pings('10.0.9.2'))
    start(here, there, dialler)
    print(f'{dialler} dials')
    with Stream(here.host, there.host, '100.64.0.2') as stream:
        stream.wait_flow()
        for stop in JOURNEYS[dialler]:
            check_move(here, there, stream, network, *stop)
            network = stop[0]
    for node in (here, there):
        assert node.stop() == 0
    leave(here.host, network)


def main():
    with Lab() as lab:
        here, there = map(Node, draw(lab))
        for dialler in JOURNEYS:
            check_journey(here, there, dialler)


if __name__ == '__main__':
    main()
