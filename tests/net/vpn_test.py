#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""VPN mode as its user sees it: up, what goes through it, how it says that the gateway is gone and back, and down, with the host as it
was, byte for byte. And all that can be wrong: each gives a clear error, and an untouched host.

The network is drawn in internet.py.
"""
import json

import host_state
from internet import GATE, GATE_INSIDE, LAPTOP_INSIDE, ROUTER, SERVER, UDP_PORT, Internet, Services, answer, question_of
from lab import Failed, Lab, Node, wait_until
from leaks import new_marker
from traffic import carry

SIZE = 3_000_000


class Events:
    """The states that "vpn status --watch" tells, one after the other."""

    def __init__(self, node):
        self.node = node
        self.process = node.host.spawn('watch', *node.words('vpn', 'status', '--watch', '--json', '--socket', node.socket))
        wait_until('the watch has begun', lambda: '"state"' in self.process.said())

    def states(self):
        lines = [line for line in self.process.said().splitlines() if line.startswith('{"event"') or '"event": "vpn"' in line]
        return [json.loads(line)['state'] for line in lines]

    def wait(self, *states):
        """For these as the last ones, without a look at the status; also of a gateway that nothing is sent to."""
        wait_until(f'the states are {states}', lambda: tuple(self.states()[-len(states):]) == states, deadline=15)

    def stop(self):
        self.process.stop()


def vpn(node, *words, **options):
    return node.run('vpn', *words, '--socket', node.socket, **options)


def status(node):
    return node.call('vpn', 'status')


def wait_state(node, state, deadline=10):
    wait_until(f'VPN mode is {state}', lambda: status(node)['state'] == state, deadline)


def sources_seen(internet, services, marker):
    """Whom the server sees when the laptop speaks to it, by UDP and both kinds of IP."""
    services.seen.clear()
    for address in SERVER:
        with internet.laptop.socket(10 if ':' in address else 2, 2) as sender:
            sender.sendto(marker, (address, UDP_PORT))
            sender.recv(100)
    return services.sources('udp')


def check_tunnel(internet, services, marker):
    """TCP, UDP and ICMP of both families, all of which the server takes for the gateway's."""
    assert sources_seen(internet, services, marker) == set(GATE), services.seen
    for address in SERVER:
        assert internet.laptop.pings(address), address
        carry(internet.laptop, internet.server, address, SIZE)


def resolve(host, name):
    """As any program does: the addresses, or none."""
    done = host.run('getent', 'ahosts', name, check=False)
    return {line.split()[0] for line in done.stdout.splitlines()}


def check_names(internet, laptop, gate, services):
    """By the gateway's resolver, which asks the server in its own name; and those of nodes."""
    services.seen.clear()
    name = f'www.{services.marker.decode()}.example'
    assert resolve(internet.laptop, name) == set(SERVER), resolve(internet.laptop, name)
    assert services.sources('dns') <= set(GATE), services.seen
    assert resolve(internet.laptop, 'gate.quicether.internal') == {gate.overlay, *GATE_INSIDE}
    assert resolve(internet.laptop, 'laptop') == {laptop.overlay, *LAPTOP_INSIDE}
    assert not resolve(internet.laptop, 'nobody.quicether.internal')
    assert resolve(internet.laptop, 'not-there.nowhere.example') == set()


def check_status(laptop):
    wait_until('the gateway has told its address', lambda: status(laptop)['exit_address'].get('ipv4'))
    said = status(laptop)
    assert said['exit_address'] == {'ipv4': GATE[0], 'ipv6': GATE[1]}, said
    assert said['dns']['state'] == 'ok' and GATE_INSIDE[0] in said['dns']['servers'], said
    assert said['via']['name'] == 'gate' and said['families'] == ['ipv4', 'ipv6'], said
    assert said['tunnelled'] == 'everything' and said['excluded'] == said['lan'] == [], said
    assert said['kill_switch'] == 'holds' and said['reason'] is None, said
    assert laptop.status()['vpn']['state'] == 'connected'


def check_up_and_down(internet, laptop, gate, services, marker):
    before = host_state.read(internet.laptop)
    assert status(laptop)['state'] == 'off'
    assert vpn(laptop, 'up').returncode == 0
    check_status(laptop)
    check_tunnel(internet, services, marker)
    check_names(internet, laptop, gate, services)
    assert vpn(laptop, 'up').returncode == 0, 'once more is no error'
    vpn(laptop, 'down')
    host_state.check(internet.laptop, before)
    assert status(laptop)['state'] == 'off'
    assert sources_seen(internet, services, marker).isdisjoint(GATE)


def check_states(internet, laptop, gate, services, marker):
    """The gateway goes and comes back."""
    vpn(laptop, 'up')
    events = Events(laptop)
    gate.kill()
    events.wait('reconnecting')
    assert 'gate' in status(laptop)['reason']
    assert not any(internet.laptop.pings(address, timeout=1) for address in SERVER)
    gate.start()
    events.wait('reconnecting', 'connected')
    check_tunnel(internet, services, marker)
    vpn(laptop, 'down')
    events.wait('reconnecting', 'connected', 'off')
    events.stop()


# ---- what can be wrong ----


def refused(node, said, *words):
    """The command fails, and says why; the host is as it was."""
    before = host_state.read(node.host)
    done = vpn(node, *words, check=False)
    if done.returncode != 1 or said not in done.stderr:
        raise Failed(f'vpn {" ".join(words)}: {done.returncode}: {done.stderr!r}, without {said!r}')
    host_state.check(node.host, before)
    assert status(node)['state'] == 'off'


