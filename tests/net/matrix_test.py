#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What is sent is what arrives: TCP, UDP and ICMP, IPv4 and IPv6 inside, over IPv4 and IPv6 outside.

                     outside: IPv4, IPv6,                     home
    left =========== IPv4 with an MTU of 1350 =========== right ------ nas
    10.0.0.1                                10.0.0.2   192.168.7.1    192.168.7.9
    2001:db8::1                          2001:db8::2   2001:db8:7::1  2001:db8:7::9
    100.64.0.1                            100.64.0.2
    fd64::1                                  fd64::2

Over each outside everything is done with IPv4 and with IPv6, between left and right and between left and the NAS, for
which right forwards; and with and without segmentation offload, that is, with super-packets and without.
"""
import contextlib
import hashlib
import random
import re
import socket
import threading
import time

import pair
from lab import Lab, Node, wait_until

MTU = 1400
HEADERS = {4: 28, 6: 48}  # of IP and UDP, or IP and ICMP
NAS = {4: '192.168.7.9', 6: '2001:db8:7::9'}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
STREAM = 20 << 20
# All fragments of a datagram must fit the TUN's short queue. Those for an MTU of 1500 become two each on the way.
UDP_MAX, UDP_FORWARDED_MAX, UDP_NARROW_MAX = 65507, 30000, 20000
UDP_SEGMENT = 103
IPV6_MTU_DISCOVER, IP_MTU_DISCOVER, PMTUDISC_DONT = 23, 10, 0
TOO_BIG = re.compile(r'(?:Frag needed and DF set \(mtu = |Packet too big: mtu=)(\d+)')
NEVER = ('tun_malformed', 'no_route', 'udp_malformed', 'datagram_malformed', 'datagram_context', 'source', 'not_local',
         'control_malformed', 'no_memory')  # reasons for which nothing may be dropped here
OFFLOADS = ('tso', 'gso', 'tx-udp-segmentation')


class Background(threading.Thread):
    """A function in a thread; result() ends it and raises what it raised."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self.function, self.arguments, self.returned, self.raised = function, arguments, None, None
        self.start()

    def run(self):
        try:
            self.returned = self.function(*self.arguments)
        except Exception as error:
            self.raised = error

    def result(self):
        self.join()
        if self.raised:
            raise self.raised
        return self.returned


# -- TCP ---------------------------------------------------------------------------------------------------------------


