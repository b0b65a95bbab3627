#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A router that marks packets instead of dropping them (ECN), and what of an IP header is whose: inside and outside.

    laptop 10.0.1.2 -------- router, marks -------- 10.0.2.2 gateway
           2001:db8:1::2                            2001:db8:2::2
    100.64.0.1, fd00:64::1                          100.64.0.2, fd00:64::2
"""
import socket

from lab import Lab, Node, wait_until
from traffic import carry

UNDERLAYS = {'IPv4': '10.0.2.2:7844', 'IPv6': '[2001:db8:2::2]:7844'}
INSIDE = {4: '100.64.0.2', 6: 'fd00:64::2'}
DSCP_OUTSIDE, DSCP_INSIDE = 10, 46
NOT_ECT, CE = 0, 3
HOP_LIMIT = 37
BULK = 4 << 20
IP_RECVTTL, IPV6_HOPLIMIT, IPV6_UNICAST_HOPS, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IPV6_TCLASS = 12, 52, 16, 51, 66, 67


def draw(lab):
    laptop, router, gateway = lab.host('laptop'), lab.router('router'), lab.host('gateway')
    lab.link(laptop, 'eth0', '10.0.1.2/24 2001:db8:1::2/64', router, 'west', '10.0.1.1/24 2001:db8:1::1/64')
    lab.link(router, 'east', '10.0.2.1/24 2001:db8:2::1/64', gateway, 'eth0', '10.0.2.2/24 2001:db8:2::2/64')
    for host, number in ((laptop, 1), (gateway, 2)):
        host.route('default', f'10.0.{number}.1')
        host.route('default', f'2001:db8:{number}::1')
        host.sysctl('net.ipv4.tcp_ecn', 1)
    return laptop, router, gateway


def remark(router, *rules):
    """What the router does to packets to the gateway."""
    router.nft('table inet marks\ndelete table inet marks')
    if rules:
        lines = ''.join(f'oifname "east" {rule}\n' for rule in rules)
        router.nft(f'table inet marks {{ chain forward {{ type filter hook forward priority filter\n{lines}}}\n}}')


def capable():
    """Rules that mark what says that it knows ECN, as a router does."""
    return 'ip ecn != not-ect ip ecn set ce', 'ip6 ecn != not-ect ip6 ecn set ce'


class Probe:
    """UDP through the tunnel with chosen header fields, and what of them arrives."""

    def __init__(self, sender, receiver, version):
        self.version = version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self.out, self.into = (host.socket(family, socket.SOCK_DGRAM) for host in (sender, receiver))
        self.into.bind((INSIDE[version], 6000))
        if version == 4:
            self.into.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
            self.into.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            self.out.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOP_LIMIT)
        else:
            self.into.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
            self.into.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
            self.out.setsockopt(socket.IPPROTO_IPV6, IPV6_UNICAST_HOPS, HOP_LIMIT)

    def send(self, ecn):
        level, option = (socket.IPPROTO_IP, socket.IP_TOS) if self.version == 4 else (socket.IPPROTO_IPV6, IPV6_TCLASS)
        self.out.setsockopt(level, option, DSCP_INSIDE << 2 | ecn)
        self.out.sendto(bytes(600 + ecn), (INSIDE[self.version], 6000))

    def receive(self):
        """(DSCP, ECN, hop limit) of the next one."""
        fields = {}
        for level, kind, data in self.into.recvmsg(2000, 1000)[1]:
            fields[level, kind] = int.from_bytes(data, 'little')
        if self.version == 4:
            traffic_class, hops = fields[socket.IPPROTO_IP, socket.IP_TOS], fields[socket.IPPROTO_IP, socket.IP_TTL]
        else:
            traffic_class, hops = fields[socket.IPPROTO_IPV6, IPV6_TCLASS], fields[socket.IPPROTO_IPV6, IPV6_HOPLIMIT]
        return traffic_class >> 2, traffic_class & 3, hops

    def close(self):
        self.out.close()
        self.into.close()


def check_inside(probe, expected):
    """expected: what becomes of each ECN field."""
    for ecn, result in expected.items():
        probe.send(ecn)
        found = probe.receive()
        assert found == (DSCP_INSIDE, result, HOP_LIMIT), (ecn, found)


def check_drop(probe, gateway):
    def drops():
        return gateway.status()['counters']['drops']['congestion']
    before = drops()
    probe.send(NOT_ECT)
    wait_until('the gateway drops what must not be marked', lambda: drops() == before + 1)


def outside(packet):
    """Traffic class and flow label of a captured packet."""
    first = int.from_bytes(packet.data[14:18])
    return (first >> 16 & 0xff, None) if first >> 28 == 4 else (first >> 20 & 0xff, first & 0xfffff)


def check_outside(probe, laptop):
    """The ECN field is the packet's, the DSCP is not; all else is Not-ECT; one flow label."""
    capture = laptop.host.capture('eth0', 'udp', 'and', 'src', 'port', Node.PORT)
    check_inside(probe, {ecn: ecn for ecn in range(4)})
    packets = capture.stop()
    fields = [outside(packet) for packet in packets]
    assert {traffic_class >> 2 for traffic_class, _ in fields} == {DSCP_OUTSIDE}, fields
    for ecn in range(1, 4):
        carriers = [packet for packet in packets if len(packet.payload) > 600 + ecn]
        assert [outside(packet)[0] & 3 for packet in carriers].count(ecn) == 1, fields
    assert sum(traffic_class & 3 != NOT_ECT for traffic_class, _ in fields) == 3, fields
    labels = {label for _, label in fields}
    assert len(labels) == 1 and labels != {0}, labels


