#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Prefixes that lie in one another, at different nodes; and a node that advertises what it may not.

    laptop 192.0.2.1 --- switch --- 192.0.2.2 wide     has 10.0.0.0/12, fd10::/32
    100.64.0.1            |                 100.64.0.2
                          +------- 192.0.2.3 narrow   has 10.0.1.0/24, fd10:0:1::/48
                                            100.64.0.3

Each has the addresses 10.0.1.9, 10.0.2.9, fd10:0:1::9 and fd10:0:2::9 on its loopback, so that the answer says who was asked.
"""
from lab import Lab, Node, wait_until

WIDE = '10.0.0.0/12', 'fd10::/32'
NARROW = '10.0.1.0/24', 'fd10:0:1::/48'
IN_WIDE, IN_NARROW = ('10.0.2.9', 'fd10:0:2::9'), ('10.0.1.9', 'fd10:0:1::9')
LIES = {
    '10.0.1.0/24': 'a subnet of another node', '10.0.1.128/25': 'a subnet of another node',
    'fd10:0:1:5::/64': 'a subnet of another node',
    '10.0.0.0/8': 'wider than the grant', '172.16.0.0/12': 'not granted',
    '100.64.0.3/32': 'not granted',
}


def draw(lab):
    switch = lab.host('switch')
    switch.ip('link', 'add', 'lan', 'type', 'bridge')
    switch.ip('link', 'set', 'lan', 'up')
    hosts = [lab.host(name) for name in ('laptop', 'wide', 'narrow')]
    for number, host in enumerate(hosts, 1):
        lab.link(host, 'eth0', f'192.0.2.{number}/24', switch, host.name, '')
        switch.ip('link', 'set', host.name, 'master', 'lan')
    for host in hosts[1:]:
        for address in (*IN_WIDE, *IN_NARROW):
            host.address('lo', f'{address}/{128 if ":" in address else 32}')
    return hosts


def row(node, number, **keys):
    return node.as_peer(addresses=[f'100.64.0.{number}', f'fd64::{number}'], endpoints=[f'192.0.2.{number}:7844'], **keys)


def own(number, **keys):
    return {'tun_addr': [f'100.64.0.{number}', f'fd64::{number}'], **keys}


def received_from(laptop, node):
    return laptop.peer(node)['rx_packets']


def answers(laptop, node, address):
    """Whether a ping is answered by that node."""
    before = received_from(laptop, node)
    return laptop.host.pings(address) and received_from(laptop, node) > before


def routes_of(laptop, node):
    return {route['prefix'] for route in laptop.call('routes')['routes'] if route['node'] == node.name}


def check_longest_wins(laptop, wide, narrow):
    for address in IN_WIDE:
        wait_until(f'{address} answers', lambda address=address: laptop.host.pings(address))
        assert answers(laptop, wide, address) and not answers(laptop, narrow, address)
    for address in IN_NARROW:
        wait_until(f'{address} answers', lambda address=address: laptop.host.pings(address))
        assert answers(laptop, narrow, address) and not answers(laptop, wide, address)


def check_lies(laptop, wide, narrow):
    """What wide advertises now is all refused but its own, and each refusal has its reason; narrow keeps what it has."""
    wide.stop()
    wide.configure([row(laptop, 1)], network=own(2, advertise_subnets=[*WIDE, *LIES]), node={'role': 'gateway'})
    wide.start()
    laptop.wait_connected(wide)

    def refused():
        return {route['prefix']: route['reason'] for route in laptop.call('routes', '--rejected')['rejected']
                if route['node'] == 'wide'}
    wait_until('all lies are refused', lambda: refused().keys() == LIES.keys())
    for prefix, reason in LIES.items():
        assert refused()[prefix] and reason in (None, refused()[prefix]), (prefix, refused()[prefix])
    assert routes_of(laptop, wide) >= set(WIDE) and not routes_of(laptop, wide) & LIES.keys(), routes_of(laptop, wide)
    check_longest_wins(laptop, wide, narrow)
    assert not laptop.host.pings('172.16.0.9', timeout=1)


def check_narrow_gone(laptop, wide, narrow):
    """Its prefix is still its own: nobody else answers in its place."""
    narrow.stop()
    wait_until('narrow is gone', lambda: laptop.peer(narrow)['state'] != 'connected')
    for address in IN_NARROW:
        assert not laptop.host.pings(address, timeout=1)
    for address in IN_WIDE:
        assert answers(laptop, wide, address)


def main():
    with Lab('overlap') as lab:
        nodes = laptop, wide, narrow = [Node(host) for host in draw(lab)]
        laptop.configure([row(wide, 2, subnets=list(WIDE)), row(narrow, 3, subnets=list(NARROW))], network=own(1))
        for number, node, prefixes in (2, wide, WIDE), (3, narrow, NARROW):
            node.configure([row(laptop, 1)], network=own(number, advertise_subnets=list(prefixes)), node={'role': 'gateway'})
        for node in reversed(nodes):
            node.start()
        laptop.wait_connected(wide, narrow)
        check_longest_wins(laptop, wide, narrow)
        check_lies(laptop, wide, narrow)
        check_narrow_gone(laptop, wide, narrow)


if __name__ == '__main__':
    main()
