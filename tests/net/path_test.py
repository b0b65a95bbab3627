#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What the bad paths of the benchmarks (path.py) do to packets is what they are told to, and is counted.

    left 10.0.0.1 ---------- router ---------- 10.0.0.2 right
"""
import contextlib
import re
import socket
import struct

from lab import Lab, wait_until
from path import Path, long_way
from traffic import SO_RCVBUFFORCE

COUNT = 2000
SIZE = 500
IP_SIZE = SIZE + 28


class Sink:
    """A socket on the right host, and one on the left that sends numbered datagrams to it."""

    def __init__(self, hosts):
        self.sender = hosts[0].socket(kind=socket.SOCK_DGRAM)
        self.receiver = hosts[1].socket(kind=socket.SOCK_DGRAM, timeout=0.5)
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self.receiver.bind(('10.0.0.2', 5001))
        self.sender.connect(('10.0.0.2', 5001))

    def send(self, count):
        for number in range(count):
            self.sender.send(struct.pack(f'>I{SIZE - 4}x', number))

    def receive(self, count):
        """The numbers of what comes, in that order."""
        return [struct.unpack('>I', self.receiver.recv(SIZE)[:4])[0] for _ in range(count)]

    def close(self):
        self.sender.close()
        self.receiver.close()


def carry(count, **options):
    """Sends so many over such a path; returns the numbers of what came, in that order, and what the path counted."""
    with Lab() as lab:
        hosts, router, interfaces = long_way(lab)
        assert hosts[0].pings('10.0.0.2')  # so that all know their neighbours, and lose nothing while they ask
        path = Path(router, interfaces, **options)
        with contextlib.closing(Sink(hosts)) as sink:
            sink.send(count)

            def is_empty():
                counts = path.ways[0].counts()
                return counts['arrived'] == count and counts['passed'] + counts['lost'] + counts['dropped'] == count
            wait_until('the path has dealt with all', is_empty)
            path.check()
            counts = path.ways[0].counts()
            came = sink.receive(counts['passed'])
        for way in path.ways:
            assert way.process.stop() == 0
    print(options, counts, flush=True)
    return came, counts


def check_nothing_done():
    came, counts = carry(COUNT)
    assert came == list(range(COUNT))
    assert counts['late'] == 0


def check_loss():
    came, counts = carry(COUNT, loss=100_000, delay=1000)
    assert came == sorted(came)
    assert counts['dropped'] == 0 and counts['late'] == 0
    # Ten standard deviations of a fair draw; the draw is the same each time.
    assert 0.1 * COUNT - 134 < counts['lost'] < 0.1 * COUNT + 134, counts
    assert carry(COUNT, loss=100_000)[0] == came
    assert carry(COUNT, loss=100_000, seed=2)[0] != came


def check_late():
    came, counts = carry(COUNT, late=100_000, late_by=500_000)
    assert sorted(came) == list(range(COUNT))
    assert 0.1 * COUNT - 134 < counts['late'] < 0.1 * COUNT + 134, counts
    punctual, late = came[:-counts['late']], came[-counts['late']:]
    assert punctual == sorted(punctual) and late == sorted(late)


def check_bottleneck():
    """So slow that, while all are sent, it lets no more than a few go; the others find as many in front as there may be."""
    room = 20
    came, counts = carry(200, rate=100, limit=room * IP_SIZE)
    assert came[:room] == list(range(room)), came
    assert came == sorted(came)
    assert counts['dropped'] == 200 - len(came)


def check_delay():
    with Lab() as lab:
        hosts, router, interfaces = long_way(lab)
        Path(router, interfaces, delay=25_000)
        said = hosts[0].run('ping', '-n', '-c', 5, '-i', 0.1, '10.0.0.2').stdout
        times = [float(time) for time in re.findall(r'time=([\d.]+)', said)]
        assert len(times) == 5 and min(times) >= 50, said


def main():
    check_nothing_done()
    check_loss()
    check_late()
    check_bottleneck()
    check_delay()


if __name__ == '__main__':
    main()
