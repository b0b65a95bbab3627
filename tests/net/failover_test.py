#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Two gateways to one LAN: the better one is used, and the other takes over under an open connection.

                            +--- 10.0.1.2 gate1 192.168.5.3 ---+
    laptop --- internet ----+             100.64.0.1           +--- 192.168.5.2 nas
    10.0.9.2                +--- 10.0.2.2 gate2 192.168.5.4 ---+
    100.64.0.9                            100.64.0.2
                                          metric 200

The NAS sends everything to gate1, which has a second way to the laptop: through gate2, over the LAN. A gateway ends in order,
is cut off, and loses its LAN.
"""
import time

from lab import Lab, Node, wait_until
from traffic import Stream

LAN = '192.168.5.0/24'
NAS = '192.168.5.2'
CLOSED_SECONDS, SILENT_SECONDS = 1, 3
SLACK = 2.0  # this machine, TCP's next retransmission


def draw(lab):
    internet, laptop, nas = lab.router('internet'), lab.host('laptop'), lab.host('nas')
    gates = []
    lab.link(laptop, 'eth0', '10.0.9.2/24', internet, 'laptop', '10.0.9.1/24')
    laptop.route('default', '10.0.9.1')
    nas.ip('link', 'add', 'lan', 'type', 'bridge')
    nas.address('lan', f'{NAS}/24')
    nas.ip('link', 'set', 'lan', 'up')
    for number, last in (1, 3), (2, 4):
        gate = lab.host(f'gate{number}')
        lab.link(gate, 'eth0', f'10.0.{number}.2/24', internet, gate.name, f'10.0.{number}.1/24')
        lab.link(gate, 'eth1', f'192.168.5.{last}/24', nas, gate.name, '')
        nas.ip('link', 'set', gate.name, 'master', 'lan')
        gate.route('default', f'10.0.{number}.1')
        gates.append(gate)
    nas.route('100.64.0.9/32', '192.168.5.3')
    return internet, laptop, nas, gates


def configure(laptop, gates):
    one, two = gates
    laptop.configure([gate.as_peer(addresses=[f'100.64.0.{number}'], gateway_subnets=[LAN], endpoints=[f'10.0.{number}.2:7844'])
                      for number, gate in enumerate(gates, 1)], network={'tun_addr': ['100.64.0.9']})
    user = laptop.as_peer(addresses=['100.64.0.9'])
    for number, gate, other, at in (1, one, two, '192.168.5.4'), (2, two, one, '192.168.5.3'):
        twin = other.as_peer(addresses=[f'100.64.0.{3 - number}'], gateway_subnets=['100.64.0.9/32', LAN], endpoints=[f'{at}:7844'])
        gate.configure([user, twin], node={'role': 'gateway'}, network={
            'tun_addr': [f'100.64.0.{number}'], 'forward_subnets': [LAN, '100.64.0.9/32'], 'metric': 100 * number})


def best(laptop):
    return next((route['node'] for route in laptop.call('routes')['routes']
                 if route['prefix'] == LAN and route['state'] == 'best'), None)


def wait_best(laptop, gate, deadline=40):
    wait_until(f'{gate.name} is used', lambda: best(laptop) == gate.name, deadline)


def check_gap(stream, since, limit):
    stream.wait_flow(deadline=20)
    gap = stream.longest_gap(since)
    assert gap < limit + SLACK, f'{gap:.1f} s without data'


def check_cut_off(internet, laptop, gates, stream):
    """Nobody tells the laptop that gate1 is gone; the NAS still sends to it."""
    since = time.monotonic()
    internet.ip('link', 'set', gates[0].name, 'down')
    check_gap(stream, since, SILENT_SECONDS)
    wait_best(laptop, gates[1])
    internet.ip('link', 'set', gates[0].name, 'up')
    gates[0].host.route('default', '10.0.1.1')
    wait_best(laptop, gates[0])
    stream.wait_flow(deadline=20)


def check_lan_lost(nas, laptop, gates, stream):
    """gate1 has a link to the laptop, and no LAN: it withdraws the prefix. Meanwhile the NAS is told of gate2."""
    since = time.monotonic()
    nas.route('100.64.0.9/32', '192.168.5.4')
    nas.ip('link', 'set', gates[0].name, 'down')
    check_gap(stream, since, SILENT_SECONDS)
    wait_best(laptop, gates[1])
    nas.ip('link', 'set', gates[0].name, 'up')
    wait_best(laptop, gates[0])
    stream.wait_flow(deadline=20)


def check_ended(laptop, gates, stream):
    """gate1 stops in order, and says so; the NAS sends to gate2 already."""
    since = time.monotonic()
    gates[0].stop()
    check_gap(stream, since, CLOSED_SECONDS)
    wait_best(laptop, gates[1])


def main():
    with Lab('failover') as lab:
        internet, laptop_host, nas, gate_hosts = draw(lab)
        laptop, gates = Node(laptop_host), [Node(host) for host in gate_hosts]
        configure(laptop, gates)
        for node in (*gates, laptop):
            node.start()
        laptop.wait_connected(*gates)
        gates[0].wait_connected(gates[1])
        wait_best(laptop, gates[0])
        with Stream(laptop_host, nas, NAS) as stream:
            stream.wait_flow()
            check_cut_off(internet, laptop, gates, stream)
            check_lan_lost(nas, laptop, gates, stream)
            check_ended(laptop, gates, stream)


if __name__ == '__main__':
    main()
