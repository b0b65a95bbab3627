# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Leaks: a program that speaks to the Internet in all ways at once, and a watch on the wires that tells what should not be there.

    talker = Talker(internet.laptop, marker)
    watch = Watch(lab, internet.router, ['home', 'cafe'], talker)
    with talker:
        with watch.case('gateway dead'):
            ...
        with watch.case('VPN off', closed=False):
            ...
    watch.judge()

Of what the laptop sends while a case is closed, only this may be on a wire: the tunnel's UDP to the gateway, ARP and neighbour
discovery, multicast listener reports, DHCP. All else is a leak; so are the marker, anywhere in any packet, and a search for the
server's address on the LAN. An open case is the proof that the watch would see one: each way of speaking must be on a wire
there. judge() prints the table of cases and fails if there was a leak, or if a case was too short to tell.
"""
import collections
import contextlib
import errno
import itertools
import json
import os
import re
import socket
import struct
import threading
import time

from internet import A, AAAA, DNS_PORT, GATE, ROUTER, SERVER, TCP_PORT, UDP_PORT, question
from lab import Failed, Node, wait_until

TICK = 0.05
SPOKEN_LEAST = 3  # of each way, for a case to tell anything
LEAKS_SHOWN = 12
SO_BINDTODEVICE = 25  # of asm-generic/socket.h; Python does not name them
IPV6_HDRINCL = 36
ECHO_REQUEST, ECHO_REQUEST6 = 8, 128
ROUTER_SOLICITATION, REDIRECT = 133, 137
MLD = 131, 132, 143
EXPERIMENTAL = 253  # RFC 3692: a protocol that is nobody's
PATIENCE = 1.0  # seconds that a connection may take


def new_marker():
    """Of small letters and digits, as it is also part of names."""
    return b'leak' + os.urandom(8).hex().encode()


def family_of(address):
    return socket.AF_INET6 if ':' in address else socket.AF_INET


def checksum(data):
    total = sum(word for word, in struct.iter_unpack('>H', data + bytes(len(data) % 2)))
    return ~(total % 0xffff) & 0xffff


class Talker:
    """A thread that sends by each way in each tick, until told to stop. spoken: how often by which way, refused: how often the
    kernel would not take it. bound: the addresses that all sockets are bound to; device: an interface, for SO_BINDTODEVICE; local:
    also what no NAT lets through, to the LAN and without ports. What is sent says by whom, and which way."""

    def __init__(self, host, marker, name='plain', bound=(), device=None, local=True, tick=TICK):
        self.host, self.marker, self.name, self.device, self.tick = host, marker, name.encode(), device, tick
        self.bound = {family_of(address): address for address in bound}
        self.spoken, self.refused, self.numbers = collections.Counter(), collections.Counter(), itertools.count()
        self.connections, self.kept, self.way = [], {}, b''
        self.ways = dict(self.all_ways(local))
        self.stopping, self.renewing, self.failure = threading.Event(), threading.Event(), None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def all_ways(self, local):
        """Name and function of each."""
        for address in SERVER:
            version = 6 if ':' in address else 4
            yield f'tcp{version}', lambda address=address: self.connect(address)
            yield f'udp{version}', lambda address=address: self.send(address, UDP_PORT, self.payload())
            yield f'big{version}', lambda address=address: self.send(address, UDP_PORT, self.payload() * 100)
            yield f'icmp{version}', lambda address=address: self.ping(address)
            yield f'dns{version}', lambda address=address: self.ask(address)
            yield f'kept_udp{version}', lambda address=address: self.send_kept(address, socket.SOCK_DGRAM, UDP_PORT)
            yield f'kept_tcp{version}', lambda address=address: self.send_kept(address, socket.SOCK_STREAM, TCP_PORT)
            yield f'dhcp{version}', lambda address=address: self.send(address, 67 if ':' not in address else 547, self.payload())
            if local:
                yield f'raw{version}', lambda address=address: self.send_raw(address, EXPERIMENTAL, self.payload())
        if local:
            for address in ROUTER:
                yield f'dns_router{6 if ":" in address else 4}', lambda address=address: self.ask(address)
            yield 'broadcast', lambda: self.send('255.255.255.255', UDP_PORT, self.payload())
            yield 'multicast4', lambda: self.send('224.0.0.251', 5353, self.payload())
            yield 'multicast6', lambda: self.send('ff02::fb%eth0', 5353, self.payload())

    # -- single ways --------------------------------------------------------------------------------------------------

    def payload(self):
        return b'-'.join((self.marker, self.name, self.way, b'%d ' % next(self.numbers)))

    def socket(self, address, kind, protocol=0):
        family = family_of(address)
        with self.host.inside():
            made = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
            if kind == socket.SOCK_DGRAM and family == socket.AF_INET:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if self.device:
                made.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, self.device.encode())
            if family in self.bound:
                made.bind((self.bound[family], 0))
        return made

    @staticmethod
    def target(address, port):
        """As sendto() takes it; with its scope, for an address that has one."""
        plain, _, scope = address.partition('%')
        return (plain, port, 0, socket.if_nametoindex(scope) if scope else 0) if ':' in address else (plain, port)

    def send(self, address, port, data):
        with self.socket(address, socket.SOCK_DGRAM) as sender, self.host.inside():
            sender.sendto(data, self.target(address, port))

    def ask(self, address):
        name = f'{self.payload().decode().strip()}.example'
        number = next(self.numbers)
        self.send(address, DNS_PORT, question(name, A if number % 2 else AAAA, number & 0xffff))

    def send_raw(self, address, protocol, data):
        with self.socket(address, socket.SOCK_RAW, protocol) as sender:
            sender.sendto(data, (address, 0))

    def ping(self, address):
        number = next(self.numbers) & 0xffff
        if ':' in address:  # its checksum is the kernel's
            head = struct.pack('>BBHHH', ECHO_REQUEST6, 0, 0, 1, number)
            self.send_raw(address, socket.IPPROTO_ICMPV6, head + self.payload())
            return
        body = struct.pack('>HH', 1, number) + self.payload()
        head = struct.pack('>BBH', ECHO_REQUEST, 0, checksum(struct.pack('>BBH', ECHO_REQUEST, 0, 0) + body))
        self.send_raw(address, socket.IPPROTO_ICMP, head + body)

    def connect(self, address):
        """A new connection; the marker follows when it is there."""
        made = self.socket(address, socket.SOCK_STREAM)
        self.connections.append((made, self.payload(), time.monotonic() + PATIENCE))
        if error := made.connect_ex((address, TCP_PORT)):
            if error != errno.EINPROGRESS:
                raise OSError(error, os.strerror(error))

    def tend_connections(self):
        waiting = []
        for made, payload, end in self.connections:
            try:
                made.send(payload)
            except BlockingIOError:
                if time.monotonic() < end:
                    waiting.append((made, payload, end))
                    continue
            except OSError:
                pass
            made.close()
        self.connections = waiting

    def send_kept(self, address, kind, port):
        """By a socket that lives as long as it can: what is connected before VPN mode is on stays so afterwards."""
        key = address, kind
        if key not in self.kept:
            self.kept[key] = self.socket(address, kind)
            self.kept[key].connect_ex((address, port))
        try:
            self.kept[key].send(self.payload())
            with contextlib.suppress(BlockingIOError):
                self.kept[key].recv(65536)
        except BlockingIOError:
            pass
        except OSError as error:
            if kind == socket.SOCK_STREAM and error.errno not in (errno.EPERM, errno.EAGAIN):
                self.kept.pop(key).close()
            raise

    def renew(self):
        """What lives as long as it can begins anew."""
        self.renewing.set()

    def drop_kept(self):
        for made in self.kept.values():
            made.close()
        self.kept = {}
        self.renewing.clear()

    # -- all of them --------------------------------------------------------------------------------------------------

    def speak(self):
        if self.renewing.is_set():
            self.drop_kept()
        for name, way in self.ways.items():
            self.spoken[self.name.decode(), name] += 1
            self.way = name.encode()
            try:
                way()
            except OSError as error:
                self.refused[name, errno.errorcode.get(error.errno, error.errno)] += 1
        self.tend_connections()

    def run(self):
        try:
            while not self.stopping.wait(self.tick):
                self.speak()
        except Exception as failure:  # told by check()
            self.failure = failure

    def check(self):
        if self.failure:
            raise Failed(f'the talker: {self.failure!r}')

    def keys(self):
        """Of the ways, as they are counted."""
        return [(self.name.decode(), way) for way in self.ways]

    def wait_spoken(self, times=SPOKEN_LEAST):
        """Until each way has been spoken by so many times more."""
        aims = {key: self.spoken[key] + times for key in self.keys()}

        def has_spoken():
            self.check()
            return all(self.spoken[key] >= aim for key, aim in aims.items())
        wait_until('the talker has spoken in all ways', has_spoken, deadline=30)

    def __enter__(self):
        self.thread.start()
        return self

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.drop_kept()
        for made, *_ in self.connections:
            made.close()

    def __exit__(self, kind, _value, _trace):
        self.stop()
        if not kind:
            self.check()


class Case:
    """A span of time, what was to be seen meanwhile, and what was."""

    def __init__(self, name, closed, allow):
        self.name, self.closed, self.allow = name, closed, allow
        self.spans, self.spoken = [], collections.Counter()
        self.packets, self.tunnel, self.markers, self.leaks = 0, 0, 0, []
        self.seen = set()  # who has spoken in clear, and which way


class Watch:
    """On wires, which are interfaces of a router: what comes in there is what the laptop has sent."""

    def __init__(self, router, wires, marker, talkers):
        self.router, self.marker, self.talkers = router, marker, talkers
        self.spoken_by = re.compile(marker + rb'-([a-z]+)-([a-z0-9_]+)-')
        self.captures, self.cases = {}, {}
        for wire in wires:
            self.add(wire)

    def add(self, wire):
        self.captures[wire] = self.router.capture(wire, 'not', 'ether', 'src', hardware_address(self.router, wire))

    @contextlib.contextmanager
    def case(self, name, closed=True, allow=lambda _packet: False):
        """In the block what the laptop sends is watched; several blocks of one name are one case. allow: what else is no leak."""
        case = self.cases.setdefault(name, Case(name, closed, allow))
        before, start = self.spoken(), time.time()
        yield case
        end = time.time()
        case.spans.append((start, end))
        case.spoken += self.spoken() - before

    def spoken(self):
        return sum((talker.spoken for talker in self.talkers), collections.Counter())

    def speak(self, times=SPOKEN_LEAST):
        for talker in self.talkers:
            talker.wait_spoken(times)

    def look(self, packet, wire):
        for case in self.cases.values():
            if any(start <= packet.seconds <= end for start, end in case.spans):
                self.count(case, packet, wire)

    def count(self, case, packet, wire):
        spoken = {(name.decode(), way.decode()) for name, way in self.spoken_by.findall(packet.data.lower())}
        marked = bool(spoken)
        case.packets += 1
        case.markers += marked
        case.tunnel += is_tunnel(packet)
        case.seen |= spoken
        harmless = (is_tunnel(packet) or is_harmless(packet)) and not marked
        if case.closed and not harmless and not case.allow(packet):
            by = ', '.join(f'{name}, {way}' for name, way in sorted(spoken))
            case.leaks.append(f'{wire}: {packet.protocol} from {packet.source} to {packet.destination}.{packet.destination_port}: '
                              f'{by or "without a marker"}')

    def wrong(self, case):
        """In words, or nothing."""
        keys = {key for talker in self.talkers for key in talker.keys()}
        least = min((case.spoken[key] for key in keys), default=SPOKEN_LEAST)
        if least < SPOKEN_LEAST:
            return f'only {least} packets of a kind were sent'
        if case.closed:
            return f'{len(case.leaks)} leaks' if case.leaks else ''
        blind = keys - case.seen
        return f'not seen: {", ".join(" ".join(key) for key in sorted(blind))}' if blind else ''

    def judge(self):
        """Of a laptop that is quiet by now."""
        for wire, capture in self.captures.items():
            capture.end()
            if capture.dropped():
                raise Failed(f'the capture on {wire} has lost {capture.dropped()} packets')
            for packet in capture.packets():
                self.look(packet, wire)
        print(f'{"case":<44}{"sent":>8}{"on the wire":>13}{"tunnel":>8}{"markers":>9}{"leaks":>7}  result')
        for case in self.cases.values():
            wrong, leaks = self.wrong(case), len(case.leaks) if case.closed else '-'
            result = wrong or ('ok' if case.closed else 'ok (seen in clear, as it must be)')
            print(f'{case.name:<44}{case.spoken.total():>8}{case.packets:>13}{case.tunnel:>8}{case.markers:>9}{leaks:>7}  {result}')
            for leak, times in collections.Counter(case.leaks).most_common(LEAKS_SHOWN):
                print(f'    {times} x {leak}')
        if bad := [case.name for case in self.cases.values() if self.wrong(case)]:
            raise Failed(f'leaks, or too little to tell: {", ".join(bad)}')


def hardware_address(host, interface):
    return json.loads(host.ip('-j', 'link', 'show', 'dev', interface).stdout)[0]['address']


def icmp6_type(packet):
    """Of an ICMPv6 message, also behind hop-by-hop options, as those of multicast listeners are; or None."""
    if packet.protocol == 'icmp6':
        return packet.payload[0]
    if packet.protocol == 0 and packet.payload[0] == socket.IPPROTO_ICMPV6:
        return packet.payload[8 * (1 + packet.payload[1])]
    return None


def seeks_server(packet):
    """Whether a request for a neighbour's hardware address tells the LAN whom the laptop wants to speak to."""
    return any(socket.inet_pton(family_of(address), address) in packet.data for address in SERVER)


def is_tunnel(packet):
    return packet.protocol == 'udp' and packet.destination in GATE and packet.destination_port == Node.PORT


def is_harmless(packet):
    if packet.protocol == 'arp':
        return not seeks_server(packet)
    kind = icmp6_type(packet)
    if kind is not None:
        return kind in MLD or ROUTER_SOLICITATION <= kind <= REDIRECT and not seeks_server(packet)
    ports = packet.protocol == 'udp' and (packet.source_port, packet.destination_port)
    return ports in ((68, 67), (546, 547))
