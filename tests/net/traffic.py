# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Traffic that goes on all the time between two hosts, and that can say whether and when anything was missing.

Both kinds end with their block:

    with Stream(laptop, server, '100.64.0.2') as stream:
        stream.wait_flow()
        ...
        print(stream.longest_gap(since))

And a transfer that is waited for: carry().
"""
import collections
import contextlib
import errno
import hashlib
import os
import socket
import struct
import threading
import time

from lab import DEADLINE, Failed, wait_until

NUMBER = struct.Struct('>Q192x')
SO_RCVBUFFORCE = 33  # of asm-generic/socket.h; Python does not name it


def send_all(sender, data):
    with sender:
        sender.sendall(data)


def carry(sender, receiver, address, size, prepare=lambda _sender: None):
    """So many bytes over one TCP connection, whose sending socket is prepared; what comes must be what was sent."""
    data, digest = os.urandom(size), hashlib.sha256()
    with receiver.accept_on(address, 5003) as listener:
        talker, listening = sender.connect_to(address, 5003), listener.accept()[0]
    prepare(talker)
    listening.settimeout(DEADLINE)
    thread = threading.Thread(target=send_all, args=(talker, data), daemon=True)
    thread.start()
    with listening:
        while piece := listening.recv(1 << 16):
            digest.update(piece)
    thread.join()
    if digest.digest() != hashlib.sha256(data).digest():
        raise Failed(f'TCP to {address}: what came is not what was sent')


class Traffic:
    """Threads that stop when told to, and whose failure is told to who waits for them."""

    def __init__(self):
        self.stopping, self.failure = threading.Event(), None
        self.threads = []

    def start(self, *functions):
        self.threads += [threading.Thread(target=self.guard, args=(function,), daemon=True) for function in functions]
        for thread in self.threads:
            thread.start()

    def guard(self, function):
        try:
            function()
        except Exception as failure:  # told by check()
            self.failure = self.failure or failure

    def check(self):
        if self.failure:
            raise Failed(f'traffic: {self.failure!r}')

    def join(self):
        for thread in self.threads:
            thread.join(30)
        self.check()
        if any(thread.is_alive() for thread in self.threads):
            raise Failed('traffic: what was sent has not come to its end')

    def __enter__(self):
        return self


class Half:
    """One direction of a stream: numbered blocks, and when they came."""

    def __init__(self, sender, receiver, size, rate):
        self.sender, self.receiver, self.block = sender, receiver, struct.Struct(f'>Q{size - 8}x')
        self.pause = 1 / rate
        self.sent = self.received = 0
        self.arrivals = [time.monotonic()]

    def send(self, stopping):
        while not stopping.wait(self.pause):
            self.sender.sendall(self.block.pack(self.sent))
            self.sent += 1
        self.sender.shutdown(socket.SHUT_WR)

    def receive(self):
        rest = b''
        while data := self.receiver.recv(1 << 16):
            self.arrivals.append(time.monotonic())
            rest += data
            whole = len(rest) // self.block.size * self.block.size
            for number, in self.block.iter_unpack(rest[:whole]):
                if number != self.received:
                    raise Failed(f'block {number} came where {self.received} was due')
                self.received += 1
            rest = rest[whole:]
        if rest or self.received != self.sent:
            raise Failed(f'{self.sent} blocks were sent, {self.received} came')

    def longest_gap(self, since):
        times = [moment for moment in self.arrivals if moment >= since]
        return max((late - early for early, late in zip([since, *times], times)), default=time.monotonic() - since)


class Stream(Traffic):
    """An open TCP connection that carries numbered blocks of that size both ways, at most so many a second each."""

    def __init__(self, client, server, address, port=5001, size=1000, rate=200):
        super().__init__()
        with server.accept_on(address, port) as listener:
            ends = client.connect_to(address, port, timeout=30), listener.accept()[0]
        ends[1].settimeout(30)
        self.halves = Half(*ends, size, rate), Half(*reversed(ends), size, rate)
        self.start(*(lambda half=half: half.send(self.stopping) for half in self.halves),
                   *(half.receive for half in self.halves))

    def wait_flow(self, deadline=10):
        """Until something that is sent from now on has come, both ways."""
        aims = [half.sent + 1 for half in self.halves]

        def has_come():
            self.check()
            return all(half.received > aim for half, aim in zip(self.halves, aims))
        wait_until('the stream flows both ways', has_come, deadline)

    def longest_gap(self, since):
        """The longest time in s without data in one of the directions, from that moment on."""
        return max(half.longest_gap(since) for half in self.halves)

    def __exit__(self, kind, _value, _trace):
        self.stopping.set()
        if not kind:
            self.join()
        for half in self.halves:
            half.sender.close()


class Numbers:
    """One direction of datagrams: how many were sent, and how often each has come."""

    def __init__(self, sender, receiver, rate):
        self.sender, self.receiver, self.pause = sender, receiver, 1 / rate
        self.sent, self.received = 0, collections.Counter()

    def send(self, stopping):
        """While the host has no route there, as its daemon was killed, nothing is sent."""
        while not stopping.wait(self.pause):
            try:
                self.sender.send(NUMBER.pack(self.sent))
            except OSError as error:
                if error.errno != errno.ENETUNREACH:
                    raise
            else:
                self.sent += 1

    def receive(self, ended):
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                self.received[NUMBER.unpack(self.receiver.recv(2048))[0]] += 1

    def lost(self):
        return [number for number in range(self.sent) if number not in self.received]

    def doubled(self):
        return [number for number, times in self.received.items() if times > 1]


class Datagrams(Traffic):
    """Numbered UDP datagrams at a steady rate both ways, at most so many a second each."""

    def __init__(self, one, one_address, other, other_address, port=5002, rate=100):
        super().__init__()
        self.sockets = self.bound(one, one_address, port), self.bound(other, other_address, port)
        self.sockets[0].connect((other_address, port))
        self.sockets[1].connect((one_address, port))
        self.ended = threading.Event()
        self.ways = Numbers(*self.sockets, rate), Numbers(*reversed(self.sockets), rate)
        self.start(*(lambda way=way: way.receive(self.ended) for way in self.ways),
                   *(lambda way=way: way.send(self.stopping) for way in self.ways))

    @staticmethod
    def bound(host, address, port):
        made = host.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM, timeout=0.1)
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        made.bind((address, port))
        return made

    def end(self):
        """Sends no more, and gives what is under way a moment to come."""
        self.stopping.set()
        for thread in self.threads[len(self.ways):]:
            thread.join()
        with contextlib.suppress(Failed):
            wait_until('all have come', lambda: not any(way.lost() for way in self.ways), deadline=3, interval=0.1)
        self.ended.set()
        self.join()

    def __exit__(self, _kind, _value, _trace):
        self.end()
        for made in self.sockets:
            made.close()
