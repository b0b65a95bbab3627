#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Who may send what: the hub's policy, whatever the others think.

    guest ============= hub ============= friend
    10.0.1.2     10.0.1.1 10.0.2.1      10.0.2.2

Guest and friend have no policy. Negative answers take the second that they are waited for.
"""
from lab import Lab, Node
from traffic import carry

PORT = 5003  # of carry()
TCP = f'''
[[rules]]
id = "tcp"
subject = "guest"
object = "node:hub"
protocols = "tcp"
ports = [{PORT}]
action = "allow"
log = true

[[tests]]
from = "friend"
to = "node:hub"
protocol = "tcp"
port = {PORT}
expect = "deny"
'''
PING = '''
[[rules]]
id = "ping"
subject = "*"
object = "*"
protocols = "icmp"
action = "allow"
'''


class Hub:
    def __init__(self, node, *peers):
        self.node, self.file = node, node.config.with_name('policy.toml')
        self.file.write_text(TCP)
        node.configure(peers=[peer.as_peer() for peer in peers], security={'policy_file': 'policy.toml'})
        node.start()

    def take(self, text):
        self.file.write_text(text)
        assert self.node.call('policy', 'reload')['changed']

    def drops(self):
        drops = self.node.status()['counters']['drops']
        return drops['policy'], drops['policy_out']


def reaches(host, address):
    try:
        host.connect_to(address, PORT, timeout=1).close()
    except TimeoutError:
        return False
    return True


def only_what_is_allowed(hub, guest, friend):
    """In from the guest, with the replies; not in otherwise, and not out."""
    before = hub.drops()
    carry(guest.host, hub.node.host, hub.node.overlay, 1 << 16)
    with hub.node.host.accept_on(hub.node.overlay, PORT):
        assert reaches(guest.host, hub.node.overlay)
        assert not reaches(friend.host, hub.node.overlay)
    assert not guest.host.pings(hub.node.overlay, timeout=1)
    assert not hub.node.host.pings(guest.overlay, timeout=1)
    assert all(now > then for now, then in zip(hub.drops(), before)), (before, hub.drops())


def a_reload_counts_at_once(hub, guest, friend):
    """For what is new, and for a connection that is open."""
    with hub.node.host.accept_on(hub.node.overlay, PORT) as listener:
        talker = guest.host.connect_to(hub.node.overlay, PORT)
        listening = listener.accept()[0]
    with talker, listening:
        listening.settimeout(1)
        talker.sendall(b'before')
        assert listening.recv(64) == b'before'
        hub.take(PING)
        assert guest.host.pings(hub.node.overlay) and friend.host.pings(hub.node.overlay)
        assert hub.node.host.pings(guest.overlay)
        talker.sendall(b'denied')
        try:
            raise AssertionError(listening.recv(64))
        except TimeoutError:
            pass
        hub.take(PING + TCP)
        listening.settimeout(20)  # until the kernel sends it once more
        assert listening.recv(64) == b'denied'


def an_enterprise_node_denies_everything(hub, guest):
    hub.node.stop()
    hub.node.configure(peers=[guest.as_peer()], node={'role': 'enterprise'})
    hub.node.start()
    hub.node.wait_connected(guest)
    assert not guest.host.pings(hub.node.overlay, timeout=1)
    assert hub.node.call('policy', 'reload')['rules'] == 0


with Lab() as lab:
    hosts = hub_host, guest_host, friend_host = [lab.host(name) for name in ('hub', 'guest', 'friend')]
    lab.link(hub_host, 'eth0', '10.0.1.1/24', guest_host, 'eth0', '10.0.1.2/24')
    lab.link(hub_host, 'eth1', '10.0.2.1/24', friend_host, 'eth0', '10.0.2.2/24')
    node, guest, friend = [Node(host) for host in hosts]
    for member, endpoint in ((guest, '10.0.1.1:7844'), (friend, '10.0.2.1:7844')):
        member.configure(peers=[node.as_peer(endpoints=[endpoint])])
        member.start()
    hub = Hub(node, guest, friend)
    node.wait_connected(guest, friend)
    only_what_is_allowed(hub, guest, friend)
    a_reload_counts_at_once(hub, guest, friend)
    an_enterprise_node_denies_everything(hub, guest)
