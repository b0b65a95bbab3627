#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The table of VPN mode alone, against routes that are all wrong: what must not leave the host does not, though every route leads
out; what must does.

    container 172.16.9.2 --- 172.16.9.1 host eth0 10.0.1.2 --- 10.0.1.1 wire    198.51.100.0/24 and 2001:db8:100::/56 lie
              fd09::2        fd09::1         2001:db8:1::2     2001:db8:1::1    behind it; 203.0.113.0/24 is excluded
                                  quicether0 100.64.0.1 === 100.64.0.254 beyond: stands for the tunnel;
                                             fd64::1        fd64::fe     192.0.2.0/24, 2001:db8:2::/48 lie behind it

Each probe is sent, and then looked for in captures on the wire and in the tunnel.
"""
import contextlib
import errno
import pathlib
import select
import socket
import struct

from lab import DEADLINE, Failed, Lab, find_quicether, wait_until
from leaks import MLD, hardware_address, icmp6_type

PROGRAM = pathlib.Path(find_quicether()).resolve().parents[2] / 'tests/net/kill_switch'
TUN, BESIDE, ONLY = 'quicether0', 20805, 20806
OUT, OUT6 = '198.51.100.7', '2001:db8:100::7'
EXCLUDED, EXCLUDED6 = '203.0.113.7', '2001:db8:103::7'
INSIDE, INSIDE6 = '192.0.2.7', '2001:db8:2::7'
WIRE, WIRE6, WIRE_LINK = '10.0.1.1', '2001:db8:1::1', 'fe80::1'
HOST, HOST6 = '10.0.1.2', '2001:db8:1::2'
OWN = '100.64.0.1', 'fd64::1'
BEYOND, BEYOND6 = '100.64.0.254', 'fd64::fe'
RESOLVER = '192.0.2.53', '2001:db8:2::53'
PLAN = ['system', 'kill_switch', 'exclude=203.0.113.0/24', 'exclude=2001:db8:103::/48',
        *(f'address={address}' for address in OWN), *(f'server={address}' for address in RESOLVER)]
LAN = ['lan=10.0.1.0/24@eth0', 'lan=fe80::/64@eth0', 'multicast']
UDP, ECHO, EXPERIMENTAL = 4000, 8, 253
IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS = 16, 18
SO_BINDTODEVICE = 25


def family_of(address):
    return socket.AF_INET6 if ':' in address else socket.AF_INET


class Prober:
    """Sends probes from a host, each with its name in it."""

    def __init__(self, host):
        self.host, self.kept = host, []

    def socket(self, address, kind=socket.SOCK_DGRAM, protocol=0, mark=0, bound=None, device=None):
        with self.host.inside():
            made = socket.socket(family_of(address), kind | socket.SOCK_NONBLOCK, protocol)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            if kind == socket.SOCK_DGRAM:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if device:
                made.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device.encode())
            if bound:
                made.bind(bound)
        self.kept.append(made)
        return made

    def target(self, address, port):
        if address.startswith(('ff02', 'fe80')):
            with self.host.inside():
                return address, port, 0, socket.if_nametoindex('eth0')
        return address, port

    def send(self, name, address, port=UDP, data=b'', **options):
        with contextlib.suppress(OSError):
            self.socket(address, **options).sendto(f'<{name}>'.encode() + data, self.target(address, port))

    def connect(self, name, address, port, **options):
        """A TCP connection is known by its port."""
        self.socket(address, socket.SOCK_STREAM, **options).connect_ex((address, port))

    def send_raw(self, name, address, protocol, head=b'', hops=None, **options):
        made = self.socket(address, socket.SOCK_RAW, protocol, **options)
        if hops and ':' in address:
            for option in IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS:
                made.setsockopt(socket.IPPROTO_IPV6, option, hops)
        with contextlib.suppress(OSError):
            made.sendto(head + f'<{name}>'.encode(), self.target(address, 0))

    def ping(self, name, address, **options):
        head = struct.pack('>BBHHH', ECHO, 0, 0, 1, 1) if family_of(address) == socket.AF_INET else struct.pack('>BBHHH', 128, 0, 0, 1, 1)
        if ':' not in address:
            data = head + f'<{name}>'.encode()
            data += bytes(len(data) % 2)
            total = sum(word for word, in struct.iter_unpack('>H', data)) % 0xffff
            head = head[:2] + struct.pack('>H', ~total & 0xffff) + head[4:]
        self.send_raw(name, address, socket.IPPROTO_ICMPV6 if ':' in address else socket.IPPROTO_ICMP, head, **options)

    def icmp6(self, name, kind, address, body=bytes(20), hops=255):
        self.send_raw(name, address, socket.IPPROTO_ICMPV6, bytes([kind, 0, 0, 0]) + body, hops)

    def join(self, group):
        """The kernel tells the cable who listens."""
        made = self.socket(group)
        with self.host.inside():
            index = socket.if_nametoindex('eth0')
        if ':' in group:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, group) + struct.pack('@I', index))
        else:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(HOST))

    def close(self):
        for made in self.kept:
            made.close()
        self.kept = []


def probes_of(host, container):
    """The probes by name; TCP probes are told apart by their ports."""
    ports = iter(range(10000, 11000))

    def tcp(name, address, port=None, sender=host, **options):
        number = port or next(ports)
        return name, lambda: sender.connect(name, address, number, **options), ('tcp', address, number)

    def udp(name, address, port=UDP, sender=host, **options):
        return name, lambda: sender.send(name, address, port, **options), None

    def call(name, function, *words, **options):
        return name, lambda: function(name, *words, **options), None

    for version, out, excluded, inside, wire, local in (4, OUT, EXCLUDED, INSIDE, WIRE, HOST), (6, OUT6, EXCLUDED6, INSIDE6, WIRE6, HOST6):
        yield tcp(f'tcp{version}', out)
        yield udp(f'udp{version}', out)
        yield udp(f'big{version}', out, data=bytes(4000))
        yield udp(f'bound{version}', out, bound=(local, 0))
        yield udp(f'own{version}', out, bound=(OWN[version == 6], 0))
        yield udp(f'device{version}', out, device='eth0')
        yield call(f'ping{version}', host.ping, out)
        yield call(f'raw{version}', host.send_raw, out, EXPERIMENTAL)
        yield udp(f'dns{version}', out, 53)
        yield tcp(f'dnstcp{version}', out, 53)
        yield udp(f'wire{version}', wire)
        yield udp(f'wiredns{version}', wire, 53)
        yield udp(f'excluded{version}', excluded)
        yield udp(f'excludeddns{version}', excluded, 53)
        yield udp(f'mark{version}', out, mark=BESIDE)
        yield udp(f'markdns{version}', out, 53, mark=BESIDE)
        yield udp(f'only{version}', out, mark=ONLY)
        yield udp(f'onlyexcluded{version}', excluded, mark=ONLY)
        yield udp(f'othermark{version}', out, mark=1)
        yield udp(f'inside{version}', inside)
        yield tcp(f'insidetcp{version}', inside)
        yield udp(f'insideonly{version}', inside, mark=ONLY)
        yield udp(f'insidedns{version}', inside, 53)
        yield udp(f'insidemarkdns{version}', inside, 53, mark=BESIDE)
        yield udp(f'resolver{version}', RESOLVER[version == 6], 53)
        yield tcp(f'resolvertcp{version}', RESOLVER[version == 6], 53)
        yield tcp(f'containertcp{version}', out, sender=container)
        yield udp(f'container{version}', out, sender=container)
        yield udp(f'containerdns{version}', out, 53, sender=container)
        yield udp(f'containerwire{version}', wire, sender=container)
        yield udp(f'containerexcluded{version}', excluded, sender=container)
        yield udp(f'containerinside{version}', inside, sender=container)
        yield udp(f'containerresolver{version}', RESOLVER[version == 6], 53, sender=container)
    yield udp('dhcp', '255.255.255.255', 67, bound=('', 68), device='eth0')
    yield udp('dhcprenew', OUT, 67, bound=('', 68))
    yield udp('nodhcp', OUT, 67)
    yield udp('dhcp6', 'ff02::1:2', 547, bound=('::', 546))
    yield udp('nodhcp6', OUT6, 547, bound=('::', 546))
    yield call('solicit', host.icmp6, 133, 'ff02::2')
    yield call('neighbor', host.icmp6, 135, WIRE6)
    yield call('farneighbor', host.icmp6, 135, OUT6, hops=64)
    yield call('advertise', host.icmp6, 134, 'ff02::1')
    yield call('redirect', host.icmp6, 137, 'ff02::1')
    yield udp('mdns', '224.0.0.251', 5353, device='eth0')
    yield udp('mdns6', 'ff02::fb', 5353)
    yield udp('ssdp', '239.255.255.250', 1900, device='eth0')
    yield udp('broadcast', '255.255.255.255', device='eth0')
    yield udp('wide', '239.1.2.3', device='eth0')


def both(*names):
    return {f'{name}{version}' for name in names for version in (4, 6)}


CABLE = {'dhcp', 'dhcprenew', 'dhcp6', 'solicit', 'neighbor'}
TUNNEL = both('inside', 'insidetcp', 'insideonly', 'insidedns', 'insidemarkdns', 'resolver', 'resolvertcp', 'containerinside',
              'containerresolver')
NOT_TO_OTHERS = both('insidedns')
SMALL_WORLD = {'mdns', 'mdns6', 'ssdp', 'broadcast', 'advertise', 'redirect'}
ASKS = both('dns', 'dnstcp', 'wiredns', 'excludeddns', 'containerdns')
CASES = [  # name, words of the plan, what is on the wire, what is in the tunnel
    ('all is closed', PLAN, CABLE | both('mark', 'markdns', 'excluded', 'excludeddns', 'onlyexcluded', 'containerexcluded'), TUNNEL),
    ('with only', [*PLAN, 'only'], CABLE | both('mark', 'markdns', 'excluded', 'excludeddns', 'containerexcluded'), TUNNEL),
    ('with DNS', [*PLAN, 'dns'], CABLE | both('mark', 'markdns', 'excluded', 'onlyexcluded', 'containerexcluded'), TUNNEL - NOT_TO_OTHERS),
    ('LAN allowed', [*PLAN, *LAN, 'dns'],
     CABLE | SMALL_WORLD | {'wire4', 'containerwire4'} | both('mark', 'markdns', 'excluded', 'onlyexcluded', 'containerexcluded'),
     TUNNEL - NOT_TO_OTHERS),
]
OPEN_CASES = [  # name, words, what is missing on the wire, what is in the tunnel
    ('no kill switch', ['system'], set(), TUNNEL),
    ('no kill switch, with DNS', ['system', 'dns', *PLAN[4:]], ASKS, TUNNEL - NOT_TO_OTHERS),
    ('only alone', ['only', *PLAN[4:]], both('only', 'onlyexcluded', 'own'), TUNNEL),
    ('a part', ['system', 'kill_switch', 'include=198.51.0.0/16', 'exclude=198.51.100.64/26', 'include=2001:db8:100::/48'],
     both('tcp', 'udp', 'big', 'bound', 'own', 'device', 'ping', 'raw', 'dns', 'dnstcp', 'only', 'othermark', 'container', 'containertcp',
          'containerdns') | {'dhcprenew', 'nodhcp', 'nodhcp6', 'farneighbor'}, TUNNEL),
]


def draw(lab):
    wire, beyond, host, container = lab.router('wire'), lab.host('beyond'), lab.router('host'), lab.host('container')
    lab.link(host, 'eth0', f'{HOST}/24 {HOST6}/64', wire, 'eth0', f'{WIRE}/24 {WIRE6}/64')
    lab.link(host, TUN, f'{OWN[0]}/24 {OWN[1]}/64', beyond, 'eth0', f'{BEYOND}/24 {BEYOND6}/64')
    lab.link(host, 'docker0', '172.16.9.1/24 fd09::1/64', container, 'eth0', '172.16.9.2/24 fd09::2/64')
    wire.address('eth0', f'{WIRE_LINK}/64')
    for address in OUT, OUT6, EXCLUDED, EXCLUDED6:
        wire.address('lo', f'{address}/{128 if ":" in address else 32}')
    for sender, ways in (host, (WIRE, WIRE6)), (container, ('172.16.9.1', 'fd09::1')), (wire, (HOST, HOST6)):
        for way in ways:
            sender.route('default', way)
    host.route('192.0.2.0/24', BEYOND)
    host.route('2001:db8:2::/48', BEYOND6)
    for neighbor in WIRE, WIRE6, BEYOND, BEYOND6:
        wait_until('the neighbors answer', lambda neighbor=neighbor: host.pings(neighbor))
    return wire, beyond, host, container


def set_table(host, words):
    host.nft(host.run(PROGRAM, TUN, *words).stdout)


def is_of(packet, name, connection):
    if connection:
        return packet.protocol == 'tcp' and (packet.destination, packet.destination_port) == connection[1:]
    return f'<{name}>'.encode() in packet.data


def end(host, captures):
    """What has been sent before the last echo is in the captures."""
    for answers in WIRE, WIRE6, BEYOND, BEYOND6:
        assert host.pings(answers, '-m', BESIDE)
    for capture in captures:
        capture.end()


def run_case(wire, beyond, host, container, words):
    """Names of all probes, of those on the wire, and of those in the tunnel."""
    set_table(host, words)
    captures = wire.capture('eth0'), beyond.capture('eth0')
    senders = Prober(host), Prober(container)
    probes = list(probes_of(*senders))
    for _, send, _ in probes:
        send()
    senders[0].join('ff02::abcd')
    senders[0].join('239.1.2.3')
    end(host, captures)
    for sender in senders:
        sender.close()
    seen = []
    for capture in captures:
        packets = list(capture.packets())
        seen.append({name for name, _, connection in probes if any(is_of(packet, name, connection) for packet in packets)})
    return {name for name, _, _ in probes}, *seen


def check(name, what, seen, expected):
    assert seen == expected, f'{name}: {what}: too many {sorted(seen - expected)}, missing {sorted(expected - seen)}'


# -- what no program sends, and what comes in -------------------------------------------------------------------------


def check_kernel(wire, host):
    """The kernel's own answers, and a connection that was there before."""
    hardware = hardware_address(host, 'eth0')
    prober, asker = Prober(host), Prober(wire)
    with wire.accept_on(OUT, 7000) as listener, host.connect_to(OUT, 7000) as before, listener.accept()[0] as there:
        set_table(host, [*PLAN, 'dns'])
        capture = wire.capture('eth0', 'ether', 'src', hardware)
        there.settimeout(DEADLINE)
        before.send(b'<before>')
        assert not select.select([there], [], [], 0.5)[0]
        for version, address in (4, HOST), (6, HOST6):
            asker.connect('closed', address, 7001)  # a reset
            asker.send('closed', address, 7002)     # port unreachable
            asker.ping('ping', address)
        prober.join('ff02::abcd')
        prober.join('239.1.2.3')
        wait_until('multicast listeners are told', lambda: 'ff02::abcd' in host.ip('maddress').stdout)
        with host.socket() as refused:
            assert refused.connect_ex((OUT, 7003)) == errno.ECONNREFUSED  # at once
        end(host, [capture])
        prober.close()
        asker.close()
        for packet in capture.packets():
            marked = packet.protocol in ('icmp', 'icmp6') and packet.payload[0] in (8, 128) and packet.destination in (WIRE, WIRE6)
            assert packet.protocol == 'arp' or marked or icmp6_type(packet) in (133, 135, 136, *MLD), packet
        assert before.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET  # nor does it wait for an answer
        host.nft('delete table inet quicether_vpn')


