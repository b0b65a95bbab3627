# SPDX-License-Identifier: Apache-2.0 OR MIT
"""An "Internet" for the tests of VPN mode: a laptop with two uplinks, a gateway node, and a server that answers to all.

    laptop eth0  10.0.1.2, 2001:db8:1::2 --- home --+
           wlan0 10.0.4.2, 2001:db8:4::2 --- cafe --+-- internet --- gate   192.0.2.2, 2001:db8:2::2
    100.64.0.1, fd64::1                                |             100.64.0.2, fd64::2
                                                       +------------ server 203.0.113.9, 2001:db8:9::9

home, cafe and all else are interfaces of one router, which translates nothing: the server sees who speaks to it, the laptop
itself or the gateway in its name. wlan0 is down at first. The router and the server answer questions for names, too; all names
are the server's, apart from those below nowhere.example, which do not exist.
"""
import collections
import contextlib
import selectors
import socket
import struct
import threading

from lab import Node

SERVER = '203.0.113.9', '2001:db8:9::9'
GATE = '192.0.2.2', '2001:db8:2::2'
LAPTOP = '10.0.1.2', '2001:db8:1::2'  # on eth0, at home
ROUTER = '10.0.1.1', '2001:db8:1::1'  # there
LAPTOP_INSIDE = ['100.64.0.1', 'fd64::1']
GATE_INSIDE = ['100.64.0.2', 'fd64::2']
TUN = 'quicether0'
TCP_PORT, UDP_PORT, HTTP_PORT, DNS_PORT = 5001, 5002, 80, 53
UPLINKS = {'eth0': ('home', 1, 100), 'wlan0': ('cafe', 4, 600)}  # the router's end, network, metric of the laptop's default route
A, AAAA = 1, 28


class Internet:
    def __init__(self, lab):
        self.router, self.laptop, self.gate, self.server = (
            lab.router('internet'), lab.host('laptop'), lab.host('gate'), lab.host('server'))
        for interface, (end, network, _) in UPLINKS.items():
            lab.link(self.laptop, interface, '', self.router, end, f'10.0.{network}.1/24 2001:db8:{network}::1/64')
            self.unplug(interface)
        lab.link(self.gate, 'eth0', '192.0.2.2/24 2001:db8:2::2/64', self.router, 'gate', '192.0.2.1/24 2001:db8:2::1/64')
        lab.link(self.server, 'eth0', '203.0.113.9/24 2001:db8:9::9/64',
                 self.router, 'server', '203.0.113.1/24 2001:db8:9::1/64')
        for host, ipv4, ipv6 in (self.gate, '192.0.2.1', '2001:db8:2::1'), (self.server, '203.0.113.1', '2001:db8:9::1'):
            host.route('default', ipv4)
            host.route('default', ipv6)
        self.laptop.own_etc(f'nameserver {ROUTER[0]}\n')
        self.gate.own_etc(f'nameserver {SERVER[0]}\n')
        self.plug('eth0')

    def plug(self, interface, metric=None):
        """The laptop's interface comes up, with its addresses and default routes."""
        _, network, usual = UPLINKS[interface]
        metric = metric or usual
        self.laptop.ip('link', 'set', interface, 'up')
        self.laptop.address(interface, f'10.0.{network}.2/24', f'2001:db8:{network}::2/64')
        for family, router in ('-4', f'10.0.{network}.1'), ('-6', f'2001:db8:{network}::1'):
            self.laptop.ip(family, 'route', 'replace', 'default', 'via', router, 'dev', interface, 'metric', metric)

    def unplug(self, interface):
        self.laptop.ip('address', 'flush', 'dev', interface)
        self.laptop.ip('link', 'set', interface, 'down')

    def nodes(self, **vpn):
        """The laptop's and the gateway's node, configured: the gateway is an exit, the laptop's [vpn] is as given."""
        laptop, gate = Node(self.laptop), Node(self.gate)
        gate.configure([laptop.as_peer(addresses=LAPTOP_INSIDE)], node={'role': 'gateway'},
                       network={'tun_addr': GATE_INSIDE, 'exit': True})
        self.configure_laptop(laptop, gate, **vpn)
        return laptop, gate

    @staticmethod
    def configure_laptop(laptop, gate, **vpn):
        peer = gate.as_peer(addresses=GATE_INSIDE, endpoints=[f'{GATE[0]}:{Node.PORT}'], exit=True)
        laptop.configure([peer], network={'tun_addr': LAPTOP_INSIDE}, vpn={'via': 'gate', **vpn})