def check_gateways(internet, laptop):
    """Those that cannot be gone through, for various reasons."""
    refused(laptop, 'no peer has the name or NodeId "nobody"', 'up', '--via', 'nobody')
    refused(laptop, 'friend may not be a way to everywhere: exit = true', 'up', '--via', 'friend')
    refused(laptop, 'passive is not connected, and there are no endpoints', 'up', '--via', 'passive')
    internet.laptop.ip('-6', 'route', 'delete', 'default')
    refused(laptop, 'this host has no route to far', 'up', '--via', 'far')
    internet.laptop.route('default', ROUTER[1])


def check_nft_missing(internet, laptop):
    """A search of PATH is not what finds it, and so it is hidden."""
    before = host_state.read(internet.laptop)
    internet.laptop.run('mount', '--bind', '/dev/null', '/usr/sbin/nft')
    try:
        done = vpn(laptop, 'up', check=False)
        assert done.returncode == 1 and 'install nftables' in done.stderr, done
    finally:
        internet.laptop.run('umount', '/usr/sbin/nft')
    host_state.check(internet.laptop, before)


def check_conflicts(internet, laptop):
    """Others that use the same mark or table."""
    for words in (['rule', 'add', 'fwmark', '20805', 'lookup', '99'], ['rule', 'add', 'from', '198.51.100.1', 'lookup', '20805'],
                  ['route', 'add', '198.51.100.0/24', 'dev', 'eth0', 'table', '20805']):
        print(f'somebody else: ip {" ".join(words)}')
        internet.laptop.ip(*words)
        refused(laptop, '20805', 'up')
        internet.laptop.ip(*(word if word != 'add' else 'delete' for word in words))


def check_bad_lists(internet, laptop, gate):
    """A prefix that is included and excluded is an error of the configuration, in which nothing changes."""
    internet.configure_laptop(laptop, gate, include=['198.51.100.0/24'], exclude=['198.51.100.0/24'])
    done = laptop.run('reload', '--socket', laptop.socket, check=False)
    assert done.returncode != 0 and 'exclude' in done.stderr and 'include' in done.stderr, done
    assert status(laptop)['state'] == 'off'


class Directory(Services):
    """The LAN's name server, which knows where the gateway is, and nothing else."""

    NAME = 'gate.public.example'

    def tell(self, receiver):
        query, source = receiver.recvfrom(4096)
        name, _, _ = question_of(query)
        self.asked.append((name, source[0]))
        receiver.sendto(answer(query, GATE if name == self.NAME else ()), source)


def check_start(internet, laptop, gate, services, marker):
    """On from the start, through a gateway that is known by its name alone: it is asked for beside the tunnel."""
    internet.configure_laptop(laptop, gate)
    text = laptop.config.read_text().replace(f'{GATE[0]}:', f'{Directory.NAME}:')
    laptop.config.write_text(text)
    before = host_state.read(internet.laptop)
    with Directory(internet.router, marker, ROUTER) as directory:
        laptop.start('--vpn')
        wait_state(laptop, 'connected')
        assert sources_seen(internet, services, marker) == set(GATE)
        check_names(internet, laptop, gate, services)
        assert {name for name, _ in directory.asked} == {Directory.NAME}, directory.asked
    laptop.stop()
    host_state.check(internet.laptop, before)


def check_second_daemon(internet, laptop, services, marker):
    """In the same network namespace; the first one's VPN mode goes on."""
    vpn(laptop, 'up')
    before = host_state.read(internet.laptop)
    second = laptop.dir / 'second'
    second.mkdir()
    (second / 'config.toml').write_text(f'[node]\nkey_file = "{second}/node.key"\n')
    done = laptop.run('start', '--config', second / 'config.toml', '--socket', second / 'quicether.sock',
                      '--tun-name', 'second', '--listen', ':7900', check=False)
    assert done.returncode == 1 and 'clashes with the' in done.stderr, done
    host_state.check(internet.laptop, before)
    assert sources_seen(internet, services, marker) == set(GATE)
    vpn(laptop, 'down')


def add_strangers(lab, laptop, gate):
    """Peers that are never there."""
    friend, passive, far = (Node(lab.host(name)) for name in ('friend', 'passive', 'far'))
    peers = [gate.as_peer(addresses=GATE_INSIDE, endpoints=[f'{GATE[0]}:{Node.PORT}'], exit=True),
             friend.as_peer(endpoints=['198.51.100.1:7844']), passive.as_peer(exit=True),
             far.as_peer(endpoints=['[2001:db8:77::1]:7844'], exit=True)]
    laptop.configure(peers, network={'tun_addr': LAPTOP_INSIDE}, vpn={'via': 'gate'})
    laptop.run('reload', '--socket', laptop.socket)


def main():
    marker = new_marker()
    with Lab('vpn') as lab:
        internet = Internet(lab)
        laptop, gate = internet.nodes()
        for node in gate, laptop:
            node.start()
        laptop.wait_connected(gate)
        with Services(internet.server, marker) as services:
            check_up_and_down(internet, laptop, gate, services, marker)
            check_states(internet, laptop, gate, services, marker)
            add_strangers(lab, laptop, gate)
            check_gateways(internet, laptop)
            check_nft_missing(internet, laptop)
            check_conflicts(internet, laptop)
            check_bad_lists(internet, laptop, gate)
            check_second_daemon(internet, laptop, services, marker)
            laptop.stop()
            check_start(internet, laptop, gate, services, marker)


if __name__ == '__main__':
    main()
