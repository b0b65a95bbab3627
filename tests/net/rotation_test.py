#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Links are replaced every second, and not one of the packets that go on meanwhile is lost or comes twice.

    left 10.0.0.1 ------ 10.0.0.2 right        both know where the other is, and both may dial
    100.64.0.1           100.64.0.2
"""
from lab import Lab, Node, wait_until
from traffic import Datagrams, Stream

ROTATE_SECONDS = 1
ROTATIONS = 16


def draw(lab):
    left, right = lab.host('left'), lab.host('right')
    lab.link(left, 'eth0', '10.0.0.1/24', right, 'eth0', '10.0.0.2/24')
    return left, right


def start(nodes):
    for number, (node, other) in enumerate((nodes, nodes[::-1]), 1):
        node.configure(network={'tun_addr': [f'100.64.0.{number}']}, security={'rotate_secs': ROTATE_SECONDS}, peers=[
            other.as_peer(endpoints=[f'10.0.0.{3 - number}:7844'], addresses=[f'100.64.0.{3 - number}'])])
    for node in nodes:
        node.start()
    nodes[0].wait_connected(nodes[1])
    nodes[1].wait_connected(nodes[0])


def peers_of(nodes):
    return nodes[0].peer(nodes[1]), nodes[1].peer(nodes[0])


def knocks(packets):
    """The first connection ID of each dial, which stands on no other, by who dialled. It has 20 bytes: docs/protocol.md."""
    found = {}
    for packet in packets:
        if packet.payload[5] == 20:
            found.setdefault(packet.payload[6:26], packet.source)
    return found


def check_rotations(nodes):
    before = peers_of(nodes)
    ages = []

    def have_rotated():
        now = peers_of(nodes)
        for peer in now:
            link = peer['link']
            assert link['key_exchange'] == 'X25519MLKEM768', link
            ages.append(link['age_secs'])
        return all(late['rotations'] - early['rotations'] >= ROTATIONS for late, early in zip(now, before))
    wait_until(f'{ROTATIONS} rotations', have_rotated, deadline=2 * ROTATIONS * ROTATE_SECONDS, interval=0.1)
    return max(ages)


def has_all_come(nodes):
    """Not only of the datagrams: whatever went into the tunnel came out of it, once."""
    left, right = peers_of(nodes)
    return (left['tx_packets'], left['rx_packets']) == (right['rx_packets'], right['tx_packets'])


def main():
    with Lab() as lab:
        left, right = draw(lab)
        nodes = [Node(left), Node(right)]
        capture = left.capture('eth0', 'udp[8] & 0xf0 = 0xc0')  # Initial packets
        start(nodes)
        with Datagrams(left, '100.64.0.1', right, '100.64.0.2') as datagrams, \
                Stream(left, right, '100.64.0.2', rate=50) as stream:
            stream.wait_flow()
            oldest = check_rotations(nodes)
            stream.wait_flow()
        capture.end()
        dials = knocks(capture.packets())
        handshakes = [node.status()['counters']['handshakes'] for node in nodes]
        wait_until('all that went in has come out', lambda: has_all_come(nodes))

    by = {source: list(dials.values()).count(source) for source in ('10.0.0.1', '10.0.0.2')}
    sent, lost, doubled = (sum(counts) for counts in zip(*(
        (way.sent, len(way.lost()), len(way.doubled())) for way in datagrams.ways)))
    print(f'{sent} datagrams sent, {lost} lost, {doubled} doubled; dials {by}, handshakes {handshakes}, '
          f'oldest link {oldest} s')
    assert lost == 0 and doubled == 0, [(way.lost()[:20], way.doubled()[:20]) for way in datagrams.ways]
    assert sent > 50 * ROTATIONS * ROTATE_SECONDS, sent
    # Each link has keys of its own: there were as many dials, and handshakes, as links in use.
    assert len(dials) > ROTATIONS and min(handshakes) > ROTATIONS, (by, handshakes)
    # Past 1.5 times its age a link is not used; ages are told in whole seconds.
    assert oldest <= 1.5 * ROTATE_SECONDS, oldest


if __name__ == '__main__':
    main()
