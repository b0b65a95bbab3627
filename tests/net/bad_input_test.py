#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Forged ICMP about a link, fragments of its datagrams that overlap, and datagrams larger than any of ours.

    friend 10.0.1.2 ------ router ------ 10.0.3.2 victim
    100.64.0.2               |                    100.64.0.1
                         10.0.2.2
                         liar

The liar sends under the addresses of the friend and of a router that may be on the way. What it says is about the victim's own
packets, with all that stands in their headers right.
"""
import random
import socket
import struct

import pair
from lab import Lab, Node, wait_until
from traffic import Stream

FRIEND, LIAR, VICTIM, ROUTER = '10.0.1.2', '10.0.2.2', '10.0.3.2', '192.0.2.1'
REPEATS = 50


def checksum(data):
    total = sum(struct.unpack(f'>{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def ipv4(source, destination, protocol, payload, identification=0, field=0):
    """field: flags and offset of a fragment."""
    head = struct.pack('>BBHHHBBH', 0x45, 0, 20 + len(payload), identification, field, 64, protocol, 0)
    return head + socket.inet_aton(source) + socket.inet_aton(destination) + payload


def udp(payload, length=None):
    return struct.pack('>HHHH', Node.PORT, Node.PORT, length or 8 + len(payload), 0) + payload


class Liar:
    def __init__(self, host):
        with host.inside():
            self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def send(self, packet):
        self.raw.sendto(packet, (VICTIM, 0))

    def icmp(self, source, kind, code, rest, about):
        body = struct.pack('>BBHI', kind, code, 0, rest) + about + bytes(len(about) % 2)
        self.send(ipv4(source, VICTIM, socket.IPPROTO_ICMP, body[:2] + struct.pack('>H', checksum(body)) + body[4:]))


def check_is_well(victim, friend):
    """They have never been without a link."""
    assert victim.peer(friend)['state'] == 'connected'
    assert not any('peer_down' in node.daemon.said() for node in (victim, friend))


# -- ICMP --------------------------------------------------------------------------------------------------------------

# Type, code, and the four bytes behind the checksum.
LIES = (
    *((3, code, 0) for code in range(16) if code != 4),  # unreachable, for every reason
    *((3, 4, mtu) for mtu in (0, 68, 576, 1199, 1280, 65535)),  # too big
    (4, 0, 0),  # source quench
    (5, 1, int.from_bytes(socket.inet_aton(LIAR))),  # another way
    (11, 0, 0), (11, 1, 0), (12, 0, 0),
)


def icmp_messages(host):
    """How many it has received."""
    names, numbers = (line.split() for line in host.run('cat', '/proc/net/snmp').stdout.splitlines() if line.startswith('Icmp:'))
    return int(numbers[names.index('InMsgs')])


def check_icmp(victim, friend, liar, stream):
    """The link stays, on its path and with its MTU, whatever is said of it and by whom."""
    def state():
        link = victim.peer(friend)['link']
        return link['remote'], link['path_mtu']
    before = state()
    about = ipv4(VICTIM, FRIEND, socket.IPPROTO_UDP, udp(random.randbytes(520), 1300))
    for _ in range(REPEATS):
        for source in ROUTER, FRIEND:
            for kind, code, rest in LIES:
                liar.icmp(source, kind, code, rest, about)
    wait_until('all have come', lambda: icmp_messages(victim.host) >= 2 * REPEATS * len(LIES))
    assert state() == before, (state(), before)
    for _ in range(3):
        stream.wait_flow()
    assert friend.host.pings(pair.inside(1), '-s', 1372, '-M', 'do') and victim.host.pings(pair.inside(2), '-s', 1372, '-M', 'do')
    assert state() == before, (state(), before)
    check_is_well(victim, friend)
    print(f'{2 * REPEATS * len(LIES)} forged ICMP messages: still {before}')


# -- fragments and sizes -----------------------------------------------------------------------------------------------


def fragments(datagram):
    """Of a datagram, overlapping: the second begins within the first, with other bytes, and a third covers both."""
    identification = random.randrange(1 << 16)
    parts = ((0, datagram[:800], True), (400, random.randbytes(800), True), (0, random.randbytes(1200), True),
             (1200, datagram[1200:], False))
    return [ipv4(FRIEND, VICTIM, socket.IPPROTO_UDP, part, identification, at // 8 | more << 13) for at, part, more in parts]


def oversized():
    """The largest datagram there is, in order."""
    datagram = udp(b'\x40' + random.randbytes(65506))
    identification = random.randrange(1 << 16)
    return [ipv4(FRIEND, VICTIM, socket.IPPROTO_UDP, datagram[at:at + 1480], identification,
                 at // 8 | (at + 1480 < len(datagram)) << 13) for at in range(0, len(datagram), 1480)]


def check_fragments(victim, friend, liar, stream):
    def counters():
        return victim.status()['counters']
    before = counters()
    for _ in range(REPEATS):
        for packet in fragments(udp(random.randbytes(1600))) + oversized():
            liar.send(packet)
    wait_until('the large ones have come and were refused', lambda:
               counters()['drops']['unknown_connection'] > before['drops']['unknown_connection'])
    stream.wait_flow()
    check_is_well(victim, friend)


# -- all of it ---------------------------------------------------------------------------------------------------------


def main():
    seed = random.randrange(1 << 32)
    random.seed(seed)
    print(f'seed {seed}')
    with Lab() as lab:
        hosts = [lab.host(name) for name in ('friend', 'liar', 'victim')]
        router = lab.router('router')
        for number, (host, address) in enumerate(zip(hosts, (FRIEND, LIAR, VICTIM)), 1):
            lab.link(host, 'eth0', f'{address}/24', router, f'to{number}', f'10.0.{number}.1/24')
            host.route('default', f'10.0.{number}.1')
        friend, liar, victim = Node(hosts[0]), Liar(hosts[1]), Node(hosts[2])
        victim.configure(network=pair.own(1), peers=[pair.row(friend, 2)])
        friend.configure(network=pair.own(2), peers=[pair.row(victim, 1, dial=VICTIM)])
        pair.start_pair(victim, friend)
        wait_until('the path MTU is known', lambda: victim.peer(friend)['link']['path_mtu'] >= 1400)
        with Stream(friend.host, victim.host, pair.inside(1)) as stream:
            stream.wait_flow()
            check_icmp(victim, friend, liar, stream)
            check_fragments(victim, friend, liar, stream)


if __name__ == '__main__':
    main()