def question_of(query):
    """Name and type of the question, and where it ends."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    return '.'.join(labels), int.from_bytes(query[at + 1:at + 3]), at + 5


def question(name, kind, identity):
    labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.'))
    return struct.pack('>6H', identity, 0x0100, 1, 0, 0, 0) + labels + b'\0' + struct.pack('>2H', kind, 1)


def answer(query, addresses):
    """To a query, with these addresses as far as it asks for their kind; NXDOMAIN for names below nowhere.example."""
    name, kind, end = question_of(query)
    family = {A: socket.AF_INET, AAAA: socket.AF_INET6}.get(kind)
    there = not name.lower().endswith('nowhere.example')
    fitting = [address for address in addresses if there and family == (socket.AF_INET6 if ':' in address else socket.AF_INET)]
    data = [socket.inet_pton(family, address) for address in fitting]
    head = struct.pack('>2s5H', query[:2], 0x8580 if there else 0x8583, 1, len(data), 0, 0)
    return head + query[12:end] + b''.join(b'\xc0\x0c' + struct.pack('>HHIH', kind, 1, 60, len(rest)) + rest for rest in data)


class Services:
    """What answers on a host to TCP, UDP and questions for names, in a thread; kernels answer pings by themselves. seen: how often
    the marker came, by what brought it and from whom."""

    def __init__(self, host, marker, addresses=('0.0.0.0', '::')):
        self.marker, self.seen, self.asked = marker, collections.Counter(), []
        self.selector, self.stopping = selectors.DefaultSelector(), threading.Event()
        for address in addresses:
            self.listen(host, address, TCP_PORT, socket.SOCK_STREAM, self.accept)
            self.listen(host, address, UDP_PORT, socket.SOCK_DGRAM, self.echo)
            self.listen(host, address, DNS_PORT, socket.SOCK_DGRAM, self.tell)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def listen(self, host, address, port, kind, callback):
        made = host.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ':' in address:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind((address, port))
        if kind == socket.SOCK_STREAM:
            made.listen(64)
        self.selector.register(made, selectors.EVENT_READ, callback)

    def note(self, what, data, source):
        if self.marker in data.lower():
            self.seen[what, source] += 1

    def accept(self, listener):
        connection, _ = listener.accept()
        connection.setblocking(False)
        self.selector.register(connection, selectors.EVENT_READ, self.read)

    def read(self, connection):
        with contextlib.suppress(ConnectionError):
            if data := connection.recv(4096):
                self.note('tcp', data, connection.getpeername()[0])
                connection.send(data)
                return
        self.selector.unregister(connection)
        connection.close()

    def echo(self, receiver):
        data, source = receiver.recvfrom(65536)
        self.note('udp', data, source[0])
        receiver.sendto(data, source)

    def tell(self, receiver):
        query, source = receiver.recvfrom(4096)
        self.note('dns', query, source[0])
        self.asked.append(question_of(query)[0])
        receiver.sendto(answer(query, SERVER), source)

    def run(self):
        while not self.stopping.is_set():
            for key, _ in self.selector.select(0.1):
                with contextlib.suppress(OSError):  # of this one only: its host may just have lost its way to the other
                    key.data(key.fileobj)

    def sources(self, what):
        return {source for kind, source in self.seen if kind == what}

    def __enter__(self):
        return self

    def __exit__(self, _kind, _value, _trace):
        self.stopping.set()
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()
