#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Nodes with several workers, as many on both sides and not: many flows in their order while links are replaced every second,
TCP, a lane that is cut and comes back, and a kernel that does not steer.

    left =============================== right        both may dial
    100.64.0.1                      100.64.0.2
"""
import contextlib
import pathlib
import signal
import time

import pair
from lab import Lab, Node, find_quicether, wait_until
from traffic import Stream

ROTATE_SECONDS = 2
SECONDS = 7
FLOWS, RATE = 48, 12000  # each way
PORT, STREAM_PORT = 6000, 5001
TOOLS = pathlib.Path(find_quicether()).resolve().parents[2] / 'tests/net'
REFUSE = TOOLS / 'refuse.so'
NUMBERS = (1, 2), (2, 2), (4, 2), (4, 4)
CUT = '''table inet cut {
    chain input {
        type filter hook input priority 0;
        iif eth0 udp dport 7844 @th,72,8 1 drop comment "short header: the worker in our connection ID"
        iif eth0 udp dport 7844 @th,64,1 1 @th,112,8 1 drop comment "long header: also the lane that knocks"
    }
}'''


class Unsteered(Node):
    """A node on a host whose kernel takes no program."""

    def words(self, *words):
        preload = ['env', f'LD_PRELOAD={REFUSE}', 'QE_REFUSE=steering', 'ASAN_OPTIONS=verify_asan_link_order=0']
        return [*(preload if words[0] == 'start' else []), *super().words(*words)]


class Flows:
    """tests/net/flows.c on both hosts."""

    def __init__(self, hosts):
        self.ends = [host.spawn('flows', TOOLS / 'flows', pair.inside(number), pair.inside(3 - number), PORT, FLOWS, RATE)
                     for number, host in enumerate(hosts, 1)]

    def end(self):
        """For each way and flow: sent, received, late, doubled."""
        for end in self.ends:
            end.signal(signal.SIGTERM)
        for end in self.ends:
            assert end.wait(30) == 0, end.said()
        counts = [[[int(word) for word in line.split()] for line in end.said().splitlines()[1:]] for end in self.ends]
        return [[(one[0], *other[1:]) for one, other in zip(*way)] for way in (counts, counts[::-1])]


def workers(node):
    return node.status()['workers']


def start(lab, numbers, kind=Node):
    nodes = [kind(host) for host in pair.cable(lab)]
    for number, (node, other) in enumerate(zip(nodes, nodes[::-1]), 1):
        node.configure([pair.row(other, 3 - number, dial=pair.outside(3 - number))], network=pair.own(number),
                       performance={'workers': numbers[number - 1]}, security={'rotate_secs': ROTATE_SECONDS})
    pair.start_pair(*nodes)
    return nodes


def wait_lanes(nodes):
    """Until each worker has sent something: then all lanes are up that these flows need."""
    def all_sent():
        return all(worker['tx_packets'] > 100 for node in nodes for worker in workers(node))
    wait_until('all workers carry packets', all_sent)


def check_order(nodes):
    """The first packets of a flow wait for their lane, and where the lanes are not as many on both sides the lane may change
    then; so those of this start do not count."""
    warm = Flows([node.host for node in nodes])
    wait_lanes(nodes)
    warm.end()
    flows = Flows([node.host for node in nodes])
    before = [node.status()['counters']['handshakes'] for node in nodes]
    time.sleep(SECONDS)
    for node, handshakes in zip(nodes, before):
        assert node.status()['counters']['handshakes'] - handshakes >= 2, 'nothing was replaced'
    for way in flows.end():
        sent, received, late, doubled = map(sum, zip(*way))
        print(f'  {sent} sent, {received} came, {late} late, {doubled} twice', flush=True)
        assert all(received > 0 for _, received, _, _ in way)
        assert sent > 0.5 * SECONDS * RATE and received > 0.9 * sent and late == 0 and doubled == 0


def check_status(nodes, numbers):
    for node, other, number in zip(nodes, nodes[::-1], numbers):
        status = node.status()
        assert len(status['workers']) == number
        for count in 'tx_packets', 'rx_packets', 'rx_datagrams', 'handshakes':
            assert sum(worker[count] for worker in status['workers']) <= node.status()['counters'][count]
        assert status['peers'] == {'configured': 1, 'connected': 1}
        assert not status['counters']['fallbacks']['udp_steering_off']
        assert not status['counters']['fallbacks']['tun_steering_off']
        assert node.peer(other)['link']


def check_tcp(nodes):
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(*(node.host for node in nodes), pair.inside(2), port=STREAM_PORT + i,
                                              size=50000, rate=200)) for i in range(4)]
        time.sleep(2)
        for stream in streams:
            stream.wait_flow()


def check_cut(nodes):
    """All that is for worker 1 of one side is dropped until its links are given up."""
    left, right = nodes
    flows = Flows([node.host for node in nodes])
    wait_lanes(nodes)
    right.host.nft(CUT)
    stuck = workers(right)[1]['rx_packets']
    before = workers(left)[0]['rx_packets']
    wait_until('the lane is given up', lambda: right.peer(left)['links'] == 1 == left.peer(right)['links'], deadline=30)
    assert workers(right)[1]['rx_packets'] - stuck < 100
    assert workers(left)[0]['rx_packets'] > before + 1000, 'the other lane does not carry on'
    assert left.peer(right)['state'] == 'connected'
    right.host.nft('flush ruleset')
    stuck = [workers(node)[1]['rx_packets'] for node in nodes]
    wait_until('the lane carries packets again', lambda: all(
        workers(node)[1]['rx_packets'] > count + 100 for node, count in zip(nodes, stuck)))
    flows.end()


def check_unsteered(nodes):
    """The workers hand one another what came to the wrong one."""
    flows = Flows([node.host for node in nodes])
    wait_lanes(nodes)
    check_tcp(nodes)
    for way in flows.end():
        assert all(received > 0 and doubled == 0 for _, received, _, doubled in way)
    for node in nodes:
        counters = node.status()['counters']
        assert counters['fallbacks']['udp_steering_off'] and counters['fallbacks']['tun_steering_off']
        print(f'  {counters["udp_handed_over"]} of {counters["rx_datagrams"]} handed over', flush=True)
        assert counters['udp_handed_over'] > 0


def main():
    for numbers in NUMBERS:
        print(f'{numbers[0]} and {numbers[1]} workers', flush=True)
        with Lab() as lab:
            nodes = start(lab, numbers)
            check_order(nodes)
            check_tcp(nodes)
            check_status(nodes, numbers)
            if numbers == (2, 2):
                check_cut(nodes)
            for node in nodes:
                assert node.stop() == 0
    print('no steering', flush=True)
    with Lab() as lab:
        check_unsteered(start(lab, (2, 2), Unsteered))


if __name__ == '__main__':
    main()