def check_arriving(wire, host):
    """Nobody on the cable speaks to the tunnel's addresses; what comes to a socket beside the tunnel passes strict filtering."""
    wire.route(OWN[0], HOST)
    wire.route(OWN[1], HOST6)
    set_table(host, PLAN)
    with contextlib.closing(Prober(wire)) as asker, contextlib.closing(Prober(host)) as prober:
        for own, local, outside in zip(OWN, (HOST, HOST6), ('0.0.0.0', '::')):
            receiver = prober.socket(own, bound=(outside, 7100))
            asker.send('own', own, 7100)
            asker.send('local', local, 7100)
            assert select.select([receiver], [], [], 10)[0] and receiver.recv(100) == b'<local>'
            assert not select.select([receiver], [], [], 0)[0]
        host.sysctl('net.ipv4.conf.all.src_valid_mark', 1)
        host.sysctl('net.ipv4.conf.eth0.rp_filter', 1)
        with tunnel_routes(host):
            plain, marked = prober.socket(HOST, bound=('', 7101)), prober.socket(HOST, bound=('', 7102), mark=BESIDE)
            for port in 7101, 7102:
                asker.send('strict', HOST, port, bound=(OUT, 0))
            assert select.select([plain, marked], [], [], 10)[0] == [marked]
        host.sysctl('net.ipv4.conf.eth0.rp_filter', 0)


