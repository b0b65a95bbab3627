# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What a tunnel keeps of its throughput while one of its ends is flooded with datagrams that nobody wants.

    left =============================== right 10.9.0.1 ------ 10.9.0.2 flooder, and all of 198.18.0.0/15
    100.64.0.1                      100.64.0.2

All share this machine's processors, also who sends the flood and what the kernels do with it: `elsewhere` is a flood at a
port where nobody listens, and shows what of the loss is not the daemon's.
"""
import pathlib
import time

import floods
from lab import Lab, wait_until
from pair import cable
from throughput import first_ping, iperf
from tunnels import QuicEtherAes256

RATE = 20_000  # datagrams per second
COUNT_MAX = 2_000_000
ALONE_SECONDS = 2
RIGHT, FLOODER = '10.9.0.1', '10.9.0.2'


class Kind:
    """Of datagrams; options for the one who sends them."""

    def __init__(self, payloads, **options):
        self.payloads, self.options = payloads, options

    @staticmethod
    def is_there(_others):
        return True


TUNNELS = {
    'elsewhere': Kind(floods.initials, port=9),
    'knocks': Kind(floods.initials, knock=True),
    'no-knock': Kind(floods.strangers),
    'false-token': Kind(floods.false_tokens),
    'unknown-id': Kind(floods.unknown_ids),
}


class Flood:
    """A block in which it goes on."""

    def __init__(self, flooder, kind):
        self.flooder, self.kind = flooder, kind

    def __enter__(self):
        self.process = self.flooder.start(self.kind.payloads(), COUNT_MAX, RATE, **self.kind.options)
        time.sleep(0.3)

    def __exit__(self, *_):
        self.process.stop()


def cpu_nanoseconds(process):
    """Of all its threads, finer than cpu_seconds()."""
    tasks = pathlib.Path(f'/proc/{process.pid}/task').iterdir()
    return sum(int((task / 'schedstat').read_text().split()[0]) for task in tasks)


def kept(tunnel, flood, seconds, *options):
    """In percent; without the flood before and after."""
    before = iperf(tunnel, seconds, *options)[0]
    with flood:
        under = iperf(tunnel, seconds, *options)[0]
    return 100 * under / ((before + iperf(tunnel, seconds, *options)[0]) / 2)


def cpu_per_datagram(node, flood):
    """Of the daemon with its system calls, while there is nothing else to do."""
    def taken():
        return node.status()['counters']['rx_datagrams']
    with flood:
        count, cpu = taken(), cpu_nanoseconds(node.daemon)
        time.sleep(ALONE_SECONDS)
        cpu = cpu_nanoseconds(node.daemon) - cpu
        count = taken() - count
    return cpu / count if count > RATE else None


def measures(tunnel, flood, setting):
    if setting.wanted('kept'):
        yield 'kept', '%', kept(tunnel, flood, setting.seconds)
    if setting.wanted('kept_reverse'):
        yield 'kept_reverse', '%', kept(tunnel, flood, setting.seconds, '-R')
    cost = cpu_per_datagram(tunnel.nodes[1], flood) if setting.wanted('cpu_per_datagram') else None
    if cost:
        yield 'cpu_per_datagram', 'ns', cost


def sample(subject, setting):
    """One sample of each measure that is wanted."""
    with Lab('bench') as lab:
        hosts, flooding = cable(lab), lab.host('flooder')
        lab.link(flooding, 'eth0', f'{FLOODER}/24', hosts[1], 'eth1', f'{RIGHT}/24')
        hosts[1].route(floods.ANYBODY, FLOODER)
        tunnel = QuicEtherAes256(hosts, setting)
        tunnel.prepare()
        list(first_ping(tunnel))
        node = tunnel.nodes[1]
        wait_until('the control socket answers', node.is_ready)
        yield from measures(tunnel, Flood(floods.Flooder(flooding, node, RIGHT), TUNNELS[subject]), setting)
