# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What goes through a tunnel over a bad path, and how long a ping takes beside it.

    left ---------- router ---------- right        tests/net/path.py; both ways are equally bad
"""
import math
import pathlib
import re
import statistics
import time

from lab import Failed, Lab
from path import Path, long_way
from throughput import TUNNELS, first_ping, iperf_result, spawn_iperf

SUBJECTS = 'bare', 'quicether-aes256gcm', 'wireguard-go'  # the others on demand

PING_INTERVAL = 0.05
IDLE_PINGS = 20


class Case:
    """A path, the loads that it is given, and how many seconds these need until they have found their pace."""

    def __init__(self, loads, start, **options):
        self.loads, self.start, self.options = loads, start, options


ALL_LOADS = ('cubic', 1), ('cubic', 4), ('bbr', 1), ('bbr', 4)
ONE_STREAM = ('cubic', 1), ('bbr', 1)
CASES = {
    '20ms_1pct': Case(ALL_LOADS, 1, delay=10_000, loss=10_000),
    '20ms_500mbit': Case(ALL_LOADS, 3, delay=10_000, rate=500_000, limit=1_000_000),
    '20ms_reorder': Case(ONE_STREAM, 1, delay=10_000, late=10_000, late_by=1_000),
    '300ms': Case(ONE_STREAM, 5, delay=150_000),
}


def missing_control():
    """Congestion controls that this kernel has not got."""
    there = pathlib.Path('/proc/sys/net/ipv4/tcp_available_congestion_control').read_text().split()
    return sorted({control for case in CASES.values() for control, _ in case.loads} - set(there))


def ping_words(tunnel, count):
    return 'ping', '-n', '-i', PING_INTERVAL, '-c', count, '-w', math.ceil(count * PING_INTERVAL) + 2, tunnel.address(2)


def ping(tunnel, count):
    """The median round trip, in ms, of pings that are sent whether or not those before are answered."""
    said = tunnel.host(1).run(*ping_words(tunnel, count), check=False).stdout
    times = [float(time) for time in re.findall(r'time=([\d.]+)', said)]
    if len(times) < count / 2:
        raise Failed(f'{len(times)} of {count} pings were answered')
    return statistics.median(times)


def loaded(tunnel, start, seconds, control, streams):
    """Returns Mbit/s, and the round trip of pings meanwhile."""
    load = spawn_iperf(tunnel, seconds, '-C', control, '-P', streams, start=start)
    time.sleep(start)
    round_trip = ping(tunnel, round((seconds - 0.5) / PING_INTERVAL))
    return 1000 * iperf_result(load, seconds)[0], round_trip


def measure(tunnel, name, start, seconds, load, idle):
    rate, round_trip = loaded(tunnel, start, seconds, *load)
    yield name, 'Mbit/s', rate
    yield f'{name}_delay', 'ms', round_trip - idle


def sample_case(subject, name, setting):
    case, missing = CASES[name], missing_control()
    loads = {f'{name}_{control}{streams}': (control, streams) for control, streams in case.loads if control not in missing}
    loads = {measure: load for measure, load in loads.items() if any(map(setting.wanted, (measure, f'{measure}_delay')))}
    if not loads:
        return
    with Lab('bench') as lab:
        hosts, router, interfaces = long_way(lab)
        path = Path(router, interfaces, **case.options)
        tunnel = TUNNELS[subject](hosts, setting)
        tunnel.prepare()
        list(first_ping(tunnel))
        idle = ping(tunnel, IDLE_PINGS)
        for measured, load in loads.items():
            yield from setting.attempt(f'{subject}: {measured}', measure, tunnel, measured, case.start, setting.seconds, load, idle)
        path.check()


def sample(subject, setting):
    """One sample of each measure that is wanted: CASE_LOAD, and CASE_LOAD_delay for what the load adds to a ping."""
    for name in CASES:
        yield from sample_case(subject, name, setting)