@contextlib.contextmanager
def tunnel_routes(host):
    """The routes of VPN mode."""
    for version, way in (4, BEYOND), (6, BEYOND6):
        host.ip(f'-{version}', 'route', 'add', 'default', 'via', way, 'table', BESIDE)
        host.ip(f'-{version}', 'rule', 'add', 'not', 'fwmark', BESIDE, 'lookup', BESIDE, 'priority', 5182)
    yield
    for version in 4, 6:
        host.ip(f'-{version}', 'rule', 'delete', 'priority', 5182)
        host.ip(f'-{version}', 'route', 'flush', 'table', BESIDE)


def check_portal(wire, host):
    """Pages and names go beside the tunnel, in both families, from whatever address; nothing else does, and not for longer."""
    captured = wire.capture('eth0', 'ether', 'src', hardware_address(host, 'eth0'))
    with tunnel_routes(host), contextlib.closing(Prober(host)) as prober:
        set_table(host, [*PLAN, 'dns', 'portal=2'])
        for address in OUT, OUT6:
            prober.connect('other', address, 8080)
            with wire.accept_on(address, 80) as listener, host.connect_to(address, 80) as page, listener.accept()[0] as there:
                assert there.getpeername()[0] == (HOST6 if ':' in address else HOST)
                there.settimeout(DEADLINE)
                page.send(b'<page>')
                assert there.recv(100) == b'<page>'
                there.send(b'<answer>')
                assert page.recv(100) == b'<answer>'
        with wire.accept_on(OUT, 443) as listener, host.connect_to(OUT, 443) as kept, listener.accept()[0] as there:
            wait_until('the time is over', lambda: 'expires' not in host.run('nft', 'list', 'set', 'inet', 'quicether_vpn', 'portal').stdout)
            kept.send(b'<late>')
            prober.connect('late', OUT6, 80)
            assert not select.select([there], [], [], 0.5)[0]
            captured.end()
        host.nft('delete table inet quicether_vpn')
    for packet in captured.packets():
        assert packet.protocol != 'tcp' or packet.destination_port in (80, 443), packet
        assert b'<late>' not in packet.data


