#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Two sites and a gateway in the cloud, which forwards for both while they cannot reach one another directly.

    host1 -- router1 10.0.1.2 ---+                +--- 10.0.2.2 router2 -- host2      sites.py
             gate1               +--- internet ---+             gate2
             100.64.0.1                  |                      100.64.0.2
                                10.0.9.2 cloud 100.64.0.9

The internet between site 1 and site 2 is cut without a word and comes back; the connection between their hosts lives on.
"""
import time

import pair
from lab import Lab, Node, wait_until
from sites import Site, inside, lan, outside
from traffic import Stream

CLOUD = 9
FAILOVER_SECONDS = 3  # of silence, as docs/protocol.md has it
SLACK = 2.5  # this machine, TCP's next retransmission


def state(gate, prefix, next_hop):
    """How the gate's routes say that one is used, with the next hop of that name."""
    for route in gate.call('routes')['routes']:
        if route['prefix'] == prefix and route['node'] == next_hop:
            return route['state']
    return None


def wait_best(gate, prefix, name, deadline=30):
    wait_until(f'{gate.name} sends {prefix} to {name}', lambda: state(gate, prefix, name) == 'best', deadline)


def carried(cloud):
    return cloud.status()['counters']['forwarded_packets']


def cut(internet):
    internet.nft('''table inet cut {
        chain forward {
            type filter hook forward priority filter;
            iifname "site1" oifname "site2" drop
            iifname "site2" oifname "site1" drop
        }
    }''')


def start(sites, cloud):
    one, two = sites
    for site, other in (one, two), (two, one):
        through = cloud.as_peer(addresses=inside(CLOUD), gateway_subnets=lan(other.number), endpoints=[outside(CLOUD)])
        site.gate.configure([other.as_peer(), through], network=site.own(), node={'role': 'gateway'})
    cloud.configure([site.as_peer() for site in sites], node={'role': 'gateway'},
                    network={'tun_addr': inside(CLOUD), 'forward_subnets': lan(1) + lan(2)})
    for node in (cloud, one.gate, two.gate):
        node.start()
    one.gate.wait_connected(two.gate, cloud)
    two.gate.wait_connected(one.gate, cloud)


def check(internet, sites, cloud, version):
    """The direct way, the way through the cloud, and the direct way again, under one connection."""
    one, two = sites
    prefix, back = lan(2)[version == 6], lan(1)[version == 6]
    wait_best(one.gate, prefix, 'gate2')
    wait_best(two.gate, back, 'gate1')
    assert state(one.gate, prefix, 'cloud') == 'standby'
    with Stream(one.host, two.host, two.addresses()[version == 6]) as stream:
        stream.wait_flow()
        before = carried(cloud)
        since = time.monotonic()
        cut(internet)
        stream.wait_flow(deadline=20)
        gap = stream.longest_gap(since)
        assert gap < FAILOVER_SECONDS + SLACK, f'{gap:.1f} s without data'
        wait_best(one.gate, prefix, 'cloud')
        wait_best(two.gate, back, 'cloud')
        assert carried(cloud) > before

        internet.run('nft', 'delete', 'table', 'inet', 'cut')
        wait_best(one.gate, prefix, 'gate2', deadline=60)
        wait_best(two.gate, back, 'gate1', deadline=60)
        settled = carried(cloud)
        stream.wait_flow()
        stream.wait_flow()
        assert carried(cloud) - settled < 50, (settled, carried(cloud))


def main():
    with Lab('three') as lab:
        internet = lab.router('internet')
        sites = [Site(lab, internet, number) for number in (1, 2)]
        cloud_host = lab.host('cloud')
        lab.link(cloud_host, 'eth0', f'10.0.{CLOUD}.2/24', internet, 'cloud', f'10.0.{CLOUD}.1/24')
        cloud_host.route('default', f'10.0.{CLOUD}.1')
        cloud = Node(cloud_host)
        start(sites, cloud)
        for version in 4, 6:
            check(internet, sites, cloud, version)


if __name__ == '__main__':
    main()
