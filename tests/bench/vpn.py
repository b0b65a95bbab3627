# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What VPN mode costs: the same tunnel between the same two processes, without it and with it.

    left =============================== right
    100.64.0.1                      100.64.0.2, an exit

What is sent has the gateway's own address inside of the tunnel, so that the ways differ by nothing but VPN mode's routing table and
its nftables table. A sample is taken without, twice with, and without again.
"""
from lab import Lab
from pair import cable, outside, own, row
from throughput import IDLE_INTERVAL, first_ping, iperf, ping, udp
from tunnels import QuicEtherAes256

PREFIXES = 200


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


def tcp1(tunnel, seconds):
    return iperf(tunnel, seconds)[0]


def tcp1_reverse(tunnel, seconds):
    return iperf(tunnel, seconds, '-R')[0]


def udp64(tunnel, _seconds):
    return udp(tunnel, 64) / 1000


def ping_idle(tunnel, _seconds):
    return ping(tunnel, IDLE_INTERVAL)


MEASURES = (
    ('ping', 'us', ping_idle),
    ('tcp1', 'Gbit/s', tcp1),
    ('tcp1_reverse', 'Gbit/s', tcp1_reverse),
    ('udp64', 'kpps', udp64),
)


def compare(tunnel, name, unit, function, seconds):
    values = {False: 0, True: 0}
    for on in False, True, True, False:
        tunnel.switch(on)
        values[on] += function(tunnel, seconds) / 2
    yield f'{name}_plain', unit, values[False]
    yield name, unit, values[True]
    yield f'{name}_change', '%', 100 * (values[True] / values[False] - 1)


def sample(subject, setting):
    """One sample of each measure that is wanted: with VPN mode, without (_plain), and the difference (_change)."""
    with Lab('bench') as lab:
        tunnel = TUNNELS[subject](cable(lab), setting)
        tunnel.prepare()
        list(first_ping(tunnel))
        for name, unit, function in MEASURES:
            if any(map(setting.wanted, (name, f'{name}_plain', f'{name}_change'))):
                yield from setting.attempt(f'{subject}: {name}', compare, tunnel, name, unit, function, setting.seconds)
