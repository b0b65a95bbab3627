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
import socket
import struct
import threading
import time

from internet import A, AAAA, DNS_PORT, GATE, LAPTOP, ROUTER, SERVER, TCP_PORT, UDP_PORT, question
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
    kernel would not take it. bound: an address that all sockets are bound to, by family; device: an interface, for SO_BINDTODEVICE."""

    def __init__(self, host, marker, bound=None, device=None, tick=TICK, local=True):
        self.host, self.marker, self.bound, self.device, self.tick = host, marker, bound or {}, device, tick
        self.spoken, self.refused, self.numbers = collections.Counter(), collections.Counter(), itertools.count()
        self.connections, self.kept = [], {}
        self.ways = dict(self.all_ways(local))
        self.stopping, self.failure = threading.Event(), None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def all_ways(self, local):
        """Name and function of each."""
        for address in SERVER:
            version = 6 if ':' in address else 4
            yield f'tcp{version}', lambda address=address: self.connect(address)
            yield f'udp{version}', lambda address=address: self.send(address, UDP_PORT, self.payload())
            yield f'big{version}', lambda address=address: self.send(address, UDP_PORT, self.payload() * 150)
            yield f'icmp{version}', lambda address=address: self.ping(address)
            yield f'raw{version}', lambda address=address: self.send_raw(address, EXPERIMENTAL, self.payload())
            yield f'dns{version}', lambda address=address: self.ask(address)
            yield f'kept_udp{version}', lambda address=address: self.send_kept(address, socket.SOCK_DGRAM, UDP_PORT)
            yield f'kept_tcp{version}', lambda address=address: self.send_kept(address, socket.SOCK_STREAM, TCP_PORT)
            yield f'dhcp{version}', lambda address=address: self.send(address, 67 if ':' not in address else 547, self.payload())
        if local:
            for address in ROUTER:
                yield f'dns_router{6 if ":" in address else 4}', lambda address=address: self.ask(address)
            yield 'broadcast', lambda: self.send('255.255.255.255', UDP_PORT, self.payload())
            yield 'multicast4', lambda: self.send('224.0.0.251', 5353, self.payload())
            yield 'multicast6', lambda: self.send('ff02::fb%eth0', 5353, self.payload())

    # -- single ways --------------------------------------------------------------------------------------------------

    def payload(self):
        return self.marker + b'-%d ' % next(self.numbers)

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
        self.connections.append((made, time.monotonic() + PATIENCE))
        if error := made.connect_ex((address, TCP_PORT)):
            if error != errno.EINPROGRESS:
                raise OSError(error, os.strerror(error))

    def tend_connections(self):
        waiting = []
        for made, end in self.connections:
            try:
                made.send(self.payload())
                made.close()
            except BlockingIOError:
                waiting.append((made, end)) if time.monotonic() < end else made.close()
            except OSError:
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

    # -- all of them --------------------------------------------------------------------------------------------------

    def speak(self):
        for name, way in self.ways.items():
            self.spoken[name] += 1
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

    def wait_spoken(self, times=SPOKEN_LEAST):
        """Until each way has been spoken by so many times more."""
        aims = {name: self.spoken[name] + times for name in self.ways}

        def has_spoken():
            self.check()
            return all(self.spoken[name] >= aim for name, aim in aims.items())
        wait_until('the talker has spoken in all ways', has_spoken, deadline=30)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, _value, _trace):
        self.stopping.set()
        self.thread.join()
        for made in [*self.kept.values(), *(made for made, _ in self.connections)]:
            made.close()
        if not kind:
            self.check()


class Case:
    """A span of time, what was to be seen meanwhile, and what was."""

    def __init__(self, name, closed, allow):
        self.name, self.closed, self.allow = name, closed, allow
        self.spans, self.spoken = [], collections.Counter()
        self.packets, self.tunnel, self.markers, self.leaks = 0, 0, 0, []
        self.seen = set()  # of the ways to the server, as the wire shows them


class Watch:
    """On wires, which are interfaces of a router: what comes in there is what the laptop has sent. Without a gateway among its
    addresses there is no tunnel to be seen."""

    def __init__(self, router, wires, marker, talkers, gateways=GATE):
        self.marker, self.talkers, self.gateways = marker, talkers, gateways
        self.captures = {wire: router.capture(wire, 'not', 'ether', 'src', hardware_address(router, wire)) for wire in wires}
        self.cases = {}

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

    def is_tunnel(self, packet):
        return packet.protocol == 'udp' and packet.destination in self.gateways and packet.destination_port == Node.PORT

    def look(self, packet, wire):
        for case in self.cases.values():
            if any(start <= packet.seconds <= end for start, end in case.spans):
                self.count(case, packet, wire)

    def count(self, case, packet, wire):
        case.packets += 1
        marked = self.marker in packet.data.lower()
        case.markers += marked
        case.seen.update(ways_of(packet, marked))
        if self.is_tunnel(packet):
            case.tunnel += 1
            allowed = True
        else:
            allowed = is_harmless(packet) or case.allow(packet)
        if case.closed and (not allowed or marked and not case.allow(packet)):
            case.leaks.append(f'{wire}: {packet}{", with the marker" if marked else ""}')

    def wrong(self, case):
        """In words, or nothing."""
        least = min((case.spoken[way] for talker in self.talkers for way in talker.ways), default=SPOKEN_LEAST)
        if least < SPOKEN_LEAST:
            return f'only {least} packets of a kind were sent'
        if case.closed:
            return f'{len(case.leaks)} leaks' if case.leaks else ''
        blind = {way for talker in self.talkers for way in talker.ways} - case.seen
        return f'not seen: {", ".join(sorted(blind))}' if blind else ''

    def judge(self):
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


def is_harmless(packet):
    if packet.protocol == 'arp':
        return not seeks_server(packet)
    kind = icmp6_type(packet)
    if kind is not None:
        return kind in MLD or ROUTER_SOLICITATION <= kind <= REDIRECT and not seeks_server(packet)
    ports = packet.protocol == 'udp' and (packet.source_port, packet.destination_port)
    return ports in ((68, 67), (546, 547))


def ways_of(packet, marked):
    """Which of the talker's ways a packet in clear may have come by."""
    version = 6 if packet.source and ':' in packet.source else 4
    if packet.protocol == 'udp' and marked:
        by_port = {UDP_PORT: ('udp', 'kept_udp'), DNS_PORT: ('dns',), 67: ('dhcp',), 547: ('dhcp',), 5353: ('multicast',)}
        names = by_port.get(packet.destination_port, ())
        if packet.destination == '255.255.255.255':
            yield 'broadcast'
        elif packet.destination in ROUTER:
            yield f'dns_router{version}'
        else:
            yield from (f'{name}{version}' for name in names)
    elif packet.protocol == 'tcp' and packet.destination in SERVER:
        yield f'tcp{version}'
        if marked:
            yield f'kept_tcp{version}'
    elif packet.protocol in ('icmp', 'icmp6') and marked:
        yield f'icmp{version}'
    elif packet.protocol == EXPERIMENTAL and marked:
        yield f'raw{version}'
    if is_fragment(packet) and marked:
        yield f'big{version}'


def is_fragment(packet):
    if packet.protocol == 44:
        return True
    ipv4 = packet.source and ':' not in packet.source
    return bool(ipv4 and int.from_bytes(packet.data[20:22]) & 0x3fff)
