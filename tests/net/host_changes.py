# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The calls by which the helper of a daemon changes its host: counted, and one of them made to fail, or to stand still in.

    changes = Changes(lab, node.program)
    node.start_with(changes.environment)
    changes.arm(FAIL, 7)
"""
import mmap
import pathlib
import struct

from lab import Failed

OFF, COUNT, FAIL, STOP_BEFORE, STOP_AFTER = range(5)
KINDS = 'netlink requests', 'settings', 'journal', 'resolver', 'nft begun', 'nft ended'
FORMAT = '=4I6I'


class Changes:
    """What host_changes.c and the test share."""

    def __init__(self, lab, program):
        library = pathlib.Path(program).parents[2] / 'tests/net/host_changes.so'
        if not library.exists():
            raise Failed(f'{library} is not built')
        self.path = lab.dir / 'host_changes'
        self.path.write_bytes(bytes(struct.calcsize(FORMAT)))
        with self.path.open('r+b') as file:
            self.shared = mmap.mmap(file.fileno(), 0)
        self.environment = 'env', f'LD_PRELOAD={library}', f'QE_HOST_CHANGES={self.path}'

    def arm(self, mode, at=0):
        """From the next call on, which is the first one."""
        self.shared[:] = struct.pack(FORMAT, OFF, at, *[0] * 8)
        self.shared[:4] = struct.pack('=I', mode)

    def disarm(self):
        self.shared[:4] = struct.pack('=I', OFF)

    def read(self):
        return struct.unpack(FORMAT, self.shared[:])

    @property
    def count(self):
        return self.read()[2]

    @property
    def stopped(self):
        return self.read()[3] != 0

    @property
    def kinds(self):
        return dict(zip(KINDS, self.read()[4:]))
