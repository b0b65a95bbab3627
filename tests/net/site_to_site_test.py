#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Two sites joined; their hosts need no change, and talk to one another with their own addresses.

    host1 192.168.1.2 -- router1 10.0.1.2 --- internet --- 10.0.2.2 router2 -- 192.168.2.2 host2
                            gate1                             gate2                see sites.py
"""
import re

import pair
from lab import Lab, wait_until
from sites import Site
from traffic import Stream, carry

SIZE = 3_000_000


def hops(host, address):
    """How many routers are on the way, by the hop limit that an answer has left of 64."""
    said = host.run('ping', '-n', '-c', 1, '-W', 2, address).stdout
    return 64 - int(re.search(r'ttl=(\d+)', said)[1])


def sees_source(sender, receiver, source, destination):
    """A connection comes from the very address that it was made from."""
    with receiver.accept_on(destination, 5005) as listener, sender.connect_to(destination, 5005):
        accepted, peer = listener.accept()
        accepted.close()
        return peer[0] == source


def trace(host, address):
    """Those who say that a hop limit has ended on the way, by traceroute's trick."""
    answers = []
    for limit in range(1, 10):
        said = host.run('ping', '-n', '-c', 1, '-W', 2, '-t', limit, address, check=False).stdout
        if re.search(r'bytes from', said):
            return answers
        answers += re.findall(r'From (\S+) ', said)
    raise AssertionError(f'{address} was not reached: {answers}')


def check_family(sites, version):
    one, two = sites
    source, destination = (site.addresses()[version == 6] for site in sites)
    assert one.host.pings(destination) and two.host.pings(source)
    assert sees_source(one.host, two.host, source, destination)
    assert sees_source(two.host, one.host, destination, source)
    carry(one.host, two.host, destination, SIZE)
    carry(two.host, one.host, source, SIZE)
    # Each gateway is one hop, and the router on the way out one more, unless it has told the host of the shorter way.
    assert hops(one.host, destination) in (2, 3), hops(one.host, destination)
    answers = trace(one.host, destination)
    assert any(answer.endswith(end) for answer in answers for end in ('1.3', '1::3')), answers


def check_given_back(sites, before):
    for site in sites:
        site.gate.stop()
        assert snapshot(site) == before[site], snapshot(site)


def snapshot(site):
    """What the daemon might have changed on its host."""
    host = site.gate_host
    return [host.run(*words).stdout for words in (
        ('sysctl', 'net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'), ('nft', 'list', 'ruleset'),
        ('ip', '-4', 'route', 'show', 'table', 'all'), ('ip', 'rule'), ('ip', '-br', 'link'))]


def main():
    with Lab('sites') as lab:
        internet = lab.router('internet')
        sites = one, two = [Site(lab, internet, number) for number in (1, 2)]
        before = {site: snapshot(site) for site in sites}
        one.gate.configure([two.as_peer()], network=one.own(), node={'role': 'gateway'})
        two.gate.configure([one.as_peer()], network=two.own(), node={'role': 'gateway'})
        pair.start_pair(one.gate, two.gate)
        wait_until('the sites reach one another', lambda: one.host.pings(two.addresses()[0]))
        for version in 4, 6:
            check_family(sites, version)
        with Stream(one.host, two.host, two.addresses()[0]) as stream:
            stream.wait_flow()
        check_given_back(sites, before)


if __name__ == '__main__':
    main()
