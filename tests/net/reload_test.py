#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A changed configuration takes effect without a restart, and what did not change is not touched.

    guest ============= hub ============= friend
    10.0.1.2     10.0.1.1 10.0.2.1      10.0.2.2

The friend advertises 192.168.9.0/24 and 192.168.10.0/24, of which the hub grants it one, the other, both or neither.
Over the link between hub and friend a TCP connection carries numbered blocks both ways all the time.
"""
import json
import signal
import time

from lab import Lab, Node, wait_until
from traffic import Stream

GAP_MAX = 2  # seconds; a link that is made anew after an outage takes longer, and is told by its counters


class Hub:
    """The node whose configuration changes, and what it is at the moment."""

    def __init__(self, node, friend, guest):
        self.node, self.friend, self.guest = node, friend, guest
        self.guests, self.friend_keys, self.sections = [], {}, {}

    def write(self):
        """As an editor does: a new file in the place of the former."""
        path = self.node.config
        self.node.config = path.with_suffix('.new')
        self.node.configure(peers=[self.friend.as_peer(**self.friend_keys), *self.guests], **self.sections)
        self.node.config.rename(path)
        self.node.config = path

    def reload(self):
        self.write()
        return self.node.call('reload')

    def ask(self, *words):
        """A command that may fail: its exit status, and its answer."""
        done = self.node.run(*words, '--json', '--socket', self.node.socket, check=False)
        return done.returncode, json.loads(done.stdout)

    def life(self):
        """What tells one link to the friend from another."""
        peer = self.node.peer(self.friend)
        return {key: peer[key] for key in ('state', 'links', 'reconnects', 'rotations')} | {'local': peer['link']['local']}


def add_and_remove(hub):
    """A stranger becomes a peer, and a stranger again."""
    node, guest = hub.node, hub.guest
    hub.guests = [guest.as_peer()]
    assert hub.reload() == {'ok': True, 'added': ['guest'], 'removed': [], 'changed': [], 'keys': [], 'restart': []}
    node.wait_connected(guest)
    assert node.host.pings(guest.overlay)

    hub.guests = []
    assert hub.reload()['removed'] == ['guest']
    wait_until('the guest has no link any more', lambda: guest.peer(node)['state'] != 'connected')
    assert node.peer(guest) is None
    assert not guest.host.pings(node.overlay, timeout=1)


def change_prefixes(hub):
    """Of the peer whose link is in use."""
    hub.friend_keys = {'subnets': ['192.168.9.0/24'], 'endpoints': ['10.0.2.2:7844']}
    assert hub.reload()['changed'] == ['friend']
    assert '192.168.9.0/24' in hub.node.peer(hub.friend)['addresses']
    hub.friend_keys = {'subnets': ['192.168.10.0/24'], 'endpoints': ['10.0.2.2:7844']}
    assert hub.reload()['changed'] == ['friend']
    routes = {route['prefix']: route for route in hub.node.call('routes')['routes']}
    assert routes['192.168.10.0/24']['node'] == 'friend' and '192.168.9.0/24' not in routes, routes
    refused = {route['prefix']: route for route in hub.node.call('routes', '--rejected')['rejected']}
    assert refused['192.168.9.0/24']['node'] == 'friend' and '192.168.10.0/24' not in refused, refused


def routes_of(hub):
    return [route['dst'] for route in json.loads(hub.node.host.ip('-j', 'route', 'show', 'dev', 'quicether0').stdout)]


def change_host(hub):
    """Addresses of the interface, and routes of the host."""
    hub.sections = {'network': {'tun_addr': ['100.64.0.1/24']}}
    hub.friend_keys = {'subnets': ['192.168.10.0/24'], 'endpoints': ['10.0.2.2:7844']}
    assert hub.reload()['keys'] == ['network.tun_addr']
    assert '100.64.0.1/24' in hub.node.host.ip('address', 'show', 'dev', 'quicether0').stdout
    wait_until('the host has the route', lambda: '192.168.10.0/24' in routes_of(hub))
    hub.sections, hub.friend_keys = {}, {}
    assert hub.reload()['changed'] == ['friend']
    assert '100.64.0.1' not in hub.node.host.ip('address', 'show', 'dev', 'quicether0').stdout
    wait_until('the host has it no more', lambda: '192.168.10.0/24' not in routes_of(hub))


def refuse(hub):
    """What is wrong is said with its place, and changes nothing."""
    before = hub.node.peers().keys()
    hub.guests = [hub.guest.as_peer(subnets=['192.168.1.5/24'])]
    hub.write()
    status, answer = hub.ask('reload')
    assert status == 1 and not answer['ok'], answer
    (error,) = answer['errors']
    assert error['where'] == str(hub.node.config) and error['line'] and error['column'], error
    assert error['key'] == 'peers.subnets' and '192.168.1.0/24' in error['text'], error
    said = hub.node.run('reload', '--socket', hub.node.socket, check=False)
    assert said.returncode == 1 and f'{hub.node.config}:{error["line"]}:' in said.stderr, said
    assert 'nothing was changed' in said.stderr, said
    hub.guests = [hub.node.as_peer()]
    hub.write()
    status, answer = hub.ask('reload')
    assert status == 1 and "this node's own NodeId" in answer['errors'][0]['text'], answer
    hub.node.config.rename(kept := hub.node.config.with_suffix('.kept'))
    status, answer = hub.ask('reload')
    assert status == 1 and 'No such file' in answer['errors'][0]['text'], answer
    kept.rename(hub.node.config)
    assert hub.node.peers().keys() == before
    hub.guests = []
    hub.reload()


def hang_up(hub):
    """SIGHUP does the same, and both outcomes are in the log."""
    hub.guests = [hub.guest.as_peer()]
    hub.write()
    hub.node.daemon.signal(signal.SIGHUP)
    hub.node.wait_connected(hub.guest)
    hub.node.daemon.wait_said('peers added: guest')
    hub.node.config.write_text('[node\n')
    hub.node.daemon.signal(signal.SIGHUP)
    hub.node.daemon.wait_said("expected ']'")
    hub.node.wait_connected(hub.guest)


def name_what_needs_a_restart(hub):
    hub.sections = {'network': {'mtu': 1300, 'listen': '[::]:7844'}, 'monitoring': {'log_level': 'debug'}}
    answer = hub.reload()
    assert answer['restart'] == ['network.mtu'] and answer['keys'] == ['monitoring.log_level'], answer
    assert hub.node.status()['tun']['mtu'] == 1400
    assert hub.reload()['restart'] == ['network.mtu']
    hub.sections = {}
    assert hub.reload()['restart'] == []


def main():
    with Lab() as lab:
        hosts = guest, hub, friend = lab.host('guest'), lab.host('hub'), lab.host('friend')
        lab.link(guest, 'eth0', '10.0.1.2/24', hub, 'eth0', '10.0.1.1/24')
        lab.link(friend, 'eth0', '10.0.2.2/24', hub, 'eth1', '10.0.2.1/24')
        guest, node, friend = (Node(host) for host in hosts)
        guest.configure(peers=[node.as_peer(endpoints=['10.0.1.1:7844'])])
        friend.configure(peers=[node.as_peer(endpoints=['10.0.2.1:7844'])],
                         network={'advertise_subnets': ['192.168.9.0/24', '192.168.10.0/24']})
        hub = Hub(node, friend, guest)
        hub.write()
        for each in (node, friend, guest):
            each.start()
        node.wait_connected(friend)
        with Stream(friend.host, node.host, node.overlay) as stream:
            stream.wait_flow()
            since, before = time.monotonic(), hub.life()
            for step in (add_and_remove, change_prefixes, change_host, refuse, hang_up, name_what_needs_a_restart):
                step(hub)
                stream.wait_flow()
                assert hub.life() == before, (step.__name__, before, hub.life())
            assert stream.longest_gap(since) < GAP_MAX
        for each in (guest, friend, node):
            assert each.stop() == 0


if __name__ == '__main__':
    main()
