#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Names in VPN mode, with real name servers (unbound) behind the gateway: names of the Internet through the tunnel, a domain with a
server of its own, names of nodes and of addresses, long answers, names that do not exist, a name server that is down and back, a
member who asks far too much. And no question is ever seen on the laptop's uplink.

The network is drawn in internet.py; the server has a second name server at 203.0.113.53, for corp.example alone.
"""
import pathlib
import re
import socket
import struct
import time

from internet import A, AAAA, GATE_INSIDE, LAPTOP_INSIDE, Internet, question
from lab import Failed, Lab, wait_until

RESOLVER = '127.0.0.84'
PTR, TXT = 12, 16
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
LONG = 120  # addresses of long.inter.test: more than any UDP answer takes

CONFIG = '''
server:
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: "{folder}/unbound-{name}.pid"
    use-syslog: no
    interface: {address}
    access-control: 0.0.0.0/0 allow
    do-not-query-localhost: no
    module-config: "iterator"
    local-zone: "{zone}." static
    local-data: "{zone}. 60 IN SOA ns.{zone}. root.{zone}. 1 3600 600 86400 60"
{data}
remote-control:
    control-enable: no
'''


class Unbound:
    """A name server on a host, with one zone of its own."""

    def __init__(self, lab, host, name, address, zone, records):
        self.host, self.name = host, name
        self.config = lab.dir / f'unbound-{name}.conf'
        data = '\n'.join(f'    local-data: "{record}"' for record in records)
        self.config.write_text(CONFIG.format(folder=lab.dir, name=name, address=address, zone=zone, data=data))
        self.start()

    def start(self):
        self.process = self.host.spawn(f'unbound-{self.name}', 'unbound', '-d', '-v', '-c', self.config)
        self.process.wait_said('start of service')

    def stop(self):
        self.process.stop()


class Answer:
    """What a resolver said: rcode, whether it was cut short, and the data of each answer of the type that was asked for."""

    def __init__(self, message, kind):
        self.identity, flags, questions, answers = struct.unpack('>4H', message[:8])
        self.rcode, self.cut, self.data = flags & 15, bool(flags & 0x200), []
        at = 12
        for _ in range(questions):
            at = self.skip_name(message, at) + 4
        for _ in range(answers):
            at = self.skip_name(message, at)
            found, _, _, length = struct.unpack('>HHIH', message[at:at + 10])
            at += 10 + length
            if found == kind:
                self.data.append(message[at - length:at])
        if kind in (A, AAAA):
            self.data = {socket.inet_ntop(socket.AF_INET if kind == A else socket.AF_INET6, data) for data in self.data}

    @staticmethod
    def skip_name(message, at):
        while message[at]:
            if message[at] >= 192:
                return at + 2
            at += 1 + message[at]
        return at + 1


def ask(host, name, kind=A, server=RESOLVER, tcp=False, timeout=10):
    family = socket.AF_INET6 if ':' in server else socket.AF_INET
    query = question(name, kind, 0x1234)
    with host.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM, timeout=timeout) as asker:
        asker.connect((server, 53))
        if not tcp:
            asker.send(query)
            return Answer(asker.recv(65536), kind)
        asker.sendall(struct.pack('>H', len(query)) + query)
        with asker.makefile('rb') as stream:
            return Answer(stream.read(*struct.unpack('>H', stream.read(2))), kind)


def expect(host, name, kind, rcode, *data, **options):
    answer = ask(host, name, kind, **options)
    if answer.rcode != rcode or rcode == NOERROR and set(answer.data) != set(data):
        raise Failed(f'{name}: rcode {answer.rcode}, {answer.data}, expected {rcode}, {data}')


def getent(host, name):
    return {line.split()[0] for line in host.run('getent', 'ahosts', name, check=False).stdout.splitlines()}


def resident(node):
    """KiB."""
    status = pathlib.Path(f'/proc/{node.daemon.pid}/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+)', status)[1])


def wire(name):
    return b''.join(bytes([len(label)]) + label.encode() for label in name.split('.')) + b'\0'


def check_internet(internet):
    host = internet.laptop
    expect(host, 'www.inter.test', A, NOERROR, '203.0.113.80')
    expect(host, 'WWW.inter.TEST', AAAA, NOERROR, '2001:db8:9::80')
    expect(host, 'www.inter.test', A, NOERROR, '203.0.113.80', tcp=True)
    expect(host, 'none.inter.test', A, NXDOMAIN)
    expect(host, 'www.inter.test', TXT, NOERROR)
    assert getent(host, 'www.inter.test') == {'203.0.113.80', '2001:db8:9::80'}
    assert not getent(host, 'none.inter.test')
    assert ask(host, 'long.inter.test').cut
    assert len(ask(host, 'long.inter.test', tcp=True).data) == LONG
    assert len(getent(host, 'long.inter.test')) == LONG, 'the C library asks again by TCP'


def check_domains(internet):
    expect(internet.laptop, 'wiki.corp.example', A, NOERROR, '203.0.113.81')
    expect(internet.laptop, 'none.corp.example', A, NXDOMAIN)
    assert getent(internet.laptop, 'wiki.corp.example') == {'203.0.113.81'}


def check_nodes(internet, laptop, gate):
    host = internet.laptop
    expect(host, 'gate.quicether.internal', A, NOERROR, GATE_INSIDE[0])
    expect(host, 'laptop.quicether.internal', AAAA, NOERROR, LAPTOP_INSIDE[1], laptop.overlay)
    expect(host, 'nobody.quicether.internal', A, NXDOMAIN)
    for address in '2.0.64.100.in-addr.arpa', '2' + '.0' * 27 + '.4.6.d.f.ip6.arpa':
        expect(host, address, PTR, NOERROR, wire('gate.quicether.internal'))
    expect(host, '9.9.64.100.in-addr.arpa', PTR, NXDOMAIN)
    assert GATE_INSIDE[0] in getent(host, 'gate'), 'found by the search list'
    # A member who asks the gateway itself, at each of its addresses.
    for address in *GATE_INSIDE, gate.overlay:
        expect(host, 'laptop.quicether.internal', A, NOERROR, LAPTOP_INSIDE[0], server=address)
        expect(host, 'www.inter.test', A, NOERROR, '203.0.113.80', server=address, tcp=True)
    expect(host, 'exit-address.quicether.internal', A, NOERROR, '192.0.2.2', server=GATE_INSIDE[0])


def check_status(laptop):
    said = wait_until('the gateway has told its address',
                      lambda: (said := laptop.call('vpn', 'status')).get('exit_address') and said)
    assert said['exit_address'] == {'ipv4': '192.0.2.2', 'ipv6': '2001:db8:2::2'}, said
    counts = laptop.status()['dns']
    assert counts['host']['own'] > 0 and counts['host']['relayed'] > 0 and counts['members'] is None, counts
    assert said['dns']['method'] == '/etc/resolv.conf' and said['dns']['state'] == 'ok', said


def check_server_down(internet, unbound):
    unbound.stop()
    expect(internet.laptop, 'new.inter.test', A, SERVFAIL)
    expect(internet.laptop, 'www.inter.test', A, NOERROR, '203.0.113.80')  # which is remembered
    unbound.start()
    wait_until('names resolve again', lambda: ask(internet.laptop, 'new.inter.test').rcode == NOERROR)


def storm(host, seconds, rate):
    """Questions for ever new names, as fast as that."""
    with host.socket(kind=socket.SOCK_DGRAM) as sender:
        sender.connect((GATE_INSIDE[0], 53))
        begin, sent = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < seconds:
            while sent < rate * passed:
                sender.send(question(f'x{sent}.inter.test', A, sent & 0xffff))
                sent += 1
            time.sleep(0.001)
        return sent


def is_answered(host):
    """A question that comes too soon after the storm is dropped, too."""
    try:
        return ask(host, 'www.inter.test', server=GATE_INSIDE[0], timeout=0.5).rcode == NOERROR
    except OSError:
        return False


def check_storm(internet, gate):
    """Most of it is dropped, and the gateway answers its own host and others all the while."""
    before = resident(gate)
    sent = storm(internet.laptop, 2, 5000)
    grown = resident(gate) - before
    print(f'{sent} questions, {grown} KiB more')
    assert grown < 8192, grown
    wait_until('the member is answered again', lambda: is_answered(internet.laptop))


def occupy(host):
    """Takes port 53 as a name server for all addresses does; returns how to give it up."""
    sockets = [host.socket(kind=kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
    for one in sockets:
        one.bind(('0.0.0.0', 53))
    sockets[1].listen()
    return lambda: [one.close() for one in sockets]


def check_occupied(internet, gate, give_up):
    """Another program has the gateway's port 53, and then gives it up."""
    gate.daemon.wait_said('another program has it')
    give_up()
    wait_until('the member is answered', lambda: is_answered(internet.laptop), deadline=30)


