#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Somebody takes the tunnel's interface down, and up again: what the kernel has taken from it by that is put back.

    laptop 10.0.1.2 ======== 10.0.1.1 gate 192.168.7.1 --- 192.168.7.2 server
    100.64.0.1                        100.64.0.2

The laptop accepts a subnet, default routes, and so many others that the kernel does not get rid of all messages about them.
"""
import host_state
from lab import Lab, Node, wait_until

SERVER = '192.168.7.2', 'fd00:7::2'
OWN = '100.64.0.1', 'fd64::1'
GATE = '100.64.0.2', 'fd64::2'
MANY = [f'10.{128 + number // 256}.{number % 256}.0/24' for number in range(500)]


def draw(lab):
    laptop, gate, server = (lab.host(name) for name in ('laptop', 'gate', 'server'))
    lab.link(laptop, 'eth0', '10.0.1.2/24', gate, 'eth0', '10.0.1.1/24')
    lab.link(gate, 'eth1', '192.168.7.1/24 fd00:7::1/64', server, 'eth0', '192.168.7.2/24 fd00:7::2/64')
    server.route('default', '192.168.7.1')
    server.route('default', 'fd00:7::1')
    return Node(laptop), Node(gate), server


def start(laptop, gate):
    everything = ['192.168.7.0/24', 'fd00:7::/64', '0.0.0.0/0', '::/0']
    laptop.configure([gate.as_peer(addresses=GATE, endpoints=['10.0.1.1:7844'], gateway_subnets=[*everything[:2], '10.128.0.0/9'],
                                   exit=True)],
                     network={'tun_addr': OWN}, overlay={'default_gateway': 'gate', 'accept_routes': [*everything, '10.128.0.0/9']})
    gate.configure([laptop.as_peer(addresses=OWN)], node={'role': 'gateway'},
                   network={'tun_addr': GATE, 'forward_subnets': everything + MANY})
    gate.start()
    laptop.start()
    laptop.wait_connected(gate)


def lines(host):
    """Without the order in which they came."""
    return sorted(host_state.read(host).splitlines())


def reaches_all(laptop, gate):
    return all(laptop.host.pings(address, timeout=1) for address in (*GATE, gate.overlay, *SERVER)) and \
        all(gate.host.pings(address, timeout=1) for address in (*OWN, laptop.overlay))


def check_back(what, laptop, gate, before):
    wait_until(f'{what}: all is as before', lambda: lines(laptop.host) == before)
    wait_until(f'{what}: all is reached', lambda: reaches_all(laptop, gate))


def main():
    with Lab('interface') as lab:
        laptop, gate, server = draw(lab)
        start(laptop, gate)
        wait_until('all is reached', lambda: reaches_all(laptop, gate))
        wait_until('all routes are there', lambda: laptop.host.ip('route').stdout.count('dev quicether0') > len(MANY))
        assert 'has been down' not in laptop.daemon.said()
        assert 'lookup 20805' in laptop.host.ip('rule').stdout + laptop.host.ip('-6', 'rule').stdout
        before = lines(laptop.host)

        laptop.host.ip('link', 'set', 'quicether0', 'down')
        laptop.daemon.wait_said('quicether0 is down')
        assert not gate.host.pings(OWN[0], timeout=1) and not laptop.host.pings(SERVER[0], timeout=1)
        laptop.host.ip('link', 'set', 'quicether0', 'up')
        check_back('down and up', laptop, gate, before)

        for turn in range(10):
            laptop.host.run('sh', '-c', 'ip link set quicether0 down; ip link set quicether0 up')
            check_back(f'at once, turn {turn}', laptop, gate, before)
        assert laptop.stop() == 0 and gate.stop() == 0


if __name__ == '__main__':
    main()
