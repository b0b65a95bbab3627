#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A daemon that ends, in order or killed, leaves its host as it was; started again, it takes up its connections.

    dialler ============================= waiter --------------- nas
    10.0.0.1                            10.0.0.2   192.168.7.1     192.168.7.9
    2001:db8::1                      2001:db8::2     (advertised)
    100.64.0.1                        100.64.0.2

The dialler has an endpoint for the waiter, which has none for the dialler. An open TCP connection carries numbered blocks
both ways all the time.
"""
import json
import signal
import time

import pair
from lab import Lab, Node, wait_until
from traffic import Stream

BACK_MAX = 5  # seconds from the start of the daemon until traffic flows again; TCP waits longer after each outage
LISTS = (('-d', 'link'), ('address',), ('route', 'show', 'table', 'all'), ('-6', 'route', 'show', 'table', 'all'),
         ('rule',), ('-6', 'rule'))
SETTINGS = r'^net\.(core|ipv4|ipv6|unix)\.'


def snapshot(host):
    """All that a daemon could leave on a host, in lines."""
    lines = [json.dumps(row, sort_keys=True) for words in LISTS for row in json.loads(host.ip('-j', *words).stdout or '[]')]
    lines += host.run('sysctl', '-e', '-a', '-r', SETTINGS).stdout.splitlines()
    return set(lines + host.run('nft', 'list', 'ruleset').stdout.splitlines())


def check_is_as_before(host, before):
    difference = set()

    def same():
        difference.clear()
        difference.update(before ^ snapshot(host))
        return not difference
    try:
        wait_until(f'{host.name} is as before', same, deadline=3)
    finally:
        for line in difference:
            print(f'{"-" if line in before else "+"} {line}')


def end(node, number):
    node.daemon.signal(number)
    status = node.daemon.wait()
    if number == signal.SIGTERM:
        assert status == 0, status
        assert not node.socket.exists()
    else:
        assert status == -number, status


def restart(node, other, before, number, stream):
    end(node, number)
    check_is_as_before(node.host, before)
    began = time.monotonic()
    node.start(ready=False)
    stream.wait_flow(deadline=BACK_MAX)
    back = time.monotonic() - began
    wait_until('the new daemon answers', node.is_ready)
    assert pair.TUN in node.host.interfaces()
    for one, another in ((node, other), (other, node)):
        wait_until('one link is left', lambda one=one, another=another: one.peer(another)['links'] == 1)
    print(f'{node.name}, {signal.Signals(number).name}: back after {back:.2f} s', flush=True)


def check_long_outage(dialler, waiter):
    """Long enough for the dialler to give up the link, and to dial at its longest intervals."""
    end(waiter, signal.SIGKILL)

    def gave_up():
        dialler.host.pings(pair.inside(2), timeout=0.2)
        peer = dialler.peer(waiter)
        return peer['state'] != 'connected' and peer['links'] == 0
    wait_until('the dialler gives up the link', gave_up, deadline=20)
    began = time.monotonic()
    waiter.start(ready=False)
    wait_until('traffic flows', lambda: dialler.host.pings(pair.inside(2), timeout=0.1), deadline=BACK_MAX)
    print(f'after a long outage: back after {time.monotonic() - began:.2f} s')


def build(lab):
    dialler, waiter = pair.cable(lab, 'dialler', 'waiter')
    lab.link(waiter, 'home', '192.168.7.1/24', lab.host('nas'), 'eth0', '192.168.7.9/24')
    return dialler, waiter


def configure(dialler, waiter):
    subnets = ['192.168.7.0/24']
    dialler.configure(peers=[pair.row(waiter, 2, dial=pair.outside(2), subnets=subnets)], network=pair.own(1))
    waiter.configure(peers=[pair.row(dialler, 1)], network=pair.own(2, advertise_subnets=subnets))


def main():
    with Lab() as lab:
        hosts = build(lab)
        before = {host: snapshot(host) for host in hosts}
        dialler, waiter = (Node(host) for host in hosts)
        configure(dialler, waiter)
        pair.start_pair(dialler, waiter)
        assert all(before[host] != snapshot(host) for host in hosts)
        with Stream(*hosts, pair.inside(2)) as stream:
            stream.wait_flow()
            for node, other in ((waiter, dialler), (dialler, waiter)):
                for number in (signal.SIGTERM, signal.SIGKILL):
                    restart(node, other, before[node.host], number, stream)
        check_long_outage(dialler, waiter)
        assert dialler.stop() == 0 and not dialler.socket.exists()
        end(waiter, signal.SIGKILL)
        for host in hosts:
            check_is_as_before(host, before[host])


if __name__ == '__main__':
    main()
