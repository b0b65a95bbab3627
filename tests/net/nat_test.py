#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Laptops behind NATs that forget a UDP binding after 2 s, and let nobody in from outside without one.

    patient  192.168.1.2 --- NAT (nat1) 10.0.1.2 --- 10.0.1.1
    100.64.0.1                                            internet 10.0.9.1 --- 10.0.9.2 gateway
    busy     192.168.1.2 --- NAT (nat2) 10.0.2.2 --- 10.0.2.1                        100.64.0.9
    100.64.0.2

The patient laptop says nothing, so that the gateway cannot reach it before its keepalive; meanwhile the busy one is tried.
"""
import time

from lab import Lab, Node, wait_until
from traffic import Stream

BINDING_SECONDS = 2
KEEPALIVE_SECONDS = 20
GAP_MAX = 3.0


def draw_nat(lab, internet, number, name):
    laptop, nat = lab.host(name), lab.router(f'nat{number}')
    lab.link(laptop, 'eth0', '192.168.1.2/24', nat, 'inside', '192.168.1.1/24')
    lab.link(nat, 'outside', f'10.0.{number}.2/24', internet, nat.name, f'10.0.{number}.1/24')
    laptop.route('default', '192.168.1.1')
    nat.route('default', f'10.0.{number}.1')
    nat.masquerade('outside', udp_timeout=BINDING_SECONDS)
    nat.nft('''table inet firewall {
        chain from_outside {
            type filter hook input priority filter;
            iifname "outside" ct state != { established, related } drop
        }
    }''')
    return laptop, nat


def draw(lab):
    internet, gateway = lab.router('internet'), lab.host('gateway')
    lab.link(internet, 'gateway', '10.0.9.1/24', gateway, 'eth0', '10.0.9.2/24')
    gateway.route('default', '10.0.9.1')
    return gateway, draw_nat(lab, internet, 1, 'patient'), draw_nat(lab, internet, 2, 'busy')


def start(gateway, laptops):
    for number, laptop in enumerate(laptops, 1):
        laptop.configure(network={'tun_addr': [f'100.64.0.{number}']}, peers=[
            gateway.as_peer(endpoints=['10.0.9.2:7844'], addresses=['100.64.0.9'])])
    gateway.configure(network={'tun_addr': ['100.64.0.9']}, peers=[
        laptop.as_peer(addresses=[f'100.64.0.{number}']) for number, laptop in enumerate(laptops, 1)])
    for node in (gateway, *laptops):
        node.start()
    for laptop in laptops:
        laptop.wait_connected(gateway)
    gateway.wait_connected(*laptops)


def has_binding(nat):
    return 'dport=7844' in nat.run('conntrack', '-L', '-p', 'udp').stdout


def wait_forgotten(nat):
    """The link says nothing of itself when it has found its path MTU, so the NAT forgets it."""
    wait_until(f'{nat.name} has forgotten the binding', lambda: not has_binding(nat), deadline=15)


def keep_pinging(host, address):
    """Returns what ping will say with the first answer."""
    started = time.monotonic()
    return host.spawn('ping', 'ping', '-n', '-i', 0.1, address), started


def seconds_until_answered(ping, started, deadline):
    ping.wait_said('bytes from', deadline)
    seconds = time.monotonic() - started
    ping.stop()
    return seconds


def seen_at(gateway, laptop):
    return gateway.peer(laptop)['link']['remote']


def handshakes(node):
    return node.status()['counters']['handshakes']


def check_laptop_wakes(gateway, laptop):
    before = seen_at(gateway, laptop)
    seconds = seconds_until_answered(*keep_pinging(laptop.host, '100.64.0.9'), deadline=GAP_MAX)
    print(f'the laptop speaks after the binding is gone: answered after {seconds:.2f} s', flush=True)
    wait_until('the gateway sees another port', lambda: seen_at(gateway, laptop) != before)


def check_restart(gateway, laptop, nat):
    with Stream(laptop.host, gateway.host, '100.64.0.9') as stream:
        stream.wait_flow()
        before = seen_at(gateway, laptop)
        since = time.monotonic()
        nat.forget_nat()
        stream.wait_flow()
        gap = stream.longest_gap(since)
        wait_until('the gateway sees another port', lambda: seen_at(gateway, laptop) != before)
    print(f'the NAT restarts under a TCP connection: {gap:.2f} s without data', flush=True)
    assert gap <= GAP_MAX, gap


def main():
    with Lab() as lab:
        host, (patient_host, nat1), (busy_host, nat2) = draw(lab)
        gateway, patient, busy = Node(host), Node(patient_host), Node(busy_host)
        start(gateway, [patient, busy])

        wait_forgotten(nat1)
        ping = keep_pinging(host, '100.64.0.1')
        wait_forgotten(nat2)
        before = handshakes(busy)
        check_laptop_wakes(gateway, busy)
        for _ in range(3):
            check_restart(gateway, busy, nat2)
        assert handshakes(busy) == before, 'the link did not survive its NAT'

        seconds = seconds_until_answered(*ping, deadline=KEEPALIVE_SECONDS + GAP_MAX)
        print(f'the gateway speaks after the binding is gone: answered after {seconds:.2f} s')


if __name__ == '__main__':
    main()
