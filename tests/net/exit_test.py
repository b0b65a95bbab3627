#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A default gateway: what no other route is for goes through a node, and reaches the Internet with that node's address.

    laptop 10.0.1.2 --- internet --- 10.0.2.2 gate 10.0.3.1 --- 10.0.3.2 server 203.0.113.9
    100.64.0.1                       100.64.0.2                                 2001:db8:9::9
    fd64::1                          fd64::2

The server knows no way to 100.64.0.0/16 or fd64::/16. The laptop's own routes say what goes into the tunnel: the overlay's default
route is never installed on the host.
"""
from lab import Lab, Node, wait_until
from traffic import carry

SERVER = '203.0.113.9', '2001:db8:9::9'
SIZE = 3_000_000


def draw(lab):
    internet, laptop, gate, server = lab.router('internet'), lab.host('laptop'), lab.host('gate'), lab.host('server')
    for number, host in (1, laptop), (2, gate):
        lab.link(host, 'eth0', f'10.0.{number}.2/24', internet, host.name, f'10.0.{number}.1/24')
        host.route('10.0.0.0/16', f'10.0.{number}.1')
    lab.link(gate, 'eth1', '10.0.3.1/24 2001:db8:3::1/64', server, 'eth0', '10.0.3.2/24 2001:db8:3::2/64')
    for version, address in zip((4, 6), SERVER):
        server.address('lo', f'{address}/{32 if version == 4 else 128}')
        gate.route(address, '10.0.3.2' if version == 4 else '2001:db8:3::2')
    return laptop, gate, server


def enter_tunnel(laptop):
    for address in SERVER:
        laptop.ip('-6' if ':' in address else '-4', 'route', 'add', address, 'dev', 'quicether0')


def source_seen(laptop, server, address):
    with server.accept_on(address, 5005) as listener, laptop.connect_to(address, 5005):
        accepted, peer = listener.accept()
        accepted.close()
        return peer[0]


def default_routes(node):
    return [route for route in node.call('routes')['routes'] if route['prefix'] in ('0.0.0.0/0', '::/0')]


def check_exit(laptop, server):
    for address, translated in zip(SERVER, ('10.0.3.1', '2001:db8:3::1')):
        wait_until(f'the laptop reaches {address}', lambda address=address: laptop.pings(address))
        assert source_seen(laptop, server, address) == translated
        carry(laptop, server, address, SIZE)


def main():
    with Lab('exit') as lab:
        laptop_host, gate_host, server = draw(lab)
        laptop, gate = Node(laptop_host), Node(gate_host)
        rules = gate_host.run('nft', 'list', 'ruleset').stdout
        laptop.configure([gate.as_peer(addresses=['100.64.0.2', 'fd64::2'], endpoints=['10.0.2.2:7844'], exit=True)],
                         network={'tun_addr': ['100.64.0.1', 'fd64::1']}, overlay={'default_gateway': 'gate'})
        gate.configure([laptop.as_peer(addresses=['100.64.0.1', 'fd64::1'])], node={'role': 'gateway'},
                       network={'tun_addr': ['100.64.0.2', 'fd64::2'], 'forward_subnets': ['0.0.0.0/0', '::/0'], 'masquerade': True})
        for node in gate, laptop:
            node.start()
        laptop.wait_connected(gate)
        assert [route['node'] for route in default_routes(laptop)] == ['gate', 'gate'], default_routes(laptop)
        default = laptop_host.ip('route', 'show', 'default').stdout + laptop_host.ip('-6', 'route', 'show', 'default').stdout
        assert 'quicether0' not in default, default
        enter_tunnel(laptop_host)
        check_exit(laptop_host, server)

        # Without the grant the same announcement counts for nothing.
        laptop.stop()
        laptop.configure([gate.as_peer(addresses=['100.64.0.2', 'fd64::2'], endpoints=['10.0.2.2:7844'])],
                         network={'tun_addr': ['100.64.0.1', 'fd64::1']})
        laptop.start()
        laptop.wait_connected(gate)
        enter_tunnel(laptop_host)
        wait_until('the default routes are refused', lambda: len(laptop.call('routes', '--rejected')['rejected']) == 2)
        assert not default_routes(laptop)
        assert not any(laptop_host.pings(address, timeout=1) for address in SERVER)

        gate.stop()
        assert gate_host.run('nft', 'list', 'ruleset').stdout == rules


if __name__ == '__main__':
    main()
