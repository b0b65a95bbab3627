# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Datagrams that nobody wants, and what sends them (flood.c)."""
import pathlib
import random

from lab import Node, find_quicether

ANYBODY = '198.18.0.0/15'  # addresses of nobody
N = 1000


def initial(dcid, token=b''):
    """Of the right shape and size, and with nothing in it that opens."""
    head = b'\xc0\0\0\0\1' + bytes([len(dcid)]) + dcid + b'\x08' + random.randbytes(8) + bytes([len(token)]) + token
    return head + (0x4000 | 1200 - len(head) - 2).to_bytes(2) + random.randbytes(1200 - len(head) - 2)


def initials():
    """To be given knocks by the sender."""
    return [initial(bytes(20)) for _ in range(N)]


def strangers():
    """Of those who do not know the NodeId."""
    return [initial(random.randbytes(20)) for _ in range(N)]


def false_tokens():
    return [initial(random.randbytes(8), random.randbytes(37)) for _ in range(N)]


def unknown_ids():
    return [b'\x40\0' + random.randbytes(random.randrange(8, 400)) for _ in range(N)]


def garbage():
    return [random.randbytes(random.randrange(1, 1473)) for _ in range(N)]


class Flooder:
    """A host that sends to a node under any address."""

    def __init__(self, host, node, address):
        self.host, self.node, self.address = host, node, address
        self.program = pathlib.Path(find_quicether()).parents[2] / 'tests/net/flood'
        self.file = host.lab.dir / 'payloads'

    def start(self, payloads, count, rate, source=ANYBODY, knock=False, port=Node.PORT):
        """rate: datagrams per second, 0 for as many as go."""
        self.file.write_bytes(b''.join(len(payload).to_bytes(2) + payload for payload in payloads))
        return self.host.spawn('flood', self.program, self.file, source, self.address, port, count, rate,
                               *([self.node.id] if knock else []))
