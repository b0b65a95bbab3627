#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Whatever the kernel refuses of segmentation, checksums and trains, all that is sent arrives, and status says what goes slower.

    left =============================== right
    a kernel that refuses (refuse.c)     one that does not, but for the last rounds
"""
import os
import socket
import struct

from lab import Failed, Lab, Node, find_quicether
from pair import cable, inside, outside, own, row, start_pair
from traffic import carry

REFUSE = find_quicether().resolve().parents[2] / 'tests/net/refuse.so'
SOL_UDP, UDP_SEGMENT = 17, 103  # Python does not name them
DESTINATION_OPTIONS = bytes([0, 7, 0x1e, 60]) + bytes(60)  # 64 bytes: an option of RFC 4727 to be ignored
BULK = 3 << 20
SIZES = [1, 2, 63, 64, 500, 1000, 1001, 1300, 1352]  # of UDP datagrams; 1352 and 48 of headers are the MTU
TRAIN, SEGMENT = 11, 1000
TRIES = 20

TUN = ['tun_header_off', 'tun_csum_off', 'tun_tso_off', 'tun_uso_off']
UDP = ['udp_segment_off', 'udp_gro_off']

# What is refused, the fallbacks that are on because of it, and whether the other side's kernel refuses the same.
ROUNDS = [
    ('', [], False),
    ('uso', TUN[3:], False),
    ('tso,uso', TUN[2:], False),
    ('csum', TUN[1:], False),
    ('header', TUN, False),
    ('segment', UDP[:1], False),
    ('segment_eio', UDP[:1], False),
    ('segment_einval', UDP[:1], False),
    ('gro', UDP[1:], False),
    ('uso,segment_eio,gro', TUN[3:] + UDP, True),
    ('header,segment,gro', TUN + UDP, True),
]


class Refused(Node):
    """A node on a host whose kernel refuses something."""

    refused = ''

    def words(self, *words):
        if words[0] != 'start' or not self.refused:
            return super().words(*words)
        return ['env', f'LD_PRELOAD={REFUSE}', f'QE_REFUSE={self.refused}', 'ASAN_OPTIONS=verify_asan_link_order=0',
                *super().words(*words)]


def add_options(sender):
    """To all IPv6 packets of this socket."""
    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, DESTINATION_OPTIONS)


def receive(receiver, mark, n):
    """The datagrams with this mark that come, up to n of them."""
    got = []
    try:
        while len(got) < n:
            datagram = receiver.recv(1 << 16)
            if datagram[:4] == mark:
                got.append(datagram)
    except TimeoutError:
        pass
    return got


def check_datagrams(sender, receiver, sizes, train):
    """All of them come, as they were sent and in order; UDP may lose some, so a few times is tried."""
    for mark in range(TRIES):
        head = struct.pack('>I', mark)
        sent = [(head + os.urandom(size))[:max(size, 4)] for size in sizes]
        if train:
            sender.setsockopt(SOL_UDP, UDP_SEGMENT, SEGMENT)
            sender.send(b''.join(sent))
            sender.setsockopt(SOL_UDP, UDP_SEGMENT, 0)
        else:
            for datagram in sent:
                sender.send(datagram)
        got = receive(receiver, head, len(sent))
        if got == sent:
            return
        if not set(got) <= set(sent) or [datagram for datagram in sent if datagram in set(got)] != got:
            raise Failed(f'UDP: {[len(datagram) for datagram in got]} came, not all as it was sent')
    raise Failed(f'UDP: datagrams were lost in each of {TRIES} tries')


def check_udp(sender, receiver, address):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with receiver.socket(family, socket.SOCK_DGRAM, timeout=1) as listener, \
            sender.socket(family, socket.SOCK_DGRAM) as talker:
        listener.bind((address, 5002))
        talker.connect((address, 5002))
        check_datagrams(talker, listener, SIZES, False)
        check_datagrams(talker, listener, [700] * 20 + [90] + [700] * 5, False)
        check_datagrams(talker, listener, [SEGMENT] * (TRAIN - 1) + [SEGMENT // 3], True)


def check_fallbacks(node, expected):
    """After the traffic: trains are refused only once there are some."""
    fallbacks = node.status()['counters']['fallbacks']
    on = [name for name in TUN + UDP if fallbacks[name]]
    if on != expected:
        raise Failed(f'{node.name}: fallbacks {on}, not {expected}: {fallbacks}')
    if bool(fallbacks['tun_writes_split']) != any(name in expected for name in TUN):
        raise Failed(f'{node.name}: {fallbacks["tun_writes_split"]} writes split')


def check_round(left, right, refused, expected, both):
    left.refused, right.refused = refused, refused if both else ''
    start_pair(left, right)
    for version in 4, 6:
        for sender, receiver, number in ((left, right, 2), (right, left, 1)):
            carry(sender.host, receiver.host, inside(number, version), BULK)
            check_udp(sender.host, receiver.host, inside(number, version))
    carry(left.host, right.host, inside(2, 6), BULK, add_options)
    carry(right.host, left.host, inside(1, 6), BULK, add_options)
    check_fallbacks(left, expected)
    check_fallbacks(right, expected if both else [])
    for node in (left, right):
        counters = node.status()['counters']
        if counters['tun_packets_lost'] or counters['tun_read_errors'] or counters['udp_failed']:
            raise Failed(f'{node.name}: something was lost: {counters}')
        node.stop()


def main():
    with Lab('qe-offload') as lab:
        left, right = map(Refused, cable(lab))
        left.configure(network=own(1), peers=[row(right, 2, dial=outside(2))])
        right.configure(network=own(2), peers=[row(left, 1)])
        for refused, expected, both in ROUNDS:
            try:
                check_round(left, right, refused, expected, both)
            except Failed as failure:
                raise Failed(f'refused: {refused or "nothing"}{" on both" if both else ""}: {failure}') from None


if __name__ == '__main__':
    main()
