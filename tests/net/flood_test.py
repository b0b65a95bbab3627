#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Floods of bad datagrams at a node that has a link: counted, bounded, and the link carries on.

    friend 10.0.1.2 ------ router ------ 10.0.3.2 victim
    100.64.0.2            |      |                100.64.0.1
    late   10.0.4.2 ------'      |
    100.64.0.3               10.0.2.2 flooder, and all of 198.18.0.0/15

The flooder sends under any address it likes (flood.c). What it costs in time is measured by ./dev bench flood.
"""
import collections
import pathlib
import random
import re

import pair
from floods import ANYBODY, Flooder, false_tokens, garbage, initials, strangers, unknown_ids
from lab import Lab, Node, wait_until
from traffic import Datagrams, Stream

FRIEND, FLOODER, VICTIM, LATE = (f'10.0.{number}.2' for number in range(1, 5))
COUNT, RATE = 100_000, 25_000
KNOCK_RATE = 3_000  # of which 2,000 get a Retry
PATIENCE = 40  # s, for a peer that may be among the others, and then asks again
RESIDENT_MAX = 24 << 20  # of the daemon, whatever comes
LINES_MAX = 60  # that a flood may add to its log
SHARE = 0.5  # of a flood that reaches the daemon at least; the rest the kernel has dropped


# -- what is looked at -------------------------------------------------------------------------------------------------


def counters(node):
    return node.status()['counters']


def resident(node):
    status = pathlib.Path(f'/proc/{node.daemon.pid}/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+) kB', status)[1]) << 10


def log_lines(node):
    return len(node.daemon.said().splitlines())


class Watch:
    """The victim before a flood, and what has changed since."""

    def __init__(self, victim, friend):
        self.victim, self.friend = victim, friend
        self.before, self.lines, self.link = counters(victim), log_lines(victim), self.path()

    def path(self):
        link = self.victim.peer(self.friend)['link']
        return link['remote'], link['path_mtu']

    def more(self, name):
        return counters(self.victim)[name] - self.before[name]

    def drops(self, *reasons):
        now = counters(self.victim)['drops']
        return sum(now[reason] - self.before['drops'][reason] for reason in reasons)

    def check(self):
        peer = self.victim.peer(self.friend)
        assert peer['state'] == 'connected' and self.path() == self.link, (peer, self.link)
        assert resident(self.victim) <= RESIDENT_MAX, resident(self.victim)
        assert log_lines(self.victim) - self.lines <= LINES_MAX, log_lines(self.victim) - self.lines


def check_flood(victim, friend, flooder, stream, reasons, payloads):
    """Most of it is counted under these reasons, and the stream flows before it ends."""
    watch = Watch(victim, friend)
    flood = flooder.start(payloads, count=COUNT, rate=RATE)
    wait_until('the flood has begun', lambda: watch.drops(*reasons) > 0)
    stream.wait_flow()
    assert flood.wait(60) == 0, flood.said()
    sent = int(flood.said().split()[0])
    wait_until(f'{reasons} are counted', lambda: watch.drops(*reasons) >= SHARE * sent)
    stream.wait_flow()
    watch.check()
    assert watch.more('handshakes') == 0 and watch.drops(*reasons) <= sent
    print(f'{"/".join(reasons)}: {sent} sent, {watch.drops(*reasons)} counted, {resident(victim) >> 20} MiB resident')
    return watch


# -- a handshake flood -------------------------------------------------------------------------------------------------


def check_amplification(packets):
    """No address gets more than three times what was sent in its name."""
    sent, received = collections.Counter(), collections.Counter()
    for packet in packets:
        if packet.destination == VICTIM:
            sent[packet.source] += len(packet.payload)
        elif packet.source == VICTIM:
            received[packet.destination] += len(packet.payload)
    worst = max(received, key=lambda address: received[address] / max(sent[address], 1))
    assert received[worst] <= 3 * sent[worst], (worst, sent[worst], received[worst])
    assert sum(received.values()) < sum(sent.values())
    print(f'{len(sent)} addresses, {len(received)} were answered; at most {received[worst]} bytes for {sent[worst]}')


def check_handshakes(victim, friend, late, flooder, stream):
    """Spoofed first packets that knock: a peer gets through all the same, and nobody is shouted at."""
    watch = Watch(victim, friend)
    capture = victim.host.capture('eth0', 'net', ANYBODY)
    flood = flooder.start(initials(), count=5 * RATE, rate=KNOCK_RATE, knock=True)
    wait_until('the victim sends Retries', lambda: watch.more('retries') > 0)
    late.start()
    late.wait_connected(victim, deadline=PATIENCE)
    stream.wait_flow()
    assert flood.alive()
    flood.stop()
    watch.check()
    assert watch.more('handshakes') == 1 and watch.drops('stranger') == 0
    check_amplification(capture.stop())
    assert late.stop() == 0
    print(f'{watch.more("retries")} Retries, {resident(victim) >> 20} MiB resident')


# -- replays -----------------------------------------------------------------------------------------------------------


def capture_link(victim, friend):
    """What the friend sends in a while, all of which has come."""
    capture = victim.host.capture('eth0', 'udp', 'and', 'src', FRIEND)
    with Datagrams(friend.host, pair.inside(2), victim.host, pair.inside(1)) as datagrams:
        wait_until('some have come', lambda: len(datagrams.ways[0].received) > 300)
    return [packet.payload for packet in capture.stop()]


def check_replays(victim, friend, flooder):
    """Of 100,000 none reaches the TUN: neither from the friend's address nor from another."""
    payloads = capture_link(victim, friend)
    watch = Watch(victim, friend)
    capture = victim.host.capture(pair.TUN, 'udp')
    for source in f'{FRIEND}:{Node.PORT}', ANYBODY:
        flood = flooder.start(payloads, source=source, count=COUNT // 2, rate=RATE)
        assert flood.wait(60) == 0, flood.said()
    wait_until('they have been looked at', lambda: watch.more('rx_datagrams') >= SHARE * COUNT)
    watch.check()
    assert watch.more('rx_packets') == 0 and watch.more('handshakes') == 0
    capture.end()
    assert '\n0 packets captured' in capture.process.said(), capture.process.said()
    print(f'{COUNT} replays of {len(payloads)} datagrams: none came in')


# -- all of it ---------------------------------------------------------------------------------------------------------


def build(lab):
    hosts = [lab.host(name) for name in ('friend', 'flooder', 'victim', 'late')]
    router = lab.router('router')
    for number, (host, address) in enumerate(zip(hosts, (FRIEND, FLOODER, VICTIM, LATE)), 1):
        lab.link(host, 'eth0', f'{address}/24', router, f'to{number}', f'10.0.{number}.1/24')
        host.route('default', f'10.0.{number}.1')
        host.run('ethtool', '-K', 'eth0', 'tx-udp-segmentation', 'off')  # so that captures show packets, not trains
    router.route(ANYBODY, FLOODER)
    friend, flooder, victim, late = hosts
    victim = Node(victim)
    return victim, Node(friend), Node(late), Flooder(flooder, victim, VICTIM)


def main():
    seed = random.randrange(1 << 32)
    random.seed(seed)
    print(f'seed {seed}')
    with Lab() as lab:
        victim, friend, late, flooder = build(lab)
        victim.configure(network=pair.own(1), peers=[pair.row(friend, 2), pair.row(late, 3)])
        friend.configure(network=pair.own(2), peers=[pair.row(victim, 1, dial=VICTIM)])
        late.configure(network=pair.own(3), peers=[pair.row(victim, 1, dial=VICTIM)])
        pair.start_pair(victim, friend)
        wait_until('the path MTU is known', lambda: victim.peer(friend)['link']['path_mtu'] >= 1400)
        check_replays(victim, friend, flooder)
        with Stream(friend.host, victim.host, pair.inside(1)) as stream:
            stream.wait_flow()
            check_flood(victim, friend, flooder, stream, ['unknown_connection'], unknown_ids())
            check_flood(victim, friend, flooder, stream, ['no_knock'], strangers())
            check_flood(victim, friend, flooder, stream, ['no_knock'], false_tokens())
            check_flood(victim, friend, flooder, stream, ['udp_malformed', 'unknown_connection', 'no_knock'], garbage())
            check_handshakes(victim, friend, late, flooder, stream)


if __name__ == '__main__':
    main()