def send_stream(connection, piece, total):
    """Sends a random piece again and again, each time from another place on; returns the digest."""
    digest = hashlib.sha256()
    for number in range(total // len(piece)):
        data = piece[number:] + piece[:number]
        connection.sendall(data)
        digest.update(data)
    connection.shutdown(socket.SHUT_WR)
    return digest.digest()


def receive_stream(connection):
    digest, buffer = hashlib.sha256(), bytearray(1 << 20)
    while size := connection.recv_into(buffer):
        digest.update(memoryview(buffer)[:size])
    return digest.digest()


def check_tcp(client, server, address, total=STREAM):
    """Both directions at once."""
    piece = random.randbytes(1 << 20)
    with server.accept_on(address, 5001) as listener, client.connect_to(address, 5001) as here:
        there, _ = listener.accept()
        with there:
            there.settimeout(10)
            sent = [Background(send_stream, end, piece, total) for end in (here, there)]
            received = [Background(receive_stream, end) for end in (there, here)]
            assert [end.result() for end in sent] == [end.result() for end in received]


# -- UDP ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def udp_ends(client, server, address, version):
    """Two connected sockets, whose kernels fragment what is too large for their interface."""
    with (server.socket(FAMILY[version], socket.SOCK_DGRAM) as there,
          client.socket(FAMILY[version], socket.SOCK_DGRAM) as here):
        for end in (here, there):
            for level, option in ((socket.IPPROTO_IP, IP_MTU_DISCOVER), (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER)):
                if version == 6 or level == socket.IPPROTO_IP:
                    end.setsockopt(level, option, PMTUDISC_DONT)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        there.bind((address, 5002))
        here.connect((address, 5002))
        there.connect(here.getsockname())
        yield here, there


def udp_sizes(version, largest):
    """Of datagrams: none and few bytes, all around what fits one packet, then in fragments."""
    whole = MTU - HEADERS[version]
    return [0, 1, 2, 3, 7, 63, 64, 65, 512, 1133, 1166, 1167, 1200, 1372, *range(whole - 3, whole + 4),
            2 * whole, 4000, largest // 2, largest]


def check_udp(client, server, address, version, largest):
    """One datagram at a time, there and back: none may be lost."""
    with udp_ends(client, server, address, version) as ends:
        for size in udp_sizes(version, largest):
            data = random.randbytes(size)
            for sender, receiver in (ends, ends[::-1]):
                sender.send(data)
                assert receiver.recv(65536) == data, f'{size} bytes'


def check_udp_segments(client, server, address, version):
    """A program that lets the kernel segment: each segment is a datagram of its own."""
    size = 1000
    data = random.randbytes(30 * size + 333)
    with udp_ends(client, server, address, version) as (here, there):
        here.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        here.send(data)
        assert [there.recv(65536) for _ in range(31)] == [data[at:at + size] for at in range(0, len(data), size)]


# -- ICMP --------------------------------------------------------------------------------------------------------------


def check_ping(client, address, version):
    whole = MTU - HEADERS[version]
    for size in (0, 1, 56, 1000, whole):
        assert client.pings(address, '-s', size, '-M', 'do'), size
    for size in (whole + 1, 4000, 20000):
        assert client.pings(address, '-s', size, '-M', 'dont'), size


def forget_mtu(host):
    for option in ('-4', '-6'):
        host.ip(option, 'route', 'flush', 'cache')


def told_mtu(client, address, size):
    """What an echo request of that size that may not be fragmented is too large for, as the answer to it says."""
    said = client.run('ping', '-n', '-c', 1, '-W', 2, '-M', 'do', '-s', size, address, check=False)
    assert said.returncode != 0, said.stdout
    found = TOO_BIG.search(said.stdout + said.stderr)
    assert found, said.stdout + said.stderr
    return int(found[1])


def check_too_big(left, nas, version):
    """By the kernel of left, and for the NAS by that of right."""
    size = MTU - HEADERS[version] + 1
    said = left.run('ping', '-c', 1, '-M', 'do', '-s', size, NAS[version], check=False)
    assert said.returncode != 0 and re.search('[Mm]essage too long', said.stdout + said.stderr), said
    forget_mtu(nas)
    assert told_mtu(nas, pair.inside(1, version), size) == MTU
    if version == 4:
        forget_mtu(nas)  # so that right has to fragment, which it must not with IPv6


# -- the matrix --------------------------------------------------------------------------------------------------------


def offload(state, *hosts):
    for host in hosts:
        for feature in OFFLOADS:
            host.run('ethtool', '-K', pair.TUN, feature, state)


def build(lab):
    left, right = pair.cable(lab)
    nas = lab.host('nas')
    lab.link(right, 'home', '192.168.7.1/24 2001:db8:7::1/64', nas, 'eth0', '192.168.7.9/24 2001:db8:7::9/64')
    right.forward()
    nas.route('default', '192.168.7.1')
    nas.route('default', '2001:db8:7::1')
    return left, right, nas


def start(left, right, outside):
    subnets = ['192.168.7.0/24', '2001:db8:7::/64']
    left.configure(peers=[pair.row(right, 2, dial=pair.outside(2, outside), subnets=subnets)], network=pair.own(1))
    right.configure(peers=[pair.row(left, 1)], network=pair.own(2, advertise_subnets=subnets))
    pair.start_pair(left, right)
    assert left.peer(right)['link']['remote'] == pair.endpoint(pair.outside(2, outside))


def stop(*nodes):
    for node in nodes:
        drops = node.status()['counters']['drops']
        assert not any(drops[reason] for reason in NEVER), drops
    for node in nodes:
        assert node.stop() == 0


def check_inside(left, right, nas, version):
    ends = ((left, right, pair.inside(2, version), UDP_MAX), (left, nas, NAS[version], UDP_FORWARDED_MAX))
    check_too_big(left, nas, version)
    for client, server, address, largest in ends:
        check_ping(client, address, version)
        check_udp(client, server, address, version, largest)
    for state in ('off', 'on'):
        offload(state, left, right)
        for client, server, address, _ in ends:
            check_tcp(client, server, address)
            check_udp_segments(client, server, address, version)


def check_narrow(left, right, nas, nodes, version):
    """A path that does not carry the MTU of the interface: the daemons tell, fragment and clamp."""
    address = pair.inside(2, version)
    carried = nodes[0].peer(nodes[1])['link']['path_mtu']
    assert 1280 <= carried < MTU, carried
    check_tcp(nas, left, pair.inside(1, version), total=STREAM // 4)
    if version == 4:
        check_udp(left, right, address, version, UDP_NARROW_MAX)
    for client, destination in ((left, address), (nas, pair.inside(1, version))):
        forget_mtu(client)
        assert told_mtu(client, destination, MTU - HEADERS[version]) == carried
        assert client.pings(destination, '-s', carried - HEADERS[version], '-M', 'do')


def narrow(left, right):
    for host in (left, right):
        host.ip('link', 'set', 'eth0', 'mtu', 1350)


def main():
    seed = random.randrange(1 << 32)
    random.seed(seed)
    print(f'seed {seed}')
    begin = time.monotonic()
    with Lab() as lab:
        left, right, nas = build(lab)
        nodes = Node(left), Node(right)
        for outside in (4, 6):
            start(*nodes, outside)
            for version in (4, 6):
                check_inside(left, right, nas, version)
                print(f'IPv{version} over IPv{outside}: {time.monotonic() - begin:.1f} s', flush=True)
            stop(*nodes)
        narrow(left, right)
        start(*nodes, 4)
        wait_until('the path MTU is known', lambda: nodes[0].peer(nodes[1])['link']['path_mtu'] >= 1280)
        for version in (4, 6):
            check_narrow(left, right, nas, nodes, version)
        stop(*nodes)
        print(f'narrow: {time.monotonic() - begin:.1f} s')


if __name__ == '__main__':
    main()
