#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Networks that change, and networks that want the packets of their guests: nothing leaves beside the tunnel, and it comes back.

The network is drawn in internet.py, what is a leak in leaks.py. usb0 is a third uplink, which appears while VPN mode is on.
"""
import rogue
from internet import SERVER, TUN
from lab import wait_until
from vpn_scene import scene


def leads_to(host, interface, address):
    """Whether the main table, which VPN mode does not touch, leads there."""
    family = '-6' if ':' in address else '-4'
    return f' dev {interface} ' in host.ip(family, 'route', 'get', address, 'mark', 20805).stdout + ' '


def check_flap(here):
    with here.closed('uplink flap'):
        for _ in range(3):
            here.internet.unplug('eth0')
            here.watch.speak(1)
            here.internet.plug('eth0')
        here.wait_state('connected')
        here.wait_through()


def check_switch(here):
    """A second uplink with a better default route; then the first one goes, and comes back."""
    with here.closed('second uplink, better default route'):
        here.internet.plug('wlan0', metric=10)
        assert all(leads_to(here.host, 'wlan0', address) for address in SERVER)
        here.watch.speak()
        here.wait_state('connected')
        here.wait_through()
    with here.closed('switch of uplinks, and back'):
        here.internet.unplug('eth0')
        here.wait_state('connected')
        here.wait_through()
        here.internet.plug('eth0')
        here.internet.unplug('wlan0')
        here.wait_state('connected')
        here.wait_through()


def check_new_interface(here):
    here.lab.link(here.host, 'usb0', '', here.router, 'usb', '10.0.5.1/24 2001:db8:5::1/64')
    here.watch.add('usb')
    with here.closed('new interface, better default route'):
        here.host.address('usb0', '10.0.5.2/24', '2001:db8:5::2/64')
        for family, router in ('-4', '10.0.5.1'), ('-6', '2001:db8:5::1'):
            here.host.ip(family, 'route', 'add', 'default', 'via', router, 'dev', 'usb0', 'metric', 1)
        assert all(leads_to(here.host, 'usb0', address) for address in SERVER)
        here.watch.speak()
        here.host.ip('link', 'set', 'usb0', 'netns', here.router.netns)  # and out of the laptop; its wire stays
        here.wait_state('connected')
        here.wait_through()


def check_option_121(here):
    rogue.serve_dhcp(here.router, 'home', 1, ['0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1', f'{SERVER[0]}/32', '192.0.2.2/32'])
    with here.closed('DHCP option 121'):
        rogue.ask_dhcp(here.host, 'eth0')
        rogue.wait_route(here.host, f'{SERVER[0]}/32')
        here.wait_through()
    replug(here)


def check_advertisement(here):
    rogue.believe_routes(here.host, 'eth0')
    with here.closed('rogue router advertisement'):
        rogue.advertise(here.router, 'home', ['::/1', '2001:db8:9::/64', f'{SERVER[1]}/128'], '2001:db8:bad::/64')
        rogue.wait_route(here.host, f'{SERVER[1]}/128')
        here.wait_through()
    rogue.believe_routes(here.host, 'eth0', 0)
    replug(here)


def check_public_lan(here):
    """A LAN that claims the server's addresses, and answers for them; with lan = "allow"."""
    here.restart(lan='allow')
    here.router.sysctl('net.ipv4.conf.cafe.proxy_arp', 1)
    here.router.sysctl('net.ipv6.conf.cafe.proxy_ndp', 1)
    here.router.ip('-6', 'neighbour', 'add', 'proxy', SERVER[1], 'dev', 'cafe')
    here.up()
    with here.closed('LAN with public addresses, lan = "allow"', allow=is_private):
        here.host.ip('link', 'set', 'wlan0', 'up')
        here.host.address('wlan0', '203.0.113.77/24', '2001:db8:9::77/64')
        wait_until('the main table leads there', lambda: all(leads_to(here.host, 'wlan0', address) for address in SERVER))
        here.wait_through()
    here.internet.unplug('wlan0')


def is_private(packet):
    """What lan = "allow" lets out: also to the LAN's private addresses, by other protocols than DNS."""
    destination = packet.destination or ''
    local = destination.startswith(('10.0.1.', '224.0.0.', 'fe80:', 'ff02:')) or destination == '255.255.255.255'
    return local and packet.destination_port != 53


def replug(here):
    here.internet.unplug('eth0')
    here.internet.plug('eth0')
    here.wait_state('connected')


def main():
    with scene('network') as here:
        here.open('VPN mode off')
        here.up()
        assert all(TUN in here.host.ip('route', 'get', address).stdout for address in SERVER)
        for check in (check_flap, check_switch, check_new_interface, check_option_121, check_advertisement, check_public_lan):
            check(here)


if __name__ == '__main__':
    main()
