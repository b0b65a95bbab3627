#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The gateway has a name, and VPN mode is on before there is a tunnel: the name is asked of the LAN's resolver, beside the tunnel,
by the node alone; or found in /etc/hosts.

The network is drawn in internet.py. The LAN's resolver is the router, which knows nothing but the gateway.
"""
import contextlib
import selectors
import socket
import threading

from internet import DNS_PORT, GATE, GATE_INSIDE, LAPTOP, LAPTOP_INSIDE, ROUTER, Internet, answer, question_of
from lab import Lab, Node, wait_until

NAME = 'gate.example'
OURS = 'nameserver 127.0.0.84'


class Resolver:
    """Answers for the gateway's name, in a thread; asked: names, and who asked. It may be deaf for a while."""

    def __init__(self, host):
        self.asked, self.deaf = [], False
        self.selector, self.stopping = selectors.DefaultSelector(), threading.Event()
        for address in ROUTER:
            made = host.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((address, DNS_PORT))
            self.selector.register(made, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stopping.is_set():
            for key, _ in self.selector.select(0.1):
                query, source = key.fileobj.recvfrom(512)
                name = question_of(query)[0]
                self.asked.append((name, source[0]))
                if not self.deaf and name == NAME:
                    key.fileobj.sendto(answer(query, GATE), source)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()


def configure(laptop, gate, name, **vpn):
    peer = gate.as_peer(addresses=GATE_INSIDE, endpoints=[f'{name}:{Node.PORT}'], exit=True)
    laptop.configure([peer], network={'tun_addr': LAPTOP_INSIDE}, vpn={'via': 'gate', 'enabled': True, **vpn})


@contextlib.contextmanager
def running(laptop):
    before = (laptop.host.etc / 'resolv.conf').read_text()
    laptop.start()
    yield
    assert laptop.stop() == 0
    assert (laptop.host.etc / 'resolv.conf').read_text() == before


def wait_vpn(laptop):
    wait_until('VPN mode is connected', lambda: laptop.call('vpn', 'status')['state'] == 'connected', 20)


def check(laptop, resolver, source=None):
    """source: the laptop's address that the resolver is asked from; None: it is not asked. The gateway may find the laptop first."""
    resolver.asked.clear()
    with running(laptop):
        wait_vpn(laptop)
        if source:
            wait_until('it is asked', lambda: (NAME, source) in resolver.asked)
    assert set(resolver.asked) == ({(NAME, source)} if source else set()), resolver.asked


def main():
    with Lab() as lab:
        internet = Internet(lab)
        laptop, gate = internet.nodes()
        resolv_conf = internet.laptop.etc / 'resolv.conf'
        gate.start()
        with Resolver(internet.router) as resolver:
            wait_until('the gateway is there', lambda: internet.laptop.pings(GATE[0]))
            configure(laptop, gate, NAME)
            check(laptop, resolver, LAPTOP[0])
            configure(laptop, gate, NAME, dns='off')
            check(laptop, resolver, LAPTOP[0])

            # Answers come late: a moment for the next try, and meanwhile the host asks us.
            configure(laptop, gate, NAME)
            resolver.deaf = True
            with running(laptop):
                wait_until('it asks', lambda: (NAME, LAPTOP[0]) in resolver.asked)
                assert OURS in resolv_conf.read_text()
                resolver.deaf = False
                wait_vpn(laptop)

            # By IPv6, and whoever stands there first does not know.
            resolv_conf.write_text(f'nameserver 10.0.1.77\nnameserver {ROUTER[1]}\n')
            check(laptop, resolver, LAPTOP[1])

            # Nobody has to be asked.
            with (internet.laptop.etc / 'hosts').open('a') as hosts:
                hosts.write(f'{GATE[0]} other gate.hosts # in the cellar\n')
            configure(laptop, gate, 'Gate.Hosts')
            check(laptop, resolver)


if __name__ == '__main__':
    main()
