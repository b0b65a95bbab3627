#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A person's laptop somewhere, and a machine at home that lets it reach the LAN, where nothing needs to be changed.

    laptop 10.0.9.2 --- internet --- 10.0.1.2 gate 192.168.1.3 --- 192.168.1.2 nas
    100.64.0.2                       100.64.0.1
    fd64::2                          fd64::1 fd00:1::3             fd00:1::2

The NAS has no route to the overlay: the gateway puts its own address in place of the laptop's.
"""
from lab import Lab, Node, wait_until
from traffic import carry

NAS, GATE = ('192.168.1.2', 'fd00:1::2'), ('192.168.1.3', 'fd00:1::3')
LAN = ['192.168.1.0/24', 'fd00:1::/64']
SIZE = 3_000_000


def draw(lab):
    internet, laptop, gate, nas = lab.router('internet'), lab.host('laptop'), lab.host('gate'), lab.host('nas')
    for number, host in (9, laptop), (1, gate):
        lab.link(host, 'eth0', f'10.0.{number}.2/24', internet, host.name, f'10.0.{number}.1/24')
        host.route('default', f'10.0.{number}.1')
    lab.link(gate, 'eth1', ' '.join(f'{address}/{24 if "." in address else 64}' for address in GATE),
             nas, 'eth0', ' '.join(f'{address}/{24 if "." in address else 64}' for address in NAS))
    return laptop, gate, nas


def configure_gate(gate, laptop, **keys):
    gate.configure([laptop.as_peer(addresses=['100.64.0.2', 'fd64::2'])], node={'role': 'gateway'},
                   network={'tun_addr': ['100.64.0.1', 'fd64::1'], 'advertise_subnets': LAN, **keys})


def source_seen(laptop, nas, address):
    with nas.accept_on(address, 5005) as listener, laptop.connect_to(address, 5005):
        accepted, peer = listener.accept()
        accepted.close()
        return peer[0]


def main():
    with Lab('remote') as lab:
        laptop_host, gate_host, nas = draw(lab)
        laptop, gate = Node(laptop_host), Node(gate_host)
        laptop.configure([gate.as_peer(addresses=['100.64.0.1', 'fd64::1'], subnets=LAN, endpoints=['10.0.1.2:7844'])],
                         network={'tun_addr': ['100.64.0.2', 'fd64::2']})
        configure_gate(gate, laptop, masquerade=LAN)
        for node in gate, laptop:
            node.start()
        laptop.wait_connected(gate)
        for address, translated in zip(NAS, GATE):
            wait_until(f'the laptop reaches {address}', lambda address=address: laptop_host.pings(address))
            assert source_seen(laptop_host, nas, address) == translated
            carry(laptop_host, nas, address, SIZE)

        configure_gate(gate, laptop)  # without masquerade, and so without a way back
        gate.run('reload', '--socket', gate.socket)
        assert not any(laptop_host.pings(address, timeout=1) for address in NAS)
        assert laptop_host.pings('100.64.0.1')


if __name__ == '__main__':
    main()
