# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What goes through a tunnel between two hosts of a laboratory, and what that costs.

Each sample is from a tunnel of its own: made, measured and taken down, while no other is there.
"""
import json
import math
import pathlib
import re
import statistics
import time

from lab import Failed, Lab, wait_until
from others import OTHERS
from pair import cable
from tunnels import OWN

TUNNELS = OWN | OTHERS

PORT = 9000
PINGS = 1000
IDLE_INTERVAL = 2000  # us
LOSS_MAX = 0.01
FIRST_RATE, FASTER, HALVINGS = 20_000, 1.5, 3  # the search: datagrams per second, and its steps
LEAST_RATE = 500
BURST_MS = 300


# -- measures: each is given a tunnel and how many seconds to take, and yields (measure, unit, value) ------------------


def ping(tunnel, microseconds):
    """The median round trip of many, in us."""
    tunnel.host(1).sysctl('net.ipv4.ping_group_range', '0 2147483647')
    said = tunnel.host(1).run(tunnel.programs['pings'], tunnel.address(2), PINGS, round(microseconds)).stdout
    times = [float(line) for line in said.split()]
    if len(times) < PINGS / 2:
        raise Failed(f'{len(times)} of {PINGS} pings were answered')
    return statistics.median(times)


def ping_idle(tunnel, _seconds):
    yield 'ping_idle', 'us', ping(tunnel, IDLE_INTERVAL)


def resident_mib(process):
    status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+) kB', status)[1]) / 1024


def rss(tunnel, _seconds):
    """The larger of both, before there is any load."""
    if tunnel.processes:
        yield 'rss', 'MiB', max(map(resident_mib, tunnel.processes))


def spawn_iperf(tunnel, seconds, *options, start=1):
    """A client and a server for it: one that takes another client afterwards refuses all for a moment. The first second, in
    which TCP looks for its pace, does not count; or more of them."""
    server = tunnel.host(2).spawn('iperf3-server', 'iperf3', '-s', '-1', '--forceflush')
    server.wait_said('Server listening')
    return tunnel.host(1).spawn('iperf3', 'iperf3', '-c', tunnel.address(2), '-t', seconds, '-O', start, '-J', *options), server


def iperf_result(pair, seconds):
    """Returns Gbit/s, and the bytes that were carried in all. The server ends later by as long as the path is."""
    client, server = pair
    if client.wait(seconds + 30):
        server.stop()
        raise Failed(f'iperf3 says: {json.loads(client.said()).get("error")}')
    server.wait(30)
    said = json.loads(client.said())
    return said['end']['sum_received']['bits_per_second'] / 1e9, sum(part['sum']['bytes'] for part in said['intervals'])


def iperf(tunnel, seconds, *options):
    return iperf_result(spawn_iperf(tunnel, seconds, *options), seconds)


def cpu_seconds(tunnel):
    return sum(process.cpu_seconds() for process in tunnel.processes)


def tcp1(tunnel, seconds):
    before = cpu_seconds(tunnel)
    rate, carried = iperf(tunnel, seconds)
    yield 'tcp1', 'Gbit/s', rate
    if tunnel.processes:
        yield 'cpu_per_gb', 's', (cpu_seconds(tunnel) - before) / (carried / 1e9)


def tcp1_reverse(tunnel, seconds):
    yield 'tcp1_reverse', 'Gbit/s', iperf(tunnel, seconds, '-R')[0]


def tcp4(tunnel, seconds):
    yield 'tcp4', 'Gbit/s', iperf(tunnel, seconds, '-P', 4)[0]


def tcp4_reverse(tunnel, seconds):
    yield 'tcp4_reverse', 'Gbit/s', iperf(tunnel, seconds, '-P', 4, '-R')[0]


def ping_loaded(tunnel, seconds):
    """While one TCP stream takes what it gets."""
    load = spawn_iperf(tunnel, seconds + 1)
    time.sleep(1)
    yield 'ping_loaded', 'us', ping(tunnel, 1e6 * seconds / PINGS)
    iperf_result(load, seconds)


def send_datagrams(tunnel, size, rate, milliseconds):
    """Returns how many were sent, in how many microseconds, and how many came."""
    program = tunnel.programs['datagrams']
    receiver = tunnel.host(2).spawn('datagrams', program, 'receive', tunnel.address(2), PORT)
    receiver.wait_said('ready')
    words = program, 'send', tunnel.address(2), PORT, size, round(rate), milliseconds
    sent, microseconds = map(int, tunnel.host(1).run(*words).stdout.split())
    receiver.wait()
    return sent, microseconds, int(receiver.said().split()[-1])


def burst(tunnel, size, rate):
    """Returns how many datagrams per second came, and whether all of that rate were sent and nearly all came."""
    sent, microseconds, came = send_datagrams(tunnel, size, rate, BURST_MS)
    if came < (1 - LOSS_MAX) * sent:
        return 0, False
    return came / microseconds * 1e6, sent > 0.95 * rate * microseconds / 1e6


def best_of(tunnel, size, rate):
    """A burst that fails may have had bad luck, and has another try."""
    came, passed = burst(tunnel, size, rate)
    return (came, passed) if passed else max((came, passed), burst(tunnel, size, rate))


def udp(tunnel, size):
    """Datagrams per second that come through with less loss than LOSS_MAX: down to a rate that passes, upwards until two
    steps in a row fail, then closer between the last that passed and the next."""
    good, failures = FIRST_RATE, 0
    while not (first := best_of(tunnel, size, good))[1]:
        good /= 2 * FASTER
        if good < LEAST_RATE:
            raise Failed(f'more than {LOSS_MAX:.0%} are lost at {LEAST_RATE} datagrams per second')
    best, rate = first[0], good
    while failures < 2:
        rate *= FASTER
        came, passed = best_of(tunnel, size, rate)
        best = max(best, came)
        good, failures = (rate, 0) if passed else (good, failures + 1)
    low, high = good, good * FASTER
    for _ in range(HALVINGS):
        rate = math.sqrt(low * high)
        came, passed = best_of(tunnel, size, rate)
        best = max(best, came)
        low, high = (rate, high) if passed else (low, rate)
    return best


def udp64(tunnel, _seconds):
    yield 'udp64', 'kpps', udp(tunnel, 64) / 1000


def udp1300(tunnel, _seconds):
    yield 'udp1300', 'kpps', udp(tunnel, 1300) / 1000


# What is idle comes first.
MEASURES = (
    (('ping_idle',), ping_idle),
    (('rss',), rss),
    (('tcp1', 'cpu_per_gb'), tcp1),
    (('tcp1_reverse',), tcp1_reverse),
    (('tcp4',), tcp4),
    (('tcp4_reverse',), tcp4_reverse),
    (('ping_loaded',), ping_loaded),
    (('udp64',), udp64),
    (('udp1300',), udp1300),
)


# -- the suite ---------------------------------------------------------------------------------------------------------


def first_ping(tunnel):
    """Starts the second end after the first; from the start of its process to the first echo that is answered."""
    tunnel.start(2)
    began = time.monotonic()
    tunnel.start(1)
    wait_until('the first ping is answered',
               lambda: tunnel.host(1).pings(tunnel.address(2), '-i', 0.01, '-w', 3), 20, interval=0.001)
    if tunnel.processes:
        yield 'first_ping', 'ms', 1000 * (time.monotonic() - began)


def sample(subject, setting):
    """One sample of each measure that is wanted."""
    with Lab('bench') as lab:
        tunnel = TUNNELS[subject](cable(lab), setting)
        tunnel.prepare()
        yield from first_ping(tunnel)
        for names, function in MEASURES:
            if any(map(setting.wanted, names)):
                yield from setting.attempt(f'{subject}: {", ".join(names)}', function, tunnel, setting.seconds)
