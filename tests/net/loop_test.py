#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Gateways that take one another for the way to a network whose node is away.

    laptop 192.0.2.1 --- switch --- 192.0.2.2 gate1 --> gate2 --> gate3 --> gate1 ...
    100.64.0.1                      100.64.0.2          .3        .4

Each gateway would forward to the network of the absent node, and each has been told to believe the next one that it can. Then
two of them, each of which believes the other.
"""
from lab import Lab, Node, wait_until

NOWHERE = '172.20.0.0/16'
LOST = '172.20.0.1'
PACKETS, SIZE = 2000, 1000
HOPS = 64
PART_MAX = 0.15  # of what it would be if each packet went round until its hop limit ended


def draw(lab, names):
    switch = lab.host('switch')
    switch.ip('link', 'add', 'lan', 'type', 'bridge')
    switch.ip('link', 'set', 'lan', 'up')
    hosts = [lab.host(name) for name in names]
    for number, host in enumerate(hosts, 1):
        lab.link(host, 'eth0', f'192.0.2.{number}/24', switch, host.name, '')
        switch.ip('link', 'set', host.name, 'master', 'lan')
    return [Node(host) for host in hosts]


class Circle:
    """The laptop, the gateways that ask one another in turn, and the node that is away."""

    def __init__(self, nodes):
        self.nodes, (self.laptop, *self.gates, self.absent) = nodes, nodes

    def row(self, node, **keys):
        number = self.nodes.index(node) + 1
        return node.as_peer(addresses=[f'100.64.0.{number}'], endpoints=[f'192.0.2.{number}:7844'], **keys)

    def own(self, node, **keys):
        return {'tun_addr': [f'100.64.0.{self.nodes.index(node) + 1}'], **keys}

    def peers_of(self, i):
        gates = self.gates
        grants = {node.name: [] for node in gates}
        grants[gates[(i + 1) % len(gates)].name] += [NOWHERE]
        grants[gates[i - 1].name] += ['100.64.0.1/32']  # the laptop's packets come from there
        return [self.row(self.laptop), self.absent.as_peer(subnets=[NOWHERE])] + [
            self.row(node, gateway_subnets=grants[node.name]) for node in gates if node is not gates[i]]

    def start(self):
        self.laptop.configure([self.row(self.gates[0], gateway_subnets=[NOWHERE])] + [
            self.row(gate) for gate in self.gates[1:]], network=self.own(self.laptop))
        for i, gate in enumerate(self.gates):
            gate.configure(self.peers_of(i), node={'role': 'gateway'}, network=self.own(gate, forward_subnets=[NOWHERE]))
        for node in (self.laptop, *self.gates):
            node.start()
        followers = [self.gates[0], *self.gates[1:], self.gates[0]]
        for node, follower in zip((self.laptop, *self.gates), followers):
            wait_until(f'{node.name} asks {follower.name}', lambda node=node, follower=follower: any(
                route['prefix'] == NOWHERE and route['node'] == follower.name and route['state'] == 'best'
                for route in node.call('routes')['routes']))

    def stop(self):
        for node in (self.laptop, *self.gates):
            node.stop()

    def between_gates(self):
        """Bytes that the gateways have sent one another."""
        return sum(gate.peer(other)['tx_bytes'] for gate in self.gates for other in self.gates if other is not gate)

    def dropped(self, reason):
        return sum(gate.status()['counters']['drops'][reason] for gate in self.gates)


def flood(host):
    said = host.run('ping', '-n', '-q', '-c', PACKETS, '-i', '0.002', '-s', SIZE - 28, '-W', 1, LOST, check=False).stdout
    assert f'{PACKETS} packets transmitted, 0 received' in said, said


def check_circle(circle):
    before = circle.between_gates()
    flood(circle.laptop.host)
    looped = circle.between_gates() - before
    assert PACKETS * SIZE * HOPS * PART_MAX > looped > SIZE * HOPS, f'{looped} bytes for {PACKETS * SIZE}'
    assert circle.dropped('hop_limit') > 0 and circle.dropped('loop') > 0
    # Whoever sends a few is told, and all else goes on.
    wait_until('the circle is forgotten', lambda: 'exceeded' in circle.laptop.host.run(
        'ping', '-n', '-c', 1, '-W', 2, LOST, check=False).stdout)
    assert circle.laptop.host.pings('100.64.0.2')


def check_pair(circle):
    """Nothing goes back to where it came from, so one of the two is the end."""
    before = circle.between_gates()
    flood(circle.laptop.host)
    assert circle.between_gates() - before <= 1.1 * PACKETS * SIZE, circle.between_gates() - before
    assert circle.dropped('hop_limit') == 0 and circle.dropped('loop') > 0


def main():
    with Lab('loop') as lab:
        laptop, *gates, absent = draw(lab, ('laptop', 'gate1', 'gate2', 'gate3', 'absent'))
        for number, check in (3, check_circle), (2, check_pair):
            circle = Circle([laptop, *gates[:number], absent])
            circle.start()
            check(circle)
            circle.stop()


if __name__ == '__main__':
    main()
