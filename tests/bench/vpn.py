# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What VPN mode costs: the same tunnel between the same two processes, without it and with it.

    left =============================== right
    100.64.0.1                      100.64.0.2, an exit

What is sent has the gateway's own address inside of the tunnel, so that the ways differ by nothing but VPN mode's routing table and
its nftables table. Of one stream that goes on all the time, slices are measured in turn without, with, with and without: the machine
drifts by more than the difference. It also varies by a tenth from one second to the next, so a round has many slices.
"""
import contextlib
import pathlib
import statistics
import time

from lab import Failed, Lab, wait_until
from pair import cable, outside, own, row
from throughput import IDLE_INTERVAL, PORT, first_ping, ping, spawn_iperf
from tunnels import QuicEtherAes256

PREFIXES = 200
SLICE = 1           # seconds
UDP_RATE = 20_000   # datagrams per second: far from the most that come through
UDP_SIZE, UDP_HEADERS = 64, 28  # bytes; a packet may carry several datagrams, which the kernel takes apart
UDP_ENOUGH = 0.9    # of them, in each slice
LONGEST = 300       # seconds for which datagrams are sent, and more than they are measured for
FOREVER = 0         # for iperf3
STARTED = 500e6     # bytes after which a connection has found its pace
STARTING_MAX = 60   # seconds


class Vpn(QuicEtherAes256):
    """VPN mode as it is by default."""

    vpn = {}

    def prepare(self):
        super().prepare()
        laptop, gate = self.nodes
        for node in self.nodes:
            node.host.own_etc()
        laptop.configure([row(gate, 2, outside(2), exit=True)], network=own(1), security=self.security(),
                         vpn={'via': gate.name, **self.vpn})
        gate.configure([row(laptop, 1, outside(1))], node={'role': 'gateway'}, network=own(2, exit=True), security=self.security())

    def switch(self, on):
        node = self.nodes[0]
        node.run('vpn', 'up' if on else 'down', '--socket', node.socket)


class VpnOpen(Vpn):
    """Without a kill switch."""

    vpn = {'kill_switch': False}


class VpnSplit(Vpn):
    """With many prefixes beside the tunnel."""

    vpn = {'exclude': [f'198.18.{number}.0/24' for number in range(PREFIXES)]}


TUNNELS = {'kill-switch': Vpn, 'no-kill-switch': VpnOpen, 'split': VpnSplit}


def arrived(tunnel, number):
    """Bytes and packets out of the tunnel at one of the two."""
    table = pathlib.Path(f'/proc/{tunnel.nodes[number - 1].daemon.pid}/net/dev').read_text()
    line = next(line for line in table.splitlines() if line.strip().startswith('quicether0:'))
    return [int(word) for word in line.partition(':')[2].split()[:2]]


# -- streams: each gives a function that measures for the time of a slice ----------------------------------------------


def check_running(*processes):
    for process in processes:
        if not process.alive():
            raise Failed(f'{process.name} ended: {process.said()[-300:]}')


@contextlib.contextmanager
def tcp(tunnel, receiver, *options):
    """Gbit/s as the receiving host counts what comes out of the tunnel. CUBIC, as BBR looks for other rates all the time."""
    client, server = spawn_iperf(tunnel, FOREVER, '-C', 'cubic', *options, start=0)

    def carried():
        check_running(client, server)
        return arrived(tunnel, receiver)[0]

    def measure():
        before, start = carried(), time.monotonic()
        time.sleep(SLICE)
        return 8e-9 * (carried() - before) / (time.monotonic() - start)

    with contextlib.ExitStack() as ends:
        ends.callback(server.stop)
        ends.callback(client.stop)
        first = carried()
        wait_until('TCP has its pace', lambda: carried() - first > STARTED, STARTING_MAX)
        yield measure


def tcp1(tunnel):
    return tcp(tunnel, 2)


def tcp1_reverse(tunnel):
    return tcp(tunnel, 1, '-R')


@contextlib.contextmanager
def udp64_cpu(tunnel):
    """What both ends, sender and receiver together work for one datagram, in us: the highest rate says the same, but varies by a fifth
    from one search to the next."""
    program = tunnel.programs['datagrams']
    receiver = tunnel.host(2).spawn('datagrams', program, 'receive', tunnel.address(2), PORT)
    receiver.wait_said('ready')
    sender = tunnel.host(1).spawn('datagrams', program, 'send', tunnel.address(2), PORT, UDP_SIZE, UDP_RATE, 1000 * LONGEST)
    workers = *tunnel.processes, sender, receiver

    def work():
        check_running(*workers)
        carried, packets = arrived(tunnel, 2)
        return sum(process.cpu_seconds() for process in workers), (carried - UDP_HEADERS * packets) / UDP_SIZE

    def measure():
        (seconds, datagrams), start = work(), time.monotonic()
        time.sleep(SLICE)
        seconds_after, datagrams_after = work()
        came = (datagrams_after - datagrams) / (time.monotonic() - start)
        if came < UDP_ENOUGH * UDP_RATE:
            raise Failed(f'{came:.0f} datagrams a second came, of {UDP_RATE}')
        return 1e6 * (seconds_after - seconds) / (datagrams_after - datagrams)

    with contextlib.ExitStack() as ends:
        ends.callback(receiver.stop)
        ends.callback(sender.kill)
        yield measure


@contextlib.contextmanager
def ping_idle(tunnel):
    yield lambda: ping(tunnel, IDLE_INTERVAL)


# And how many times it is measured in a round, each time in four slices.
MEASURES = (
    ('ping', 'us', ping_idle, 6),
    ('tcp1', 'Gbit/s', tcp1, 16),
    ('tcp1_reverse', 'Gbit/s', tcp1_reverse, 16),
    ('udp64_cpu', 'us', udp64_cpu, 12),
)


def compare(tunnel, name, unit, stream, times):
    values = {False: [], True: []}
    tunnel.switch(False)
    with stream(tunnel) as measure:
        for on in (False, True, True, False) * times:
            tunnel.switch(on)
            values[on].append(measure())
    plain, with_vpn = (statistics.fmean(values[on]) for on in (False, True))
    yield f'{name}_plain', unit, plain
    yield name, unit, with_vpn
    yield f'{name}_change', '%', 100 * (with_vpn / plain - 1)


def sample(subject, setting):
    """One sample of each measure that is wanted: with VPN mode, without (_plain), and the difference (_change)."""
    with Lab('bench') as lab:
        tunnel = TUNNELS[subject](cable(lab), setting)
        tunnel.prepare()
        list(first_ping(tunnel))
        for name, unit, stream, times in MEASURES:
            if any(map(setting.wanted, (name, f'{name}_plain', f'{name}_change'))):
                yield from setting.attempt(f'{subject}: {name}', compare, tunnel, name, unit, stream, times)
