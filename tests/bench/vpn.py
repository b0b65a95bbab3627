# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What VPN mode costs: the same tunnel between the same two processes, without it and with it.

    left =============================== right
    100.64.0.1                      100.64.0.2, an exit

What is sent has the gateway's own address inside of the tunnel, so that the ways differ by nothing but VPN mode's routing table and
its nftables table. Both are measured in turn, for a second each, as the machine's drift is larger than the difference.
"""
import os
import pathlib
import statistics

from lab import Lab
from pair import cable, outside, own, row
from throughput import IDLE_INTERVAL, first_ping, iperf, ping, send_steadily
from tunnels import QuicEtherAes256

PREFIXES = 200
SLICE = 1           # seconds
UDP_RATE = 20_000   # datagrams per second: far from the most that come through


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


def tcp1(tunnel):
    return iperf(tunnel, SLICE, start=0)[0]


def tcp1_reverse(tunnel):
    return iperf(tunnel, SLICE, '-R', start=0)[0]


def busy_seconds():
    """Of all processors, with what interrupts take."""
    user, nice, system, _idle, _iowait, *interrupts = map(int, pathlib.Path('/proc/stat').read_text().splitlines()[0].split()[1:8])
    return (user + nice + system + sum(interrupts)) / os.sysconf('SC_CLK_TCK')


def udp64_cpu(tunnel):
    """What the machine works for one datagram, sender and both ends together: the highest rate says the same, but varies by a fifth from
    one search to the next."""
    before = busy_seconds()
    came = send_steadily(tunnel, 64, UDP_RATE, 1000 * SLICE)
    return 1e6 * (busy_seconds() - before) / came


def ping_idle(tunnel):
    return ping(tunnel, IDLE_INTERVAL)


# And how many times it is measured in a round, each time without, with, with and without.
MEASURES = (
    ('ping', 'us', ping_idle, 1),
    ('tcp1', 'Gbit/s', tcp1, 4),
    ('tcp1_reverse', 'Gbit/s', tcp1_reverse, 4),
    ('udp64_cpu', 'us', udp64_cpu, 2),
)


def compare(tunnel, name, unit, function, times):
    values = {False: [], True: []}
    for on in (False, True, True, False) * times:
        tunnel.switch(on)
        values[on].append(function(tunnel))
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
        for name, unit, function, times in MEASURES:
            if any(map(setting.wanted, (name, f'{name}_plain', f'{name}_change'))):
                yield from setting.attempt(f'{subject}: {name}', compare, tunnel, name, unit, function, times)
