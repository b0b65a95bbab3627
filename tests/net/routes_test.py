#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What `routes` and `route get` say of the ways to a prefix: who has it, who forwards for it, what is refused, and why.

    laptop ============ owner   (192.168.7.0/24 is its own; 192.168.8.0/24, which the laptop does not grant, too)
    10.0.0.1 |          10.0.1.2
             +========= one     (gateway to 192.168.7.0/24 and 10.9.0.0/16, metric 10)
             |          10.0.2.2
             +========= two     (gateway to 10.9.0.0/16, metric 20, and to the Internet, without the grant)
                        10.0.3.2
"""
import json

from lab import Lab, Node, wait_until


def ways(laptop, prefix):
    """The rows of a prefix, by node."""
    return {route['node']: route for route in laptop.call('routes')['routes'] if route['prefix'] == prefix}


def check_choice(laptop, owner, one):
    """The owner before any gateway; of gateways the lower metric."""
    wait_until('all have announced', lambda: len(ways(laptop, '10.9.0.0/16')) == 2 and len(ways(laptop, '192.168.7.0/24')) == 2)
    own = ways(laptop, '192.168.7.0/24')
    assert own['owner']['state'] == 'best' and own['owner']['next_hop'] == 'node', own
    assert own['one']['state'] == 'standby' and own['one']['next_hop'] == 'gateway', own
    assert own['owner']['host'] == 'installed' and own['one']['host'] is None, own
    shared = ways(laptop, '10.9.0.0/16')
    assert shared['one']['state'] == 'best' and shared['one']['metric'] == 10, shared
    assert shared['two']['state'] == 'standby' and shared['two']['metric'] == 20, shared
    assert all(route['source'] == 'announced' and route['why'] for route in [*own.values(), *shared.values()])

    way = laptop.call('route', 'get', '192.168.7.9')
    assert way['route']['node'] == 'owner' and way['route']['id'] == owner.id, way
    assert [route['node'] for route in way['candidates']] == ['owner', 'one'], way
    assert way['link']['remote'] == '10.0.1.2:7844', way
    assert way['policy']['answers'] == [], way
    assert laptop.call('route', 'get', '10.9.1.1')['route']['id'] == one.id
    assert laptop.call('route', 'get', laptop.overlay)['route']['next_hop'] == 'local'
    assert laptop.call('route', 'get', '203.0.113.1')['route'] is None
    said = laptop.run('route', 'get', '192.168.7.9', '--socket', laptop.socket).stdout
    assert '192.168.7.9 goes to owner, by 192.168.7.0/24' in said and '10.0.1.2:7844' in said, said
    assert laptop.run('route', 'get', 'nowhere', '--socket', laptop.socket, check=False).returncode == 1


def check_policy(laptop):
    """What the policy says to a packet on the way that is shown."""
    rules = [('web', 'tcp', 'ports = [80]\n'), ('ping', 'icmp', '')]
    (laptop.dir / 'policy.toml').write_text(''.join(
        f'[[rules]]\nid = "{name}"\nsubject = "*"\nobject = ["192.168.7.0/24"]\nprotocols = ["{protocol}"]\n{ports}action = "allow"\n'
        for name, protocol, ports in rules))
    laptop.config.write_text(laptop.config.read_text().replace('[security]\n', '[security]\npolicy_file = "policy.toml"\n'))
    assert laptop.call('reload')['keys'] == ['security.policy_file']
    for words, verdict, rule in (((), 'allow', 'ping'), (('--protocol', 'tcp', '--port', '80'), 'allow', 'web'),
                                 (('--protocol', 'tcp', '--port', '22'), 'deny', None)):
        (answer,) = laptop.call('route', 'get', '192.168.7.9', *words)['policy']['answers']
        assert (answer['verdict'], answer.get('rule')) == (verdict, rule), (words, answer)
    said = laptop.run('route', 'get', '192.168.7.9', '--socket', laptop.socket).stdout
    assert 'Policy     allow: ' in said, said


def check_refusals(laptop):
    refused = {(route['node'], route['prefix']): route for route in laptop.call('routes', '--rejected')['rejected']}
    assert refused.keys() == {('owner', '192.168.8.0/24'), ('two', '0.0.0.0/0')}, refused
    assert all(route['reason'] for route in refused.values())
    assert laptop.status()['routes']['refused'] == 2, laptop.status()['routes']
    said = laptop.run('routes', '--rejected', '--socket', laptop.socket).stdout
    assert '192.168.8.0/24' in said and 'owner' in said, said
    records = [json.loads(line) for line in (laptop.dir / 'audit.jsonl').read_text().splitlines()]
    rejected = {(row['node'], row['prefix']) for row in records if row['event'] == 'route_rejected'}
    assert rejected == refused.keys(), rejected
    assert ('owner', '192.168.7.0/24') in {(row['node'], row['prefix']) for row in records if row['event'] == 'route_accepted'}


def check_fallback(laptop, owner):
    """The gateway takes over from an owner that cannot be reached."""
    owner.stop()
    wait_until('the gateway is used', lambda: ways(laptop, '192.168.7.0/24')['one']['state'] == 'best')
    assert laptop.call('route', 'get', '192.168.7.9')['route']['node'] == 'one'
    table = laptop.run('routes', '--socket', laptop.socket).stdout
    assert 'gateway' in table and 'WHY' in table, table


def main():
    with Lab() as lab:
        hosts = laptop, *others = [lab.host(name) for name in ('laptop', 'owner', 'one', 'two')]
        for number, other in enumerate(others, 1):
            lab.link(laptop, f'eth{number}', f'10.0.{number}.1/24', other, 'eth0', f'10.0.{number}.2/24')
        laptop, owner, one, two = (Node(host) for host in hosts)
        laptop.configure(
            peers=[owner.as_peer(subnets=['192.168.7.0/24']),
                   one.as_peer(gateway_subnets=['192.168.7.0/24', '10.0.0.0/8']),
                   two.as_peer(gateway_subnets=['10.9.0.0/16'])],
            security={'audit_log': 'audit.jsonl'})
        for number, node, network in (
                (1, owner, {'advertise_subnets': ['192.168.7.0/24', '192.168.8.0/24']}),
                (2, one, {'forward_subnets': ['192.168.7.0/24', '10.9.0.0/16'], 'metric': 10}),
                (3, two, {'forward_subnets': ['10.9.0.0/16', '0.0.0.0/0'], 'metric': 20})):
            node.configure(peers=[laptop.as_peer(endpoints=[f'10.0.{number}.1:7844'])], network=network,
                           node={'role': 'gateway'})
        for node in (laptop, owner, one, two):
            node.start()
        laptop.wait_connected(owner, one, two)
        check_choice(laptop, owner, one)
        check_refusals(laptop)
        check_policy(laptop)
        check_fallback(laptop, owner)
        for node in (two, one, laptop):
            assert node.stop() == 0


if __name__ == '__main__':
    main()
