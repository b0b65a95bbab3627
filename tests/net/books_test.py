#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Every packet is counted once, by the daemon and as the kernel counts: traffic of all kinds, rotation, an outage.

    left =============================== right
    100.64.0.1                        100.64.0.2

sim_books_test does the same to the library alone, with worse traffic.
"""
import os
import socket

import books
import pair
from lab import Lab, Node, wait_until
from traffic import Datagrams, Stream

NOWHERE = '172.16.0.9'   # routed into the tunnel, and no peer's
FOREIGN = '100.64.77.77'  # an address of the left host's that is not the node's


def start(lab):
    nodes = [Node(host) for host in pair.cable(lab)]
    for number, (node, other) in enumerate((nodes, nodes[::-1]), 1):
        node.configure(peers=[pair.row(other, 3 - number, dial=pair.outside(3 - number))], network=pair.own(number),
                       security={'rotate_secs': 1})
    pair.start_pair(*nodes)
    return nodes


def send_what_is_dropped(left, right):
    """A few packets each that have no way, are not for one host, are not the node's to send, and are no QUIC."""
    left.host.ip('route', 'add', NOWHERE, 'dev', pair.TUN)
    left.host.address('lo', f'{FOREIGN}/32')
    for _ in range(3):
        left.host.pings(NOWHERE, timeout=0.1)
        left.host.pings('224.0.0.251', '-I', pair.TUN, timeout=0.1)
        left.host.pings(pair.inside(2), '-I', FOREIGN, timeout=0.1)
    with left.host.socket(kind=socket.SOCK_DGRAM) as noise:
        for size in range(1, 1400, 50):
            noise.sendto(os.urandom(size), (pair.outside(2), Node.PORT))
    wait_until('the noise has come', lambda: dropped(right, *books.FROM_SOCKET) >= 20)


def dropped(node, *reasons):
    drops = node.status()['counters']['drops']
    return sum(drops[reason] for reason in reasons)


def interrupt(nodes):
    """Longer than packets wait for a link."""
    left, right = nodes
    left.host.ip('link', 'set', 'eth0', 'down')

    def are_given_up():
        for node in nodes:
            books.check(node.status()['counters'])
        left.host.pings(pair.inside(2), timeout=0.1)
        return dropped(left, 'no_link') > 0
    wait_until('packets are given up', are_given_up, deadline=40)
    left.host.ip('link', 'set', 'eth0', 'up')
    wait_until('traffic flows', lambda: left.host.pings(pair.inside(2), timeout=0.2), deadline=20)


def main():
    with Lab() as lab:
        nodes = start(lab)
        left, right = nodes
        with Stream(left.host, right.host, pair.inside(2), size=50000) as stream, \
                Datagrams(left.host, pair.inside(1), right.host, pair.inside(2)):
            stream.wait_flow()
            send_what_is_dropped(left, right)
            interrupt(nodes)
            stream.wait_flow(deadline=40)
        for node in nodes:
            wait_until(f'the kernel of {node.name} has counted as many', lambda node=node: books.agrees_with_kernel(node))
            books.check(node.status()['counters'])
        for node, reason in ((left, 'no_route'), (left, 'not_unicast'), (left, 'no_link'), (right, 'source')):
            assert dropped(node, reason) > 0, reason
        print({name: [node.status()['counters'][name] for node in nodes] for name in ('tun_rx_packets', 'tx_packets', 'rx_frames')})


if __name__ == '__main__':
    main()
