#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The network changes under VPN mode: a cable, an address, an uplink, a better default route, sleep. As soon as there is a way
again the tunnel is back, and until then it is said that it is not.

The network is drawn in internet.py.
"""
import os
import pathlib
import signal
import socket
import struct
import time

import host_state
from internet import GATE, ROUTER, SERVER, UDP_PORT, Internet, Services
from lab import Lab, find_quicether, wait_until

PATIENCE = 1.0  # seconds from a way to the tunnel
SLACK = 0.6     # of a machine under load, and of the commands that make the way
GONE = 3        # seconds that the network is away, at least
LONG_GONE = 14  # the link is given up by then, and as many dials are under way as may be


def vpn(node, *words, **options):
    return node.run('vpn', *words, '--socket', node.socket, **options)


def status(node):
    return node.call('vpn', 'status')


def state(node):
    return status(node)['state']


def answers(host, address, timeout):
    """Whether the server answers one question, by way of the tunnel: it sees the gateway."""
    with host.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM, timeout) as sender:
        try:
            sender.sendto(b'here?', (address, UDP_PORT))
            return sender.recv(100) == b'here?'
        except OSError:
            return False


def seconds_to_answer(host):
    """From now to the first answer."""
    begin = time.monotonic()
    wait_until('the server answers', lambda: any(answers(host, address, 0.05) for address in SERVER), deadline=20, interval=0.01)
    return time.monotonic() - begin


def check_back(what, laptop):
    """There is a way as of now."""
    took = seconds_to_answer(laptop.host)
    print(f'{what}: back after {took:.2f} s', flush=True)
    assert took < PATIENCE + SLACK, took
    wait_until('it answers by both kinds of IP', lambda: all(answers(laptop.host, address, 1) for address in SERVER))
    wait_until('it says that it is connected', lambda: state(laptop) == 'connected', deadline=2)


def wait_gone(laptop, seconds=GONE):
    """It is said, and goes on for a while."""
    wait_until('it says that it is not connected', lambda: state(laptop) in ('reconnecting', 'blocked'), deadline=6)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert state(laptop) in ('reconnecting', 'blocked') and status(laptop)['reason'], status(laptop)
        assert not answers(laptop.host, SERVER[0], 0.2)


def check_flap(internet, laptop):
    for seconds in GONE, LONG_GONE:
        internet.unplug('eth0')
        wait_gone(laptop, seconds)
        internet.plug('eth0')
        check_back(f'interface down and up after {seconds} s', laptop)


def check_short_flap(internet, laptop):
    """Too short for anybody to notice that it is gone."""
    internet.unplug('eth0')
    internet.plug('eth0')
    check_back('interface down and up at once', laptop)


def check_cable(internet, laptop):
    """Addresses and routes stay: only the carrier goes and comes."""
    internet.router.ip('link', 'set', 'home', 'down')
    wait_gone(laptop)
    internet.router.ip('link', 'set', 'home', 'up')
    internet.router.address('home', '2001:db8:1::1/64')
    check_back('cable out and in', laptop)


def check_address(internet, laptop):
    """As of a new lease: another address, and the routes with it, for which only the router is named."""
    internet.laptop.ip('address', 'flush', 'dev', 'eth0')
    internet.laptop.address('eth0', '10.0.1.7/24', '2001:db8:1::7/64')
    internet.laptop.route('default', ROUTER[0])
    internet.laptop.route('default', ROUTER[1])
    check_back('another address', laptop)


def check_switch(internet, laptop):
    internet.unplug('eth0')
    wait_gone(laptop)
    internet.plug('wlan0')
    check_back('another uplink after a pause', laptop)
    internet.unplug('wlan0')
    internet.plug('eth0')
    check_back('another uplink at once', laptop)


def check_better_route(internet, laptop):
    """A second uplink, whose default route is preferred; then the first one goes."""
    internet.plug('wlan0')
    internet.laptop.ip('route', 'replace', 'default', 'via', '10.0.4.1', 'dev', 'wlan0', 'metric', 50)
    check_back('a default route of better metric', laptop)
    internet.unplug('eth0')
    check_back('the former uplink gone', laptop)
    internet.unplug('wlan0')
    internet.plug('eth0')
    check_back('and back', laptop)


def check_others(internet, laptop):
    """A firewall that starts anew, a program that takes all rules for its own: what they take away is put back."""
    for words in (['nft', 'flush', 'ruleset'], ['ip', 'rule', 'delete', 'priority', '5182'], ['ip', '-6', 'rule', 'delete', 'priority', '5182'],
                  ['ip', 'route', 'flush', 'table', '20805'], ['ip', '-6', 'route', 'flush', 'table', '20805']):
        before = host_state.read(internet.laptop)
        internet.laptop.run(*words)
        wait_until(f'what {" ".join(words)} has taken away is back', lambda: host_state.read(internet.laptop) == before)
    assert status(laptop)['kill_switch'] == 'holds'
    laptop.daemon.wait_said('"event":"vpn_restored"')


def check_interface(internet, laptop):
    """The tunnel's own interface, which somebody else takes down: nothing goes beside it, and all is back with it."""
    before = sorted(host_state.read(internet.laptop).splitlines())
    internet.laptop.ip('link', 'set', 'quicether0', 'down')
    wait_until('it says that it is blocked', lambda: state(laptop) == 'blocked' and 'quicether0 is down' in status(laptop)['reason'])
    internet.laptop.run('nft', 'flush', 'ruleset')
    wait_until('the kill switch is back', lambda: 'quicether_vpn' in internet.laptop.run('nft', 'list', 'tables').stdout)
    assert not any(answers(internet.laptop, address, 0.2) for address in SERVER)
    internet.laptop.ip('link', 'set', 'quicether0', 'up')
    check_back('the tunnel down and up', laptop)
    for _ in range(3):
        internet.laptop.run('sh', '-c', 'ip link set quicether0 down; ip link set quicether0 up')
        check_back('the tunnel down and up at once', laptop)
    wait_until('the host is as before', lambda: sorted(host_state.read(internet.laptop).splitlines()) == before)


