#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The laboratory itself: what it builds behaves as the other tests believe.

    inner 10.0.1.2 ---- left router right ---- outer 10.0.2.2
    2001:db8:1::2       NAT for what goes right       2001:db8:2::2
"""
import pathlib

from lab import Failed, Lab, wait_until


def build(lab):
    inner, router, outer = lab.host('inner'), lab.router('router'), lab.host('outer')
    lab.link(inner, 'eth0', '10.0.1.2/24 2001:db8:1::2/64', router, 'left', '10.0.1.1/24 2001:db8:1::1/64')
    lab.link(router, 'right', '10.0.2.1/24 2001:db8:2::1/64', outer, 'eth0', '10.0.2.2/24 2001:db8:2::2/64')
    for host, number in ((inner, 1), (outer, 2)):
        host.route('default', f'10.0.{number}.1')
        host.route('default', f'2001:db8:{number}::1')
    return inner, router, outer


def check_paths_and_capture(inner, outer):
    capture = outer.capture('eth0')
    assert inner.pings('10.0.2.2') and inner.pings('2001:db8:2::2')
    listener = outer.accept_on('10.0.2.2', 80)
    client = inner.connect_to('10.0.2.2', 80)
    server, peer = listener.accept()
    assert peer[0] == '10.0.1.2', peer
    client.sendall(b'a marker')
    assert server.recv(100) == b'a marker'
    packets = capture.stop()
    assert any(packet.protocol == 'tcp' and packet.payload == b'a marker' and packet.destination_port == 80
               for packet in packets), packets
    assert {'icmp', 'icmp6'} <= {packet.protocol for packet in packets}, packets
    assert capture.dropped() == 0


def check_nat(inner, router, outer):
    router.masquerade('right', udp_timeout=2)
    listener = outer.accept_on('10.0.2.2', 81)
    inner.connect_to('10.0.2.2', 81)
    assert listener.accept()[1][0] == '10.0.2.1'
    router.forget_nat()
    assert not router.run('conntrack', '-L').stdout


def check_loss(inner, router):
    router.lose(100)
    assert not inner.pings('10.0.2.2', timeout=0.1)


def check_cleanup():
    lab = Lab()
    with lab:
        process = lab.host('only').spawn('sleep', 'sleep', 1000)
        try:
            wait_until('nothing', lambda: False, deadline=0.1)
            raise AssertionError('a deadline that never comes')
        except Failed:
            pass
    assert not process.alive()
    assert not pathlib.Path('/run/netns', lab.hosts[0].netns).exists()
    assert not lab.dir.exists()


def main():
    with Lab() as lab:
        inner, router, outer = build(lab)
        check_paths_and_capture(inner, outer)
        check_nat(inner, router, outer)
        check_loss(inner, router)
    check_cleanup()


if __name__ == '__main__':
    main()
