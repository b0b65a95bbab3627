#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Who may send what: the hub's policy, whatever the others think.

    guest ============= hub ============= friend
    10.0.1.2     10.0.1.1 10.0.2.1      10.0.2.2

Guest and friend have no policy. Negative answers take the second that they are waited for.
"""
import json

from lab import Lab, Node, wait_until
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
        self.audit = node.config.with_name('audit.log')
        node.configure(peers=[peer.as_peer() for peer in peers],
                       security={'policy_file': 'policy.toml', 'audit_log': 'audit.log'},
                       performance={'workers': 2})
        node.start()

    def take(self, text):
        self.file.write_text(text)
        assert self.node.call('policy', 'reload')['changed']

    def drops(self):
        drops = self.node.status()['counters']['drops']
        return drops['policy'], drops['policy_out']


    def records(self, event):
        return [record for record in map(json.loads, self.audit.read_text().splitlines()) if record['event'] == event]

    def denied(self):
        """The packets that were denied, by rule and peer."""
        return {(row['rule'], row['node']): row['packets'] for row in self.node.call('policy', 'status')['denied']}


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


def all_is_told(hub, guest, friend):
    """In the audit log, and in the counts."""
    wait_until('packets are counted', lambda: len(hub.denied()) == 2)
    assert hub.denied().keys() == {(None, 'guest'), (None, 'friend')}, hub.denied()
    wait_until('denied packets are told', lambda: len(hub.records('denied')) >= 3)
    from_friend, = [record for record in hub.records('denied') if record['source_node'] == 'friend']
    assert from_friend['source_id'] == friend.id and from_friend['destination_id'] == hub.node.id, from_friend
    assert from_friend['source'] == friend.overlay and from_friend['destination'] == hub.node.overlay, from_friend
    assert from_friend['protocol'] == 'tcp' and from_friend['destination_port'] == PORT, from_friend
    assert from_friend['rule'] is None, from_friend


def all_flows_are_told(hub):
    """Once the daemon has stopped, each has its end: that of carry(), which this node has not heard of for long, too."""
    ended = [flow for flow in hub.records('flow') if flow['phase'] == 'end' and flow.get('destination_port') == PORT]
    for flow in ended:
        assert flow['source_node'] == 'guest' and flow['destination_node'] == 'hub', flow
        assert flow['protocol'] == 'tcp' and flow['rule'] in ('tcp', None) and flow['packets'] > 0, flow
        assert flow['started'] <= flow['ended'] <= flow['time'], flow
    assert len(ended) >= 3, ended
    assert max(flow['bytes'] for flow in ended) > 1 << 16, ended


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
    all_flows_are_told(hub)
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
    all_is_told(hub, guest, friend)
    a_reload_counts_at_once(hub, guest, friend)
    assert len(hub.records('policy_changed')) == 2
    an_enterprise_node_denies_everything(hub, guest)