def main():
    with Lab('dns') as lab:
        internet = Internet(lab)
        internet.server.address('eth0', '203.0.113.53/24')
        long = [f'long.inter.test. 60 IN A 198.51.100.{i}' for i in range(LONG)]
        unbound = Unbound(lab, internet.server, 'inter', '203.0.113.9', 'inter.test', [
            'www.inter.test. 60 IN A 203.0.113.80', 'www.inter.test. 60 IN AAAA 2001:db8:9::80',
            'new.inter.test. 60 IN A 203.0.113.82', *long])
        Unbound(lab, internet.server, 'corp', '203.0.113.53', 'corp.example', ['wiki.corp.example. 60 IN A 203.0.113.81'])
        laptop, gate = internet.nodes()
        with laptop.config.open('a') as config:
            config.write('[dns]\ndomains = {"corp.example" = "203.0.113.53"}\n')
        give_up = occupy(gate.host)
        for node in gate, laptop:
            node.start()
        laptop.wait_connected(gate)
        check_occupied(internet, gate, give_up)
        capture = internet.laptop.capture('eth0', 'port', 53)
        laptop.run('vpn', 'up', '--socket', laptop.socket)
        check_internet(internet)
        check_domains(internet)
        check_nodes(internet, laptop, gate)
        check_status(laptop)
        check_server_down(internet, unbound)
        check_storm(internet, gate)
        seen = capture.stop()
        assert not seen, seen[:5]
        laptop.run('vpn', 'down', '--socket', laptop.socket)
        assert '127.0.0.84' not in internet.laptop.run('cat', '/etc/resolv.conf').stdout


if __name__ == '__main__':
    main()
