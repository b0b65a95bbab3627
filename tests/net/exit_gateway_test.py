#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""An exit gateway: two nodes reach the Internet through it, and nothing of what it stands beside.

    alice 10.0.1.2 --- internet --- 10.0.3.2 gate 192.168.7.1, 198.51.100.1 --- printer 192.168.7.9, 198.51.100.9, 169.254.169.254
    bob   10.0.2.2 ------+   |                    fd07::1, 2001:db8:7::1                fd07::9, 2001:db8:7::9
                             +--- server 203.0.113.9, 2001:db8:9::9, by a narrower cable

alice is 100.64.0.1, gate 100.64.0.2, bob 100.64.0.3 inside. Printer and server know the way to 100.64.0.0/16, and are not asked.
"""
import contextlib
import errno
import select
import socket
import time

import host_state
from lab import DEADLINE, Lab, Node, wait_until
from pair import TUN, inside, own, row
from traffic import carry

SERVER = '203.0.113.9', '2001:db8:9::9'
GATE = '10.0.3.2', '2001:db8:3::2'
PRINTER = '192.168.7.9', 'fd07::9'
CLOSED = (*PRINTER, '198.51.100.9', '2001:db8:7::9', '192.168.7.1', 'fd07::1', '198.51.100.1', GATE[1], '10.0.3.1')
METADATA = '169.254.169.254'  # which the overlay does not even carry
PORT, SIZE = 5005, 1_000_000
FOLLOWED = 4096  # connections of one member


def draw(lab):
    internet = lab.router('internet')
    alice, bob, gate, server, printer = map(lab.host, ('alice', 'bob', 'gate', 'server', 'printer'))
    for number, host in (1, alice), (2, bob), (3, gate):
        lab.link(host, 'eth0', f'10.0.{number}.2/24 2001:db8:{number}::2/64', internet, host.name, f'10.0.{number}.1/24 2001:db8:{number}::1/64')
        for router in f'10.0.{number}.1', f'2001:db8:{number}::1':
            host.route('default', router)
    lab.link(server, 'eth0', f'{SERVER[0]}/24 {SERVER[1]}/64', internet, 'server', '203.0.113.1/24 2001:db8:9::1/64', mtu=1300)
    lab.link(gate, 'eth1', '192.168.7.1/24 198.51.100.1/24 fd07::1/64 2001:db8:7::1/64',
             printer, 'eth0', '192.168.7.9/24 198.51.100.9/24 fd07::9/64 2001:db8:7::9/64 169.254.169.254/16')
    gate.ip('route', 'add', '169.254.169.254', 'dev', 'eth1')
    for host, ways in (server, ('203.0.113.1', '2001:db8:9::1')), (printer, ('192.168.7.1', 'fd07::1')):
        for way in ways:
            host.route('default', way)
    internet.route('100.64.0.0/16', GATE[0])
    internet.route('fd64::/64', GATE[1])
    return alice, bob, gate, server, printer


def enter_tunnel(host, *addresses):
    for address in addresses:
        host.ip('-6' if ':' in address else '-4', 'route', 'replace', address, 'dev', TUN)


def bound_connection(host, source, address, port):
    made = host.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((source, port))
    made.connect((address, PORT))
    return made


def check_two(alice, bob, server):
    """The same ports and the same server at the same time: each gets its own answers, and the server sees the gateway."""
    for version, address, translated in (4, SERVER[0], GATE[0]), (6, SERVER[1], GATE[1]):
        with server.accept_on(address, PORT) as listener:
            ends = []
            for number, host in (1, alice), (3, bob):
                near = bound_connection(host, inside(number, version), address, 40000)
                far, peer = listener.accept()
                far.settimeout(DEADLINE)
                assert peer[0] == translated, peer
                ends.append((near, far, peer))
            assert ends[0][2] != ends[1][2]
            for near, far, peer in ends:
                far.send(repr(peer).encode())
            for near, far, peer in ends:
                assert near.recv(100) == repr(peer).encode()
                near.close()
                far.close()


def is_refused(host, address):
    """At once, and by the gateway."""
    with host.socket(socket.AF_INET6 if ':' in address else socket.AF_INET) as made:
        return made.connect_ex((address, PORT)) == errno.ECONNREFUSED


def check_closed(host, gate, printer):
    with contextlib.ExitStack() as stack:
        listeners = []
        for at in gate, printer:
            for outside in '0.0.0.0', '::':
                made = at.socket(socket.AF_INET6 if outside == '::' else socket.AF_INET)
                stack.enter_context(made)
                if outside == '::':
                    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                made.bind((outside, PORT))
                made.listen()
                listeners.append(made)
        for address in CLOSED:
            assert is_refused(host, address), address
        for address in *CLOSED, METADATA:
            assert not host.pings(address, timeout=1), address
        with host.socket(socket.AF_INET, timeout=1) as made:
            assert made.connect_ex((METADATA, PORT)) == errno.EAGAIN
        assert not select.select(listeners, [], [], 0)[0]


def check_inward(alice, server, printer):
    """Nobody outside begins anything with a peer."""
    for version in 4, 6:
        with alice.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind((inside(1, version), PORT))
            for host in server, printer:
                with host.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.sendto(b'hello', (inside(1, version), PORT))
                assert not host.pings(inside(1, version), timeout=1)
            assert not select.select([receiver], [], [], 0)[0]


def check_new_network(alice, gate, printer):
    """A network that comes later is closed, too; and open like any other once it is gone."""
    gate.address('eth1', '198.51.200.1/24')
    printer.address('eth0', '198.51.200.9/24')
    enter_tunnel(alice, '198.51.200.9')
    with printer.accept_on('198.51.200.9', PORT):
        wait_until('the new network is closed', lambda: is_refused(alice, '198.51.200.9'))
    gate.ip('address', 'delete', '198.51.200.1/24', 'dev', 'eth1')


def check_named(alice_host, gate, gate_host, printer, sections):
    """What is named is open, without translation; the rest stays closed."""
    sections['network']['forward_subnets'] = ['192.168.7.0/24', 'fd07::/64']
    gate.configure(gate.peers_of_test, **sections)
    gate.run('reload', '--socket', gate.socket)
    for version, address in (4, PRINTER[0]), (6, PRINTER[1]):
        wait_until(f'{address} is open', lambda address=address: alice_host.pings(address, timeout=1))
        with printer.accept_on(address, PORT) as listener, alice_host.connect_to(address, PORT):
            accepted, peer = listener.accept()
            accepted.close()
            assert peer[0] == inside(1, version), peer
    assert all(is_refused(alice_host, address) for address in ('198.51.100.9', '2001:db8:7::9', GATE[1]))
    # One that is granted may come in.
    wait_until('the printer reaches alice', lambda: printer.pings(inside(1)))


def count_followed(gate):
    return int(gate.run('cat', '/proc/sys/net/netfilter/nf_conntrack_count').stdout)


def flood(host):
    """In a pace that the tunnel can bear."""
    with host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for port in range(1, FOLLOWED + 1000):
            sender.sendto(b'hello', (SERVER[0], port))
            if port % 100 == 0:
                time.sleep(0.01)


def check_bounded(bob, alice, gate):
    """One member who begins without end has a part of the connections that the gateway can follow, and no more."""
    def is_used_up():
        flood(bob)
        return count_followed(gate) >= FOLLOWED

    wait_until('a part is used up', is_used_up)
    flood(bob)
    assert count_followed(gate) < FOLLOWED + 200, count_followed(gate)
    assert not bob.pings(SERVER[0], timeout=1)
    assert alice.pings(SERVER[0])


def check_cannot(gate, gate_host, before):
    """A host that cannot close what must be closed is no exit, and nothing is changed."""
    gate.configure(node={'role': 'gateway'}, network=own(2, exit=True, tun_name='tun+1'))
    daemon = gate.start(ready=False)
    assert daemon.wait() == 1 and 'no table can be named' in daemon.said(), daemon.said()
    host_state.check(gate_host, before)


def main():
    with Lab('exit_gateway') as lab:
        alice_host, bob_host, gate_host, server, printer = draw(lab)
        alice, bob, gate = map(Node, (alice_host, bob_host, gate_host))
        before = host_state.read(gate_host)
        check_cannot(gate, gate_host, before)
        for number, node in (1, alice), (3, bob):
            node.configure([row(gate, 2, GATE[0], exit=True, gateway_subnets=['192.168.7.0/24', 'fd07::/64'])], network=own(number))
        sections = {'node': {'role': 'gateway'}, 'network': own(2, exit=True)}
        gate.peers_of_test = [row(alice, 1), row(bob, 3)]
        gate.configure(gate.peers_of_test, **{name: dict(keys) for name, keys in sections.items()})
        for node in gate, alice, bob:
            node.start()
        for node, host in (alice, alice_host), (bob, bob_host):
            node.wait_connected(gate)
            enter_tunnel(host, *SERVER, *CLOSED, METADATA)
        for version, address in zip((4, 6), SERVER):
            for host in alice_host, bob_host:
                wait_until(f'the server is reached at {address}', lambda host=host, address=address: host.pings(address))
            assert alice_host.pings(inside(2, version))
            carry(alice_host, server, address, SIZE)
        check_two(alice_host, bob_host, server)
        check_closed(bob_host, gate_host, printer)
        check_inward(alice_host, server, printer)
        check_bounded(bob_host, alice_host, gate_host)
        check_new_network(alice_host, gate_host, printer)
        check_named(alice_host, gate, gate_host, printer, sections)
        gate.stop()
        host_state.check(gate_host, before)


if __name__ == '__main__':
    main()
