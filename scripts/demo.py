#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The main job, shown on one machine: ./dev demo [--json] [--keep]

    laptop ------------ wan ------------ gateway ------------ nas
    203.0.113.2      a router       198.51.100.2              192.168.1.10
    100.64.0.1                        100.64.0.2   home LAN 192.168.1.0/24

Each is a network namespace. The laptop reaches the NAS through a tunnel to the gateway; a capture on the WAN shows what
an eavesdropper would see of it.
"""
import argparse
import hashlib
import json
import os
import shlex
import sys
import time

import build

sys.path.insert(0, str(build.TOP / 'tests/net'))
from lab import Failed, Lab, Node, wait_until  # noqa: E402 (the path comes first)

NAS = '192.168.1.10'
FILE_SIZE = 256 << 20
IPERF_SECONDS = 5
# 16 bytes, because ping repeats a pattern of at most so many.
MARKER = b'PLAINTEXT-MARKER'

# Not "python3 -m http.server", which asks the DNS for its own name first.
WEB_SERVER = '''
import functools, http.server, socketserver, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[2])
with socketserver.ThreadingTCPServer((sys.argv[1], 80), handler) as server:
    print('serving', flush=True)
    server.serve_forever()
'''


class Output:
    """What is said to people; with --json it goes to standard error, as the results are on standard output then."""

    def __init__(self, to_json):
        self.file = sys.stderr if to_json else sys.stdout

    def say(self, text=''):
        print(text, file=self.file, flush=True)

    def step(self, text):
        self.say(f'\n== {text}')

    def show(self, node, *words):
        """A command of ours, as a user of that host would see it."""
        self.say(f'{node.name}$ quicether {" ".join(words)}')
        self.say(''.join(f'    {line}\n' for line in node.run(*words, '--socket', node.socket).stdout.splitlines()))


# -- the hosts ---------------------------------------------------------------------------------------------------------


def draw(lab):
    laptop, wan, gateway, nas = lab.host('laptop'), lab.router('wan'), lab.router('gateway'), lab.host('nas')
    lab.link(laptop, 'eth0', '203.0.113.2/24', wan, 'left', '203.0.113.1/24')
    lab.link(wan, 'right', '198.51.100.1/24', gateway, 'eth0', '198.51.100.2/24')
    lab.link(gateway, 'lan', '192.168.1.1/24', nas, 'eth0', f'{NAS}/24')
    laptop.route('default', '203.0.113.1')
    gateway.route('default', '198.51.100.1')
    nas.route('default', '192.168.1.1')
    return laptop, wan, gateway, nas


def start_nodes(laptop, gateway):
    """Returns the two nodes, connected, and how many seconds the laptop took for that."""
    here, there = Node(laptop), Node(gateway)
    here.configure(network={'tun_addr': ['100.64.0.1']}, peers=[
        there.as_peer(endpoints=['198.51.100.2:7844'], addresses=['100.64.0.2'], subnets=['192.168.1.0/24'])])
    there.configure(node={'role': 'gateway'},
                    network={'tun_addr': ['100.64.0.2'], 'advertise_subnets': ['192.168.1.0/24']},
                    peers=[here.as_peer(addresses=['100.64.0.1'])])
    there.start()
    start = time.monotonic()
    here.start()
    here.wait_connected(there)
    return here, there, time.monotonic() - start


def make_file(path):
    """Bytes that cannot be compressed, with the marker in each MiB; returns their SHA-256."""
    digest = hashlib.sha256()
    with path.open('wb') as file:
        for _ in range(FILE_SIZE >> 20):
            piece = MARKER + os.urandom((1 << 20) - len(MARKER))
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def serve(nas):
    """A web server and an iperf3 server on the NAS; returns the SHA-256 of the file."""
    folder = nas.lab.dir / 'www'
    folder.mkdir()
    digest = make_file(folder / 'file')
    nas.spawn('iperf3', 'iperf3', '-s', '--forceflush', '-B', NAS).wait_said('Server listening')
    nas.spawn('http', 'python3', '-c', WEB_SERVER, NAS, folder).wait_said('serving')
    return digest


# -- the measurements --------------------------------------------------------------------------------------------------


def ping(laptop):
    """Pings the NAS with the marker as payload; returns the mean round trip in ms."""
    said = laptop.run('ping', '-n', '-c', 20, '-i', '0.05', '-s', 400, '-p', MARKER.hex(), NAS).stdout
    return float(said.splitlines()[-1].split('/')[4])


def download(laptop, digest):
    """Downloads the file, which is hashed on the way; returns the seconds."""
    script = f'set -o pipefail; curl -sS --fail http://{NAS}/file | sha256sum'
    start = time.monotonic()
    got = laptop.run('bash', '-c', script, timeout=300).stdout.split()[0]
    seconds = time.monotonic() - start
    if got != digest:
        raise Failed(f'the file came with SHA-256 {got}, not {digest}')
    return seconds


def iperf(laptop, nodes, *options):
    """Returns Gbit/s and for each node the CPU seconds per GB."""
    before = [node.daemon.cpu_seconds() for node in nodes]
    said = laptop.run('iperf3', '-c', NAS, '-t', IPERF_SECONDS, '-J', *options, timeout=60).stdout
    after = [node.daemon.cpu_seconds() for node in nodes]
    received = json.loads(said)['end']['sum_received']
    per_gb = [(late - early) / (received['bytes'] / 1e9) for early, late in zip(before, after)]
    return {'gbit_per_s': round(received['bits_per_second'] / 1e9, 2),
            'cpu_s_per_gb': {node.name: round(seconds, 2) for node, seconds in zip(nodes, per_gb)}}


def is_quic(packet):
    """A UDP packet to or from our port that looks like QUIC version 1 (RFC 9000, section 17)."""
    if packet.protocol != 'udp' or Node.PORT not in (packet.source_port, packet.destination_port):
        return False
    first = packet.payload[0] if packet.payload else 0
    long_header, fixed_bit = first & 0x80, first & 0x40
    return bool(fixed_bit) and (not long_header or packet.payload[1:5] == b'\0\0\0\1')


def is_of_the_cable(packet):
    """What every Ethernet carries and no router passes on: ARP, and IPv6 with addresses of the link only."""
    return packet.protocol == 'arp' or str(packet.source).startswith(('fe80:', '::'))


def judge(wan, lan):
    """What the eavesdropper has: counts of what crossed the WAN, and of what held the marker. Offloads make units of up
    to 64 KiB of what a real card would send as packets."""
    seen = {'units': 0, 'bytes': 0, 'quic': 0, 'markers': 0, 'not_captured': wan.dropped()}
    for packet in wan.packets():
        if not is_of_the_cable(packet):
            seen['units'] += 1
            seen['bytes'] += len(packet.data)
            seen['quic'] += is_quic(packet)
            seen['markers'] += MARKER in packet.data
    seen['markers_on_lan'] = sum(MARKER in packet.data for packet in lan.packets())
    return seen


def check(seen):
    if seen['bytes'] < FILE_SIZE // 2 or not seen['markers_on_lan']:
        raise Failed(f'the captures have not enough to judge by: {seen}')
    if seen['quic'] != seen['units']:
        raise Failed(f'{seen["units"] - seen["quic"]} of {seen["units"]} units on the WAN are not QUIC')
    if seen['markers']:
        raise Failed(f'the known plaintext crossed the WAN {seen["markers"]} times')


def measure(out, laptop, wan, nas, nodes, digest):
    out.step('The laptop pings the NAS, with a known plaintext, while the WAN and the home LAN are captured')
    captures = wan.capture('left'), nas.capture('eth0', 'icmp')
    results = {'ping_ms': round(ping(laptop), 2)}
    out.say(f'{results["ping_ms"]} ms')

    out.step(f'The laptop downloads {FILE_SIZE >> 20} MiB from a web server on the NAS')
    seconds = download(laptop, digest)
    results['download'] = {'bytes': FILE_SIZE, 'seconds': round(seconds, 2), 'sha256': digest,
                           'gbit_per_s': round(FILE_SIZE * 8 / seconds / 1e9, 2)}
    out.say(f'{seconds:.1f} s, the SHA-256 is the same: {digest}')

    out.step('What crossed the WAN meanwhile')
    for capture in captures:
        capture.end()
    results['wan'] = judge(*captures)
    check(results['wan'])
    out.say('{units} units of up to 64 KiB, {bytes} bytes ({not_captured} units were too fast for the capture)\n'
            '{quic} of them QUIC; {markers} with the known plaintext (on the home LAN: {markers_on_lan})'
            .format(**results['wan']))

    out.step(f'iperf3 both ways, {IPERF_SECONDS} s each')
    results['iperf_to_nas'] = iperf(laptop, nodes)
    results['iperf_from_nas'] = iperf(laptop, nodes, '-R')
    return results


# -- the story ---------------------------------------------------------------------------------------------------------


def rows(results):
    yield 'key exchange, cipher', f'{results["link"]["key_exchange"]}, {results["link"]["cipher"]}'
    yield 'start of the laptop to connected', f'{1000 * results["connected_s"]:.0f} ms'
    yield 'ping to the NAS', f'{results["ping_ms"]} ms'
    yield 'download of 256 MiB, SHA-256 equal', '{seconds} s, {gbit_per_s} Gbit/s'.format(**results['download'])
    for name, key in (('iperf3 to the NAS', 'iperf_to_nas'), ('iperf3 from the NAS', 'iperf_from_nas')):
        costs = ', '.join(f'{node} {seconds}' for node, seconds in results[key]['cpu_s_per_gb'].items())
        yield name, f'{results[key]["gbit_per_s"]} Gbit/s (CPU s/GB: {costs})'
    wan = results['wan']
    yield 'crossed the WAN', f'{wan["quic"]} units of QUIC, {wan["units"] - wan["quic"]} of anything else'
    yield 'known plaintext', f'{wan["markers_on_lan"]} times on the home LAN, {wan["markers"]} times on the WAN'


def keep(lab, nodes):
    """Leaves all of it up; a shell on a host with a node finds the program and the control socket."""
    for node in nodes:
        (node.dir / 'shell').write_text(f'export PATH={shlex.quote(str(node.program.parent))}:$PATH\nexport QUICETHER_SOCKET={node.socket}\n')
    lab.keep()


def run(lab, out, kept):
    out.say(__doc__.split('\n', 2)[2].rstrip())
    out.step('Drawing the hosts')
    laptop, wan, gateway, nas = draw(lab)
    digest = serve(nas)
    out.say(f'{len(lab.hosts)} hosts are up; without the tunnel the laptop does {"" if laptop.pings(NAS, timeout=0.5) else "not "}reach the NAS')

    out.step('Starting quicether on the laptop and on the gateway')
    here, there, connected = start_nodes(laptop, gateway)
    for words in (('status',), ('peers',), ('routes',), ('ping', 'gateway', '--count', '1')):
        out.show(here, *words)
    link = here.call('ping', 'gateway', '--count', '1')['replies'][0]

    results = {'connected_s': round(connected, 3), 'provider': here.status()['crypto']['provider'],
               'link': {key: link[key] for key in ('key_exchange', 'cipher', 'path_mtu')}}
    results |= measure(out, laptop, wan, nas, (here, there), digest)

    out.step('Results')
    for name, value in rows(results):
        out.say(f'{name:<35} {value}')
    if kept:
        keep(lab, (here, there))
        out.say('\nThe hosts stay up: sudo ./dev shell laptop (or wan, gateway, nas); sudo ./dev demo --stop ends them.')
    else:
        for node in (here, there):
            node.stop()
        wait_until('the interfaces are gone', lambda: not any(
            'quicether0' in node.host.interfaces() for node in (here, there)))
    return results


def main():
    parser = argparse.ArgumentParser(prog='./dev demo', description=__doc__.splitlines()[0])
    parser.add_argument('--json', action='store_true', help='print the results as JSON on standard output')
    parser.add_argument('--keep', action='store_true', help='leave the hosts up and say how to enter them')
    args = parser.parse_args()
    os.environ['QUICETHER'] = str(build.make_or_exit(build.variant(), build.PROGRAM) / build.PROGRAM)
    try:
        with Lab('demo') as lab:
            results = run(lab, Output(args.json), args.keep)
    except Failed as failure:
        sys.exit(f'dev: the demo failed: {failure}')
    if args.json:
        print(json.dumps(results, indent=2))


if __name__ == '__main__':
    main()
