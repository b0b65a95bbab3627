# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Sites of a company: a LAN with hosts that know nothing of QuicEther, a router of their own, and a gateway among them.

    hostN   192.168.N.2, fd00:N::2 --+
    gateN   192.168.N.3, fd00:N::3 --+-- routerN --- 10.0.N.2     10.0.N.1 -- internet
    100.64.0.N, fd64::N        192.168.N.1, fd00:N::1

The router hides the site's IPv4 addresses behind its own (NAT), lets UDP 7844 in to the gateway, and knows one thing of the
overlay: that the gateway has the way to the other sites. The underlay is IPv4; the LANs have both.
"""
from lab import Node

OTHER_SITES = '192.168.0.0/16', 'fd00::/16', '100.64.0.0/16', 'fd64::/16'


def lan(number):
    return [f'192.168.{number}.0/24', f'fd00:{number}::/64']


def inside(number):
    return [f'100.64.0.{number}', f'fd64::{number}']


def outside(number):
    """Where the gateway of the site can be reached."""
    return f'10.0.{number}.2:{Node.PORT}'


def plug(lab, switch, host, number, last):
    """A cable from a host of the site to its router, all of whose cables are one LAN."""
    lab.link(host, 'eth0', f'192.168.{number}.{last}/24 fd00:{number}::{last}/64', switch, host.name, '')
    switch.ip('link', 'set', host.name, 'master', 'lan')


class Site:
    def __init__(self, lab, internet, number):
        self.number = number
        self.router = lab.router(f'router{number}')
        self.router.ip('link', 'add', 'lan', 'type', 'bridge')
        self.router.address('lan', f'192.168.{number}.1/24', f'fd00:{number}::1/64')
        self.router.ip('link', 'set', 'lan', 'up')
        lab.link(self.router, 'wan', f'10.0.{number}.2/24', internet, f'site{number}', f'10.0.{number}.1/24')
        self.router.route('default', f'10.0.{number}.1')
        self.router.masquerade('wan')
        self.router.nft(f'''table ip inwards {{
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                iifname "wan" udp dport {Node.PORT} dnat to 192.168.{number}.3
            }}
        }}''')
        self.host, self.gate_host = lab.host(f'host{number}'), lab.host(f'gate{number}')
        for last, host in (2, self.host), (3, self.gate_host):
            plug(lab, self.router, host, number, last)
            host.route('default', f'192.168.{number}.1')
            host.route('default', f'fd00:{number}::1')
        for prefix in OTHER_SITES:
            self.router.route(prefix, f'fd00:{number}::3' if ':' in prefix else f'192.168.{number}.3')
        self.gate = Node(self.gate_host)

    def addresses(self):
        """Of the host."""
        return f'192.168.{self.number}.2', f'fd00:{self.number}::2'

    def as_peer(self, **keys):
        """The gateway and what is behind it, as another's peer."""
        return self.gate.as_peer(addresses=inside(self.number), subnets=lan(self.number),
                                 endpoints=[outside(self.number)]) | keys

    def own(self, **keys):
        """The [network] of the gateway."""
        return {'tun_addr': inside(self.number), 'advertise_subnets': lan(self.number)} | keys
