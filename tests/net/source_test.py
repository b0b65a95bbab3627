#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What a peer may send, and where to: the source is its own, the destination is here, and it is no multicast.

    left =============================== right          third
    10.0.0.1                          10.0.0.2          (away)
    100.64.0.1                      100.64.0.2      100.64.0.3
    fd64::1                            fd64::2         fd64::3
                                                192.168.3.0/24

Left knows both others. Right sends what it likes, and takes left for the way to everywhere, but left does not think so.
"""
import contextlib
import itertools
import socket
import struct

import pair
from lab import Lab, Node

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
ETHERTYPE = {4: 0x0800, 6: 0x86dd}
PORT = 5003
REPEATS = 5
NOT_ITS_OWN = ['100.64.0.77', '10.0.0.2', '192.168.50.1', '127.0.0.1', '224.0.0.1', '255.255.255.255',
               'fd64::77', '2001:db8::2', 'fd50::1', '::1', 'fe80::2', 'ff02::1']
OF_THIRD = [pair.inside(3, 4), pair.inside(3, 6), '192.168.3.3']
NOT_LOCAL = ['192.168.50.1', 'fd50::1']
NOT_UNICAST = ['224.0.0.251', '239.1.2.3', '255.255.255.255', 'ff02::fb', 'ff05::2', 'ff0e::101', 'fe80::1']


def checksum(data):
    total = sum(struct.unpack(f'>{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack('>H', total ^ 0xffff)


def version_of(address):
    return 6 if ':' in address else 4


def udp_packet(source, destination, payload):
    """With right checksums, so that nothing but its addresses can be wrong with it. The payload's length is even."""
    version = version_of(destination)
    ends = b''.join(socket.inet_pton(FAMILY[version], end) for end in (source, destination))
    length = 8 + len(payload)
    udp = struct.pack('>HHHH', PORT, PORT, length, 0) + payload
    udp = udp[:6] + checksum(ends + struct.pack('>HH', socket.IPPROTO_UDP, length) + udp) + payload
    if version == 6:
        return struct.pack('>IHBB', 6 << 28, length, socket.IPPROTO_UDP, 64) + ends + udp
    head = struct.pack('>BBHHHBB', 0x45, 0, 20 + length, 0, 0, 64, socket.IPPROTO_UDP)
    return head + checksum(head + b'\0\0' + ends) + ends + udp


class Wire:
    """What right puts into its TUN, and what of it comes out of left's."""

    def __init__(self, stack, left, right):
        self.left, self.right, self.numbers = left, right, itertools.count()
        self.into = stack.enter_context(right.host.socket(socket.AF_PACKET, socket.SOCK_DGRAM))
        self.out = stack.enter_context(left.host.socket(socket.AF_PACKET, socket.SOCK_DGRAM))
        self.out.bind((pair.TUN, 3))  # ETH_P_ALL

    def send(self, source, destination):
        """One packet; returns it."""
        packet = udp_packet(source, destination, struct.pack('>Q', next(self.numbers)))
        self.into.sendto(packet, (pair.TUN, ETHERTYPE[version_of(destination)]))
        return packet

    def receive(self):
        """The next packet that left's daemon writes."""
        while True:
            packet, (_, _, kind, *_) = self.out.recvfrom(65536)
            if kind != socket.PACKET_OUTGOING:
                return packet

    def passes(self, version):
        """A packet as it should be arrives, and nothing that was sent before it does."""
        packet = self.send(pair.inside(2, version), pair.inside(1, version))
        assert self.receive() == packet

    def refused(self, node, reason, source, destination):
        """Between good packets, which must not open the way to bad ones."""
        before = node.status()['counters']['drops'][reason]
        version = version_of(destination)
        for _ in range(REPEATS):
            self.passes(version)
            self.send(source, destination)
        self.passes(version)
        return node.status()['counters']['drops'][reason] - before


def check_sources(wire, third):
    left = wire.left
    strangers = NOT_ITS_OWN + OF_THIRD + [third.overlay, left.overlay, pair.inside(1, 4), pair.inside(1, 6)]
    for source in strangers:
        dropped = wire.refused(left, 'source', source, pair.inside(1, version_of(source)))
        assert dropped == REPEATS, (source, dropped)


def check_destinations(wire):
    for destination in NOT_LOCAL:
        dropped = wire.refused(wire.left, 'not_local', pair.inside(2, version_of(destination)), destination)
        assert dropped == REPEATS, (destination, dropped)
    dropped = wire.refused(wire.left, 'not_forwarded', pair.inside(2, 4), '192.168.3.3')
    assert dropped == REPEATS, dropped


def check_multicast(wire):
    """Right's own kernel sends multicast as well, at times of its choice."""
    for destination in NOT_UNICAST:
        dropped = wire.refused(wire.right, 'not_unicast', pair.inside(2, version_of(destination)), destination)
        assert dropped >= REPEATS, (destination, dropped)


def check_own(wire):
    """Both nodes may use their overlay addresses, which nobody has configured."""
    packet = wire.send(wire.right.overlay, wire.left.overlay)
    assert wire.receive() == packet


def main():
    with Lab() as lab, contextlib.ExitStack() as stack:
        left, right = (Node(host) for host in pair.cable(lab))
        third = Node(lab.host('third'))
        left.configure(network=pair.own(1),
                       peers=[pair.row(right, 2, dial=pair.outside(2)), pair.row(third, 3, subnets=['192.168.3.0/24'])])
        right.configure(network=pair.own(2), peers=[pair.row(left, 1)], overlay={'default_gateway': left.name})
        pair.start_pair(left, right)
        wire = Wire(stack, left, right)
        check_own(wire)
        check_sources(wire, third)
        check_destinations(wire)
        check_multicast(wire)
        assert left.peer(right)['state'] == 'connected'


if __name__ == '__main__':
    main()
