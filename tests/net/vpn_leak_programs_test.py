#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Programs that try to get past the tunnel: bound to the physical interface's addresses, bound to the interface itself, in a container
that the laptop forwards for; and others who would draw an answer out of the laptop.

    container 172.17.0.2, fd17::2 --- docker0 172.17.0.1, fd17::1 laptop

The laptop translates the container's addresses as container engines do. All else is drawn in internet.py, what is a leak in leaks.py.
"""
import socket

from internet import LAPTOP, LAPTOP_INSIDE
from leaks import Talker
from vpn_scene import scene

ENGINE = '''
table inet engine {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
        ip6 saddr fd17::/64 oifname != "docker0" masquerade
    }
}
'''
STRANGERS_PORT = 5010


def make_talkers(laptop, marker):
    container = laptop.lab.host('container')
    laptop.lab.link(laptop, 'docker0', '172.17.0.1/16 fd17::1/64', container, 'eth0', '172.17.0.2/16 fd17::2/64')
    container.route('default', '172.17.0.1')
    container.route('default', 'fd17::1')
    laptop.forward()
    laptop.nft(ENGINE)
    return [Talker(laptop, marker, tick=0.1), Talker(laptop, marker, 'bound', bound=LAPTOP, tick=0.1),
            Talker(laptop, marker, 'device', device='eth0', tick=0.1),
            Talker(container, marker, 'container', local=False, tick=0.1)]


def check_programs(here):
    here.open('VPN mode off')
    here.up()
    with here.closed('connected'):
        here.wait_through()
    with here.closed('gateway dead'):
        here.gate.kill()
        here.wait_state('reconnecting', 'blocked')
    with here.closed('daemon killed'):
        here.laptop.kill()
        here.watch.speak()
    here.gate.start()
    with here.closed('daemon restarted'):
        here.laptop.start('--vpn')
        here.wait_state('connected')
        here.wait_through()


def come_in(here, addresses):
    """To which of these addresses of the laptop somebody on its LAN gets a datagram through."""
    come = set()
    for address in addresses:
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        with (here.host.socket(family, socket.SOCK_DGRAM, timeout=0.5) as receiver,
              here.router.socket(family, socket.SOCK_DGRAM) as sender):
            receiver.bind(('::' if ':' in address else '0.0.0.0', STRANGERS_PORT))
            sender.sendto(b'stranger', (address, STRANGERS_PORT))
            try:
                receiver.recv(100)
                come.add(address)
            except TimeoutError:
                pass
    return come


def check_strangers(here):
    """Who is on the LAN gets no answer, and reaches nothing by the tunnel's addresses."""
    for address, via in zip(LAPTOP_INSIDE, LAPTOP):
        here.router.route(address, via)
    here.down()
    assert come_in(here, LAPTOP_INSIDE) == set(LAPTOP_INSIDE)  # without VPN mode they would
    here.up()
    with here.closed('strangers on the LAN'):
        assert come_in(here, LAPTOP_INSIDE) == set()
        for address in LAPTOP + tuple(LAPTOP_INSIDE):
            assert not here.router.pings(address, timeout=1), address
            try:
                here.router.connect_to(address, 9, timeout=0.5).close()
            except OSError:
                pass


def main():
    with scene('programs', make_talkers=make_talkers) as here:
        check_programs(here)
        check_strangers(here)


if __name__ == '__main__':
    main()
