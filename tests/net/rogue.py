# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A network that wants the packets of its guests: DHCP with routes of its own (option 121), and router advertisements.

The client is udhcpc with a script that does with the routes what dhclient, NetworkManager and systemd-networkd do; IPv6 is the kernel's.
"""
import ipaddress
import socket
import struct

from lab import wait_until

ADVERTISEMENT, PREFIX_OPTION, ROUTE_OPTION = 134, 3, 24  # RFC 4861, RFC 4191
HIGH, ON_LINK_AUTONOMOUS = 0x08, 0xc0
LIFETIME = 600

CLIENT = '''#!/bin/sh
[ "$1" = bound ] || exit 0
ip address replace "$ip/$mask" dev "$interface"
set -- $staticroutes
while [ $# -gt 1 ]; do
	ip route replace "$1" via "$2" dev "$interface" metric 1
	shift 2
done
'''


def serve_dhcp(router, interface, network, routes):
    """By a dnsmasq of the router: leases of 10.0.NETWORK.0/24, and these IPv4 prefixes as routes by the router."""
    gateway = f'10.0.{network}.1'
    option = ','.join(f'{prefix},{gateway}' for prefix in routes)
    server = router.spawn('dnsmasq', 'dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--user=root', '--port=0', '--leasefile-ro', '--no-ping',
                          '--bind-interfaces', f'--interface={interface}', '--pid-file',
                          f'--dhcp-range=10.0.{network}.100,10.0.{network}.200,255.255.255.0,1h',
                          f'--dhcp-option=3,{gateway}', f'--dhcp-option=6,{gateway}', f'--dhcp-option=121,{option}')
    server.wait_said('DHCP, IP range')
    return server


def ask_dhcp(host, interface):
    """One lease; returns the address."""
    script = host.lab.dir / f'{host.name}-udhcpc'
    script.write_text(CLIENT)
    script.chmod(0o755)
    host.run('udhcpc', '-f', '-q', '-n', '-t', 5, '-T', 1, '-i', interface, '-s', script, '-O', 'staticroutes')


def route_option(prefix):
    """More specific than all others, of high preference."""
    network = ipaddress.ip_network(prefix)
    length = 3 if network.prefixlen > 64 else 2
    return struct.pack('>BBBBI', ROUTE_OPTION, length, network.prefixlen, HIGH, LIFETIME) + network.network_address.packed[:8 * (length - 1)]


def prefix_option(prefix):
    network = ipaddress.ip_network(prefix)
    return struct.pack('>BBBBIII', PREFIX_OPTION, 4, network.prefixlen, ON_LINK_AUTONOMOUS, LIFETIME, LIFETIME, 0) + network.network_address.packed


def advertise(router, interface, routes, prefix):
    """To all on the link: a default router of high preference, a prefix to make addresses of, and routes."""
    head = struct.pack('>BBHBBHII', ADVERTISEMENT, 0, 0, 64, HIGH, LIFETIME, 0, 0)
    with router.inside(), socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender:
        scope = socket.if_nametoindex(interface)
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, scope)
        sender.sendto(head + prefix_option(prefix) + b''.join(map(route_option, routes)), ('ff02::1', 0, 0, scope))


def believe_routes(host, interface, longest=128):
    """The kernel takes routes up to that length from advertisements; 0, its default: none."""
    host.sysctl(f'net.ipv6.conf.{interface}.accept_ra_rt_info_max_plen', longest)


def wait_route(host, prefix, *options):
    """Until the main table has it."""
    family = '-6' if ':' in prefix else '-4'
    wait_until(f'{host.name} has a route to {prefix}', lambda: host.ip(family, 'route', 'show', prefix, *options).stdout)
