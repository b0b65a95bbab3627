#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Programs that go another way than the rest: "quicether only" through the tunnel and nothing beside it, whatever happens to the
daemon, and "quicether bypass" beside it, while VPN mode closes all else. With a capture on the uplink; each program's packets
have a marker of its own.

The network is drawn in internet.py. The gateway asks the server for names, the laptop its router, before it asks itself.
"""
import pathlib
import subprocess

import host_state
from internet import GATE, LAPTOP, ROUTER, SERVER, UDP_PORT, Internet, Services
from lab import Lab, Node, wait_until
from leaks import new_marker

CLIENT = '''
import socket, sys, time
marker, name, *servers = sys.argv[1:]
while True:
    try:
        for server in servers:
            with socket.socket(socket.AF_INET6 if ':' in server else socket.AF_INET, socket.SOCK_DGRAM) as speaker:
                speaker.settimeout(2)
                speaker.connect((server, %d))
                speaker.send(marker.encode())
                print('said', speaker.recv(100).decode(), 'to', server, 'from', speaker.getsockname()[0], flush=True)
        print(name, 'is', socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)[0][4][0], flush=True)
    except OSError as error:
        print('failed', error, flush=True)
    if marker.startswith('once'):
        break
    time.sleep(0.05)
''' % UDP_PORT


class Programs:
    """Programs on the laptop, and what the wires have seen of them."""

    def __init__(self, internet, node):
        self.internet, self.node, self.count = internet, node, 0

    def words(self, way, *words):
        return self.node.words(way, '--socket', self.node.socket, '--user', 'nobody', '--', *words)

    def once(self, way, name='www.example'):
        """What a program says that speaks once, and its marker."""
        self.count += 1
        marker = f'once{self.count}{new_marker().decode()}'
        words = ['/usr/bin/python3', '-c', CLIENT, marker, name, *SERVER]
        done = self.internet.laptop.run(*(self.words(way, *words) if way else words))
        assert done.stderr == '', done.stderr
        return done.stdout, marker

    def forever(self, way, name):
        marker = f'always{way}'
        return self.internet.laptop.spawn(way, *self.words(way, '/usr/bin/python3', '-c', CLIENT, marker, name, *SERVER)), marker


def is_seen(packets, marker):
    return any(marker.encode() in packet.data for packet in packets)


def tables(host):
    return [line.split()[-1] for line in host.run('nft', 'list', 'tables').stdout.splitlines() if 'quicether_only' in line]


def has_folder(name):
    """Of a cgroup, wherever the hierarchy is."""
    script = f'mount -t cgroup2 none /sys/fs/cgroup && test -d /sys/fs/cgroup/quicether/{name}'
    return subprocess.run(['unshare', '--mount', 'sh', '-c', script], check=False).returncode == 0


def check_only(internet, programs, services, before):
    """VPN mode is off: the rest of the host goes beside the tunnel, the program does not."""
    capture = internet.router.capture('home')
    said, marker = programs.once('only')
    for address, source in zip(SERVER, ('100.64.0.1', 'fd64::1')):
        assert f'said {marker} to {address} from {source}' in said, said
    assert f'www.example is {SERVER[0]}' in said, said
    assert {source for kind, source in services.seen if kind == 'udp'} == set(GATE), services.seen
    assert 'www.example' in services.asked
    others, plain = programs.once(None, 'plain.example')
    assert f'said {plain}' in others, others
    packets = capture.stop()
    assert is_seen(packets, plain) and not is_seen(packets, marker)
    assert not any(b'\x03www\x07example' in packet.data for packet in packets)
    assert not tables(internet.laptop)
    assert host_state.read(internet.laptop).split('== resolver')[1] == before.split('== resolver')[1]


def check_results(internet, node):
    run = internet.laptop.run
    words = Programs(internet, node).words
    assert run(*words('only', 'sh', '-c', 'exit 7'), check=False).returncode == 7
    assert run(*words('bypass', 'id', '-un')).stdout == 'nobody\n'
    assert run(*words('bypass', 'sh', '-c', 'kill -TERM $$'), check=False).returncode == 128 + 15
    gone = run(*words('only', '/no/such/program'), check=False)
    assert gone.returncode == 1 and '/no/such/program cannot be run' in gone.stderr, gone
    stranger = run(*node.words('bypass', '--socket', node.socket, '--user', 'nosuchuser', '--', 'true'), check=False)
    assert stranger.returncode == 1 and 'no user nosuchuser' in stranger.stderr, stranger
    mortal = run('setpriv', '--reuid', '65534', '--clear-groups', *words('bypass', 'true'), check=False)
    assert mortal.returncode == 4 and 'only root' in mortal.stderr, mortal
    assert not tables(internet.laptop)


def check_background(internet, node):
    """What a program leaves running is held to its way, until it ends; folder and table go with the last one."""
    fifo = internet.laptop.lab.dir / 'end'
    internet.laptop.run('mkfifo', fifo)
    waiting = f'read line <{fifo}'
    internet.laptop.run(*node.words('only', '--socket', node.socket, 'sh', '-c', f'({waiting}) >/dev/null 2>&1 </dev/null &'))
    [table] = tables(internet.laptop)
    folder = f'only.{table.split("_")[-1]}'
    assert has_folder(folder)
    pathlib.Path(fifo).write_text('end\n')
    wait_until('nothing is left behind', lambda: not tables(internet.laptop) and not has_folder(folder))
    bypass = internet.laptop.spawn('waiting', *node.words('bypass', '--socket', node.socket, 'sh', '-c', f'echo waiting; {waiting}'))
    bypass.wait_said('waiting')
    assert has_folder(f'bypass.{bypass.pid}')
    pathlib.Path(fifo).write_text('end\n')
    assert bypass.wait() == 0 and not has_folder(f'bypass.{bypass.pid}')
    # What is left of one that was killed goes with the next one, and not before its program has ended.
    killed = internet.laptop.spawn('killed', *node.words('only', '--socket', node.socket, 'sh', '-c', f'echo waiting; {waiting}'))
    killed.wait_said('waiting')
    killed.kill()
    following = node.words('only', '--socket', node.socket, 'true')
    internet.laptop.run(*following)
    assert len(tables(internet.laptop)) == 1 and has_folder(f'only.{killed.pid}')
    pathlib.Path(fifo).write_text('end\n')

    def is_swept():
        internet.laptop.run(*following)
        return not tables(internet.laptop) and not has_folder(f'only.{killed.pid}')
    wait_until('what it has left is swept up', is_swept)


def check_bypass(internet, programs, node, services):
    node.run('vpn', 'up', '--socket', node.socket)
    capture = internet.router.capture('home')
    services.seen.clear()
    said, plain = programs.once(None, 'plain.example')
    assert f'said {plain}' in said and {source for _, source in services.seen} == set(GATE), (said, services.seen)
    services.seen.clear()
    said, marker = programs.once('bypass', 'beside.example')
    for address, source in zip(SERVER, LAPTOP):
        assert f'said {marker} to {address} from {source}' in said, said
    assert f'beside.example is {SERVER[0]}' in said, said
    assert {source for kind, source in services.seen if kind == 'udp'} == set(LAPTOP), services.seen
    said, inside = programs.once('only')
    assert f'said {inside}' in said and f'www.example is {SERVER[0]}' in said, said
    packets = capture.stop()
    assert is_seen(packets, marker) and not is_seen(packets, plain) and not is_seen(packets, inside)
    assert any(b'\x06beside\x07example' in packet.data and packet.destination == ROUTER[0] for packet in packets)
    assert not tables(internet.laptop)


def check_killed(internet, programs, node):
    """Without the daemon one goes on as it was, and of the other nothing leaves."""
    node.run('vpn', 'down', '--socket', node.socket)
    only, inside = programs.forever('only', 'inside.example')
    wait_until('the program has spoken', lambda: 'inside.example is' in only.said())
    capture = internet.router.capture('home')
    node.kill()
    failed = only.said().count('failed')
    wait_until('it cannot speak any more', lambda: only.said().count('failed') > failed + 5, deadline=30)
    packets = capture.stop()
    assert not is_seen(packets, inside)
    assert not any(b'inside\x07example' in packet.data for packet in packets)
    refused = internet.laptop.run(*node.words('only', '--socket', node.socket, '--', 'true'), check=False)
    assert refused.returncode == 3, refused
    only.stop()
    wait_until('nothing is left behind', lambda: not tables(internet.laptop))


def check_held(internet, programs, node):
    """The kill switch of a daemon that was killed lets out who goes beside the tunnel."""
    node.start()
    node.run('vpn', 'up', '--socket', node.socket)
    node.kill()
    said, marker = programs.once(None, 'plain.example')
    assert 'failed' in said, said
    said, marker = programs.once('bypass')
    assert all(f'said {marker} to {address}' in said for address in SERVER), said


def main():
    with Lab('bypass') as lab:
        internet = Internet(lab)
        before = host_state.read(internet.laptop)
        node, gate = internet.nodes()
        for each in gate, node:
            each.start()
        node.wait_connected(gate)
        programs = Programs(internet, node)
        with Services(internet.server, b'once') as services, Services(internet.router, b'once', ROUTER):
            check_only(internet, programs, services, before)
            check_results(internet, node)
            check_background(internet, node)
            check_bypass(internet, programs, node, services)
            check_killed(internet, programs, node)
            check_held(internet, programs, node)
        node.run('repair', '--socket', node.socket)
        host_state.check(internet.laptop, before)


if __name__ == '__main__':
    main()