def ce_packets(host):
    """What a host's IP has received with CE."""
    names, values = [line.split() for line in host.run('cat', '/proc/net/netstat').stdout.splitlines()
                     if line.startswith('IpExt:')]
    return int(values[names.index('InCEPkts')])


def check_tcp(laptop, gateway):
    """A transfer between hosts that know ECN is slowed down by marks, and loses nothing."""
    before = ce_packets(gateway)
    carry(laptop, gateway, INSIDE[4], BULK)
    marked = ce_packets(gateway) - before
    assert marked > 0
    print(f'TCP with ECN through a router that marks one in twenty: {marked} packets arrived with CE', flush=True)


def start(laptop, gateway, endpoint):
    network = {'dscp': DSCP_OUTSIDE}
    laptop.configure(network={'tun_addr': ['100.64.0.1', 'fd00:64::1'], **network}, peers=[
        gateway.as_peer(endpoints=[endpoint], addresses=list(INSIDE.values()))])
    gateway.configure(network={'tun_addr': list(INSIDE.values()), **network}, peers=[
        laptop.as_peer(addresses=['100.64.0.1', 'fd00:64::1'])])
    gateway.start()
    laptop.start()
    laptop.wait_connected(gateway)
    gateway.wait_connected(laptop)


def check(laptop, router, gateway, endpoint):
    start(laptop, gateway, endpoint)
    for version in INSIDE:
        probe = Probe(laptop.host, gateway.host, version)
        check_outside(probe, laptop)
        remark(router, *capable())
        check_inside(probe, {NOT_ECT: NOT_ECT, 1: CE, 2: CE, CE: CE})
        remark(router, 'ip ecn set ce', 'ip6 ecn set ce')
        check_drop(probe, gateway)
        check_inside(probe, {1: CE, 2: CE, CE: CE})
        remark(router)
        probe.close()
    remark(router, *(f'numgen inc mod 20 == 0 {rule}' for rule in capable()))
    check_tcp(laptop.host, gateway.host)
    remark(router)
    for node in (laptop, gateway):
        assert node.stop() == 0


def main():
    with Lab() as lab:
        laptop, router, gateway = draw(lab)
        nodes = Node(laptop), Node(gateway)
        for endpoint in UNDERLAYS.values():
            check(nodes[0], router, nodes[1], endpoint)


if __name__ == '__main__':
    main()
