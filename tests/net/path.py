# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A path with delay, loss, late packets and a bottleneck, on a router between two hosts (tests/bench/path.c).

The kernel's own netem is not everywhere, and what it has of queues differs; a queue of netfilter is nearly always there.
"""
import re
import signal

from lab import Failed, find_quicether, wait_until
from pair import outside

OUTSIDE_NET = '10.0.0.0/24'
MEGABYTE = 1 << 20
BUFFERS = f'4096 {MEGABYTE} {128 * MEGABYTE}'  # for what is on a long and fast way


def plain_interface(host, interface):
    """Packets leave and arrive one by one, as on a long way; not in trains that no wire ever sees."""
    host.run('ethtool', '-K', interface, *(word for offload in ('tso', 'gso', 'gro', 'tx-udp-segmentation')
                                           for word in (offload, 'off')))


def send_to_queue(router, interface, number):
    """What it forwards from that interface: by nftables or, as some kernels lack that part of it, by iptables."""
    table = f'''table ip path{number} {{
        chain forward {{
            type filter hook forward priority filter;
            iifname "{interface}" queue num {number}
        }}
    }}'''
    if router.run('nft', '-f', '-', stdin=table, check=False).returncode:
        router.run('iptables-legacy', '-A', 'FORWARD', '-i', interface, '-j', 'NFQUEUE', '--queue-num', number)


class Direction:
    """What comes to the router by one interface. Options as path.c has them: delay=10000 (us), loss=10000 (of a million)."""

    def __init__(self, router, interface, number, **options):
        program = find_quicether().parents[2] / 'tests/bench/path'
        words = [f'{key}={round(value)}' for key, value in options.items()]
        self.process = router.spawn(f'path-{interface}', program, number, *words)
        self.process.wait_said('ready')
        send_to_queue(router, interface, number)

    def last_told(self):
        told = [line for line in self.process.said().splitlines() if line.startswith('arrived')]
        return {name: int(count) for name, count in re.findall(r'(\w+) (\d+)', told[-1])} if told else {}

    def counts(self):
        """arrived, passed, lost, dropped, late, unheld."""
        before = len(self.process.said())
        self.process.signal(signal.SIGUSR1)
        wait_until('path tells its counts', lambda: self.process.said()[before:].endswith('\n'))
        return self.last_told()


class Path:
    """Both ways of a router between two interfaces that are there already; the same options for both."""

    def __init__(self, router, interfaces, **options):
        self.router = router
        self.ways = [Direction(router, interface, number, **options) for number, interface in enumerate(interfaces, 1)]

    def check(self):
        """That nothing was lost but what was to be: the kernel's queues, and ours, were long enough."""
        for line in self.router.run('cat', '/proc/net/netfilter/nfnetlink_queue').stdout.splitlines():
            number, _, _, _, _, full, unread, *_ = map(int, line.split())
            if full or unread:
                raise Failed(f'queue {number}: {full} packets found no room, {unread} could not be told')
        if any(way.counts()['unheld'] for way in self.ways):
            raise Failed('a path held as many packets as it can')


def long_way(lab, left='left', right='right'):
    """Two hosts with the addresses that pair.cable() gives them, and a router that only passes on.

    left 10.0.0.1 ---------- router ---------- 10.0.0.2 right
    """
    hosts, router = (lab.host(left), lab.host(right)), lab.router('router')
    interfaces = [f'to-{host.name}' for host in hosts]
    for number, (host, interface) in enumerate(zip(hosts, interfaces), 1):
        gateway = f'192.0.2.{number}'
        lab.link(host, 'eth0', f'{outside(number)}/32', router, interface, f'{gateway}/32')
        host.ip('route', 'add', OUTSIDE_NET, 'via', gateway, 'dev', 'eth0', 'onlink', 'src', outside(number))
        router.ip('route', 'add', outside(number), 'dev', interface)
        plain_interface(host, 'eth0')
        plain_interface(router, interface)
        host.sysctl('net.ipv4.tcp_rmem', BUFFERS)
        host.sysctl('net.ipv4.tcp_wmem', BUFFERS)
    return hosts, router, interfaces
