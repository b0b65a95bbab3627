#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A soak: links replaced every 5 seconds and broken at random, while flows go on. ./dev test soak, and nothing else, runs it.

    left 192.168.1.x ------ router (NAT) ------ 10.0.0.2 right
    100.64.0.1                                  100.64.0.2

Four TCP flows, two each way, must come through whole, by their SHA-256, and a UDP flow each way may lose packets, but get none
twice. What breaks is what breaks in the field: the path is cut for seconds, the router forgets its bindings, the laptop on the
left gets another address, its daemon is killed and started again, and once also the right one's.

In the end nothing may have leaked or be stuck: memory and descriptors as they were, one link left, the counters balanced.
"""
import argparse
import hashlib
import os
import pathlib
import random
import time

import books
import pair
from lab import Lab, Node, wait_until
from traffic import Datagrams, Traffic

ROTATE_SECONDS = 5
BACK_MAX = 30       # seconds until all flows go on after a trouble; TCP alone waits for as long as the path was cut
SETTLED = 60        # seconds after its start a daemon has all the memory that it needs
GROWTH_MAX = 1024   # KiB from then on
CHUNK = 16384
RATE = 100          # chunks a second and flow: 1.6 MB/s


class Flow(Traffic):
    """One direction of bytes nobody can guess over one TCP connection; both ends sum up what they saw."""

    def __init__(self, sender, receiver, address, port, seed):
        super().__init__()
        with receiver.accept_on(address, port) as listener:
            self.ends = sender.connect_to(address, port, timeout=60), listener.accept()[0]
        self.ends[1].settimeout(60)
        self.random, self.sent, self.received = random.Random(seed), 0, 0
        self.sums = hashlib.sha256(), hashlib.sha256()
        self.start(self.send, self.receive)

    def send(self):
        while not self.stopping.wait(1 / RATE):
            chunk = self.random.randbytes(CHUNK)
            self.ends[0].sendall(chunk)
            self.sums[0].update(chunk)
            self.sent += CHUNK
        self.ends[0].shutdown(1)

    def receive(self):
        while data := self.ends[1].recv(1 << 16):
            self.sums[1].update(data)
            self.received += len(data)

    def __exit__(self, kind, _value, _trace):
        self.stopping.set()
        if not kind:
            self.join()
            assert self.sent == self.received and self.sums[0].digest() == self.sums[1].digest(), (self.sent, self.received)
        for end in self.ends:
            end.close()


class Life:
    """One daemon from its start to its end: memory and descriptors, looked at again and again."""

    def __init__(self, node):
        self.node, self.began, self.seen = node, time.monotonic(), []
        self.pid = node.daemon.pid

    def look(self):
        status = pathlib.Path(f'/proc/{self.pid}/status').read_text()
        resident = int(status.split('VmRSS:')[1].split()[0])
        descriptors = len(os.listdir(f'/proc/{self.pid}/fd'))
        self.seen.append((time.monotonic() - self.began, resident, descriptors))

    def check(self, sanitized):
        settled = [row for row in self.seen if row[0] >= SETTLED]
        if len(settled) < 2:
            return
        (_, before, had), (age, now, has) = settled[0], settled[-1]
        print(f'{self.node.name}: in {age:.0f} s from {before} to {now} KiB, at most {max(row[1] for row in settled)}; '
              f'{had} and {has} descriptors')
        assert has == had, self.seen
        assert sanitized or now - before <= GROWTH_MAX, self.seen


class Soak:
    def __init__(self, lab, chance):
        self.chance, self.net = chance, 10
        self.left, self.router, self.right = lab.host('left'), lab.router('router'), lab.host('right')
        lab.link(self.left, 'eth0', '192.168.1.10/24', self.router, 'home', '192.168.1.1/24')
        lab.link(self.router, 'internet', '10.0.0.1/24', self.right, 'eth0', '10.0.0.2/24')
        self.left.route('default', '192.168.1.1')
        self.router.masquerade('internet')
        self.nodes = [Node(self.left), Node(self.right)]
        one, other = self.nodes
        security = {'rotate_secs': ROTATE_SECONDS}
        one.configure(peers=[pair.row(other, 2, dial='10.0.0.2')], network=pair.own(1), security=security)
        other.configure(peers=[pair.row(one, 1)], network=pair.own(2), security=security)
        pair.start_pair(*self.nodes)
        self.lives = {node: Life(node) for node in self.nodes}
        self.ended, self.troubles = [], {}

    # -- troubles --

    def cut(self):
        self.router.nft('''table inet cut {
            chain forward {
                type filter hook forward priority filter; policy drop;
            }
        }''')
        time.sleep(self.chance.uniform(0.5, 4))
        self.router.nft('delete table inet cut')

    def rebind(self):
        self.router.forget_nat()

    def move(self):
        self.left.ip('address', 'flush', 'dev', 'eth0')
        self.net = 10 + (self.net - 9) % 200
        self.left.address('eth0', f'192.168.1.{self.net}/24')
        self.left.route('default', '192.168.1.1')

    def kill(self, node):
        self.ended.append(self.lives[node])
        node.kill()
        node.start()
        self.lives[node] = Life(node)

    def kill_left(self):
        self.kill(self.nodes[0])

    def kill_right(self):
        self.kill(self.nodes[1])

    # -- the run --

    def watch(self):
        for life in self.lives.values():
            life.look()
        for node in self.nodes:
            books.check(node.status()['counters'])

    def wait_flow(self, flows):
        aims = [flow.sent + CHUNK for flow in flows]

        def has_come():
            for flow in flows:
                flow.check()
            return all(flow.received >= aim for flow, aim in zip(flows, aims))
        wait_until('all flows go on', has_come, deadline=BACK_MAX, interval=0.1)

    def trouble(self, flows, age, minutes):
        """Deaths of the daemon on the left leave it the time to show a leak, and the right one dies at the beginning."""
        choices = [self.cut, self.cut, self.rebind, self.move]
        if time.monotonic() - self.lives[self.nodes[0]].began > 60 * minutes / 4:
            choices += [self.kill_left] * 4
        trouble = self.kill_right if age == 0 else self.chance.choice(choices)
        began = time.monotonic()
        trouble()
        self.wait_flow(flows)
        times = self.troubles.setdefault(trouble.__name__, [])
        times.append(time.monotonic() - began)

    def run(self, flows, minutes):
        began = time.monotonic()
        age = 0
        while age < 60 * minutes:
            self.trouble(flows, age, minutes)
            calm = time.monotonic() + self.chance.uniform(1, 10)
            while time.monotonic() < calm:
                self.watch()
                time.sleep(1)
            age = time.monotonic() - began

    def check_end(self, sanitized):
        for node, other in (self.nodes, self.nodes[::-1]):
            wait_until('one link is left', lambda node=node, other=other: node.peer(other)['links'] == 1, deadline=20)
        self.watch()
        for life in [*self.ended, *self.lives.values()]:
            life.check(sanitized)
        for node in self.nodes:
            counters, peer = node.status()['counters'], next(iter(node.peers().values()))
            lost = {name: n for name, n in counters['drops'].items() if n}
            print(f'{node.name}: {counters["handshakes"]} handshakes, {peer["rotations"]} rotations, {peer["reconnects"]} '
                  f'reconnects, {counters["tx_packets"]} packets sent, dropped {lost}')
            assert counters['handshakes'] > 0 and counters['events_lost'] == 0, counters
            assert node.stop() == 0, node.daemon.said()


def soak(minutes, seed, sanitized):
    with Lab() as lab:
        run = Soak(lab, random.Random(seed))
        left, right = run.left, run.right
        with Flow(left, right, pair.inside(2), 6001, 1) as a, Flow(left, right, pair.inside(2, 6), 6002, 2) as b, \
                Flow(right, left, pair.inside(1), 6003, 3) as c, Flow(right, left, pair.inside(1, 6), 6004, 4) as d, \
                Datagrams(left, pair.inside(1), right, pair.inside(2)) as datagrams:
            flows = (a, b, c, d)
            run.run(flows, minutes)
        print(f'{sum(flow.received for flow in flows) / 1e6:.0f} MB in 4 flows, whole')
        for way in datagrams.ways:
            print(f'{way.sent} datagrams, {len(way.lost())} lost, {len(way.doubled())} doubled')
            assert not way.doubled()
        for name, times in run.troubles.items():
            print(f'{name}: {len(times)} times, back after {max(times):.1f} s at most')
        run.check_end(sanitized)


def main():
    parser = argparse.ArgumentParser(description='Links that are broken at random while flows go on.')
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(10000))
    parser.add_argument('--sanitized', action='store_true', help='memory is the sanitizer\'s: do not judge its growth')
    args = parser.parse_args()
    print(f'{args.minutes} minutes, seed {args.seed}', flush=True)
    soak(args.minutes, args.seed, args.sanitized)


if __name__ == '__main__':
    main()