def check_replacing(host):
    """No packet of the tunnel is refused while the table is replaced."""
    set_table(host, PLAN)
    words = [[*PLAN, 'dns'], [*PLAN, *LAN]]
    with contextlib.closing(Prober(host)) as prober:
        sender, leak = prober.socket(OUT, mark=BESIDE), prober.socket(OUT)
        for number in range(20):
            script = host.run(PROGRAM, TUN, *words[number % 2]).stdout
            process = host.spawn(f'replace{number}', 'sh', '-c', f"nft -f - <<'END'\n{script}END")
            while process.alive():
                sender.sendto(b'<kept>', (OUT, UDP))
                try:
                    leak.sendto(b'<leak>', (OUT, UDP))
                except PermissionError:
                    continue
                raise Failed('a packet was let out')


def main():
    with Lab('kill_switch') as lab:
        wire, beyond, host, container = draw(lab)
        for name, words, out, inside in CASES:
            _, on_wire, in_tunnel = run_case(wire, beyond, host, container, words)
            check(name, 'on the wire', on_wire, out)
            check(name, 'in the tunnel', in_tunnel, inside)
        for name, words, missing, inside in OPEN_CASES:
            every, on_wire, in_tunnel = run_case(wire, beyond, host, container, words)
            check(name, 'on the wire', on_wire, every - missing - TUNNEL)
            check(name, 'in the tunnel', in_tunnel, inside)
        host.nft('delete table inet quicether_vpn')
        check_kernel(wire, host)
        check_arriving(wire, host)
        check_portal(wire, host)
        check_replacing(host)


if __name__ == '__main__':
    main()