class Machine:
    """A laptop's daemon that sleeps when told to: frozen, as by a suspend, while the clock of the machine goes on."""

    def __init__(self, laptop):
        self.laptop, self.slept, self.wake = laptop, laptop.dir / 'slept', laptop.dir / 'wake'
        self.slept.write_bytes(bytes(8))
        os.mkfifo(self.wake)
        self.fifo = os.open(self.wake, os.O_RDWR | os.O_NONBLOCK)

    def words(self, *words):
        library = pathlib.Path(find_quicether()).parents[2] / 'tests/net/sleep.so'
        return ['env', f'LD_PRELOAD={library}', f'QE_SLEPT={self.slept}', f'QE_WAKE={self.wake}', self.laptop.program, *words]

    def sleep(self):
        self.laptop.daemon.signal(signal.SIGSTOP)

    def resume(self, seconds):
        before, = struct.unpack('=q', self.slept.read_bytes())
        with self.slept.open('r+b') as file:
            file.write(struct.pack('=q', before + seconds * 10**9))
        os.write(self.fifo, bytes(8))
        self.laptop.daemon.signal(signal.SIGCONT)


def check_sleep(internet, laptop, gate, machine):
    """The gateway is another one after each: nothing that is still under way gets an answer there."""
    for seconds in 30, 7200:
        machine.sleep()
        gate.kill()
        gate.start()
        machine.resume(seconds)
        check_back(f'awake after {seconds} s', laptop)
    laptop.daemon.wait_said('"event":"woke"')


def check_sleep_elsewhere(internet, laptop, machine):
    """Asleep in one network, awake in another one."""
    machine.sleep()
    internet.unplug('eth0')
    internet.plug('wlan0')
    machine.resume(3600)
    check_back('awake elsewhere', laptop)
    internet.unplug('wlan0')
    internet.plug('eth0')
    check_back('and back', laptop)


def main():
    with Lab('vpn_changes') as lab:
        internet = Internet(lab)
        laptop, gate = internet.nodes()
        machine = Machine(laptop)
        run, laptop.words = laptop.words, machine.words
        gate.start()
        laptop.start()
        laptop.words = run
        laptop.wait_connected(gate)
        with Services(internet.server, b'here?') as services:
            vpn(laptop, 'up')
            check_flap(internet, laptop)
            check_short_flap(internet, laptop)
            check_cable(internet, laptop)
            check_address(internet, laptop)
            check_switch(internet, laptop)
            check_better_route(internet, laptop)
            check_others(internet, laptop)
            check_interface(internet, laptop)
            check_sleep(internet, laptop, gate, machine)
            check_sleep_elsewhere(internet, laptop, machine)
            assert services.sources('udp') == set(GATE), services.seen


if __name__ == '__main__':
    main()
