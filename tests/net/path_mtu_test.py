#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A cable in the middle of the way takes less than Ethernet, and nobody says so: the routers' ICMP "too big" is filtered.

    laptop 10.0.1.2 ----- west ===== 1400 or 1280 ===== east ----- 10.0.2.2 gateway
           2001:db8:1::2                                           2001:db8:2::2
    100.64.0.1                                                     100.64.0.2
"""
import os
import socket
import time

from lab import Lab, Node, wait_until
from traffic import Stream, carry

UNDERLAYS = {'IPv4': ('10.0.2.2:7844', 28), 'IPv6': ('[2001:db8:2::2]:7844', 48)}  # and what its headers take with UDP's
INNER_MTU = 1400
OVERHEAD = 33  # of QUIC: docs/protocol.md
BULK = 4 << 20
GAP_MAX = 10.0


def draw(lab):
    laptop, west, east, gateway = lab.host('laptop'), lab.router('west'), lab.router('east'), lab.host('gateway')
    lab.link(laptop, 'eth0', '10.0.1.2/24 2001:db8:1::2/64', west, 'outer', '10.0.1.1/24 2001:db8:1::1/64')
    lab.link(west, 'middle', '10.0.3.1/24 2001:db8:3::1/64', east, 'middle', '10.0.3.2/24 2001:db8:3::2/64')
    lab.link(east, 'outer', '10.0.2.1/24 2001:db8:2::1/64', gateway, 'eth0', '10.0.2.2/24 2001:db8:2::2/64')
    for host, address in ((laptop, '10.0.1.1'), (west, '10.0.3.2'), (east, '10.0.3.1'), (gateway, '10.0.2.1')):
        host.route('default', address)
    for host, address in ((laptop, '2001:db8:1::1'), (west, '2001:db8:3::2'), (east, '2001:db8:3::1'),
                          (gateway, '2001:db8:2::1')):
        host.route('default', address)
    for router in (west, east):
        router.nft('''table inet silent {
            chain out {
                type filter hook output priority filter;
                icmp type destination-unreachable icmp code frag-needed drop
                icmpv6 type packet-too-big drop
            }
        }''')
    return laptop, west, east, gateway


def narrow(west, east, mtu):
    for router in (west, east):
        router.ip('link', 'set', 'middle', 'mtu', mtu)


def start(laptop, gateway, endpoint):
    laptop.configure(network={'tun_addr': ['100.64.0.1']}, peers=[
        gateway.as_peer(endpoints=[endpoint], addresses=['100.64.0.2'])])
    gateway.configure(network={'tun_addr': ['100.64.0.2']}, peers=[laptop.as_peer(addresses=['100.64.0.1'])])
    gateway.start()
    laptop.start()
    laptop.wait_connected(gateway)
    gateway.wait_connected(laptop)


def check_path_mtu(laptop, gateway, expected):
    def is_known():
        links = laptop.peer(gateway)['link'], gateway.peer(laptop)['link']
        return all(link and link['path_mtu'] == expected for link in links)
    wait_until(f'both sides know that {expected} bytes fit', is_known)


def ping(host, address, size, fragments):
    """One packet of so many bytes, with DF or without."""
    headers = 48 if ':' in address else 28
    return host.run('ping', '-n', '-c', 1, '-W', 2, '-M', fragments, '-s', size - headers, address, check=False)


def is_refused(host, address, size):
    said = ping(host, address, size, 'do')
    assert said.returncode != 0, said
    return 'essage too long' in said.stderr


def check_too_big_from(sender, address, path_mtu):
    """IPv6 is told so by our own address."""
    sender.host.ip('-6', 'route', 'flush', 'cache')  # what TCP has learnt
    said = ping(sender.host, address, path_mtu + 1, 'do')
    assert f'From {sender.overlay} icmp_seq=1 Packet too big: mtu={path_mtu}' in said.stdout, said


def check_pings(host, address, path_mtu):
    assert ping(host, address, path_mtu, 'do').returncode == 0
    # The first ones are answered by our daemon; then the host knows by itself.
    wait_until(f'{host.name} finds a packet of {path_mtu + 1} bytes too long',
               lambda: is_refused(host, address, path_mtu + 1))
    learnt = host.ip('route', 'get', address).stdout
    assert path_mtu == INNER_MTU or f' mtu {path_mtu} ' in learnt, learnt
    for size in (path_mtu + 1, 1400, 4000):
        if ':' in address:  # always cut by the sender; the one of the answer may have to learn
            wait_until(f'an answer of {size} bytes', lambda size=size: ping(host, address, size, 'want').returncode == 0)
        else:
            assert ping(host, address, size, 'dont').returncode == 0, size


def check_datagrams(sender, receiver, address, size):
    """UDP over IPv6 in packets of one size; each comes, and whole."""
    out, into = (host.socket(socket.AF_INET6, socket.SOCK_DGRAM) for host in (sender, receiver))
    with out, into:
        into.bind((address, 6000))
        for i in range(200):
            sent = i.to_bytes(4) + os.urandom(size - 48 - 4)
            out.sendto(sent, (address, 6000))
            assert into.recv(2000) == sent, i


def check_narrowing(laptop, gateway, west, east):
    """The way is changed under an open connection with full segments."""
    narrow(west, east, 1500)
    start(laptop, gateway, UNDERLAYS['IPv4'][0])
    check_path_mtu(laptop, gateway, 1400)
    with Stream(laptop.host, gateway.host, '100.64.0.2', size=10000) as stream:
        stream.wait_flow()
        since = time.monotonic()
        narrow(west, east, 1280)
        stream.wait_flow(deadline=20)
        gap = stream.longest_gap(since)
        check_path_mtu(laptop, gateway, 1280 - 28 - OVERHEAD)
    print(f'1500 to 1280 bytes under a TCP connection: {gap:.2f} s without data', flush=True)
    assert gap <= GAP_MAX, gap
    stop(laptop, gateway)


def stop(*nodes):
    for node in nodes:
        assert node.stop() == 0


def check(laptop, gateway, underlay, mtu):
    endpoint, headers = UNDERLAYS[underlay]
    path_mtu = min(INNER_MTU, mtu - headers - OVERHEAD)
    ipv6_mtu = max(1280, path_mtu)  # which is less than it should be on no path
    since = time.monotonic()
    start(laptop, gateway, endpoint)
    check_path_mtu(laptop, gateway, path_mtu)
    print(f'{underlay} with {mtu} bytes: path MTU {path_mtu} after {time.monotonic() - since:.2f} s', flush=True)
    for sender, receiver, address in ((laptop, gateway, '100.64.0.2'), (gateway, laptop, '100.64.0.1'),
                                      (laptop, gateway, gateway.overlay), (gateway, laptop, laptop.overlay)):
        carry(sender.host, receiver.host, address, BULK)
    check_pings(laptop.host, '100.64.0.2', path_mtu)
    check_pings(gateway.host, '100.64.0.1', path_mtu)
    if path_mtu < INNER_MTU:
        check_too_big_from(laptop, gateway.overlay, ipv6_mtu)
    check_pings(laptop.host, gateway.overlay, ipv6_mtu)
    check_pings(gateway.host, laptop.overlay, ipv6_mtu)
    check_datagrams(laptop.host, gateway.host, gateway.overlay, 1280)
    stop(laptop, gateway)


def main():
    with Lab() as lab:
        laptop_host, west, east, gateway_host = draw(lab)
        laptop, gateway = Node(laptop_host), Node(gateway_host)
        for underlay in UNDERLAYS:
            for mtu in (1500, 1400, 1280):
                narrow(west, east, mtu)
                check(laptop, gateway, underlay, mtu)
        check_narrowing(laptop, gateway, west, east)


if __name__ == '__main__':
    main()
