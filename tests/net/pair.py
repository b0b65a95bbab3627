# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Two nodes on one cable, with which many tests begin.

    left =============================== right
    10.0.0.1, 2001:db8::1      10.0.0.2, 2001:db8::2      outside
    100.64.0.1, fd64::1        100.64.0.2, fd64::2        inside
"""
from lab import Node

OUTSIDE = {4: ('10.0.0.{}', 24), 6: ('2001:db8::{}', 64)}
INSIDE = {4: '100.64.0.{}', 6: 'fd64::{}'}
TUN = 'quicether0'


def outside(number, version=4):
    return OUTSIDE[version][0].format(number)


def inside(number, version=4):
    return INSIDE[version].format(number)


def endpoint(address, port=Node.PORT):
    return f'[{address}]:{port}' if ':' in address else f'{address}:{port}'


def cable(lab, left='left', right='right'):
    """Two hosts and the cable between them."""
    hosts = lab.host(left), lab.host(right)
    ends = [' '.join(f'{outside(number, version)}/{OUTSIDE[version][1]}' for version in OUTSIDE) for number in (1, 2)]
    lab.link(hosts[0], 'eth0', ends[0], hosts[1], 'eth0', ends[1])
    return hosts


def row(node, number, dial=None, **keys):
    """A node of that number as another's peer; dial: the address to reach it at."""
    return node.as_peer(addresses=[inside(number, version) for version in INSIDE],
                        **({'endpoints': [endpoint(dial)]} if dial else {}), **keys)


def own(number, **keys):
    """The [network] of the node of that number."""
    return {'tun_addr': [inside(number, version) for version in INSIDE], **keys}


def start_pair(left, right):
    """Starts both, and waits until both have the link."""
    for node in (right, left):
        node.start()
    left.wait_connected(right)
    right.wait_connected(left)
