#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A captive portal: the gateway cannot be reached until the user has logged in, and nothing leaves until the user asks for that.

    laptop 10.0.1.2 --- 10.0.1.1 portal 10.0.9.1 --- 10.0.9.2 internet --- 10.0.2.2 gate
    100.64.0.1                                       203.0.113.80: the user's page         100.64.0.2

The portal forwards nothing of those who have not logged in. All their HTTP it answers itself with a redirect to its login page, and
all questions for names with its own address. The page answers 204 to those who reach it.
"""
import contextlib
import http.server
import json
import signal
import socket
import threading

import host_state
from internet import DNS_PORT, answer, question_of
from lab import Lab, Node, wait_until

PAGE, LOGIN, MARKER = 'http://203.0.113.80/probe', 'http://10.0.1.1/login', '/not-to-be-seen'
LINKS = '/run/systemd/netif/links'  # systemd-networkd's
SECONDS = 4

PORTAL = '''table inet portal {
    set known { type ipv4_addr; }
    chain forward { type filter hook forward priority filter; iifname "eth0" ip saddr != @known drop; }
    chain prerouting { type nat hook prerouting priority dstnat; iifname "eth0" ip saddr != @known tcp dport 80 redirect; }
}'''


class Web(http.server.ThreadingHTTPServer):
    """An HTTP server on a host; paths: what the laptop has asked for beside the tunnel."""

    def __init__(self, host, answer):
        self.host, self.answer, self.paths = host, answer, []
        super().__init__(('0.0.0.0', 80), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = host.accept_on('0.0.0.0', 80)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.client_address[0] == '10.0.1.2':
            self.server.paths.append(self.path)
        status, location = self.server.answer(self.path)
        self.send_response(status)
        if location:
            self.send_header('Location', location)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *_):
        pass


class Names:
    """A name server on the portal; asked: the names that the laptop has asked for beside the tunnel."""

    def __init__(self, host):
        self.asked, self.socket = [], host.socket(kind=socket.SOCK_DGRAM, timeout=None)
        self.socket.bind(('0.0.0.0', DNS_PORT))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            query, source = self.socket.recvfrom(4096)
            if source[0] == '10.0.1.2':
                self.asked.append(question_of(query)[0])
            self.socket.sendto(answer(query, ['10.0.1.1']), source)


def draw(lab):
    laptop, portal, internet, gate = lab.host('laptop'), lab.router('portal'), lab.router('internet'), lab.host('gate')
    lab.link(laptop, 'eth0', '10.0.1.2/24', portal, 'eth0', '10.0.1.1/24')
    lab.link(portal, 'eth1', '10.0.9.1/24', internet, 'eth0', '10.0.9.2/24')
    lab.link(internet, 'eth1', '10.0.2.1/24', gate, 'eth0', '10.0.2.2/24')
    internet.address('lo', '203.0.113.80/32')
    laptop.route('default', '10.0.1.1')
    portal.route('default', '10.0.9.2')
    internet.route('10.0.1.0/24', '10.0.9.1')
    gate.route('default', '10.0.2.1')
    portal.nft(PORTAL)
    laptop.own_etc('nameserver 10.0.1.1\noptions attempts:1\n')
    laptop.run('sh', '-ec', f'mount -t tmpfs none /run; mkdir -p {LINKS}')
    return laptop, portal, internet, gate


def make_portal(portal):
    def respond(path):
        if path != '/login':
            return 302, LOGIN
        portal.nft('add element inet portal known { 10.0.1.2 }')
        return 200, None
    return Web(portal, respond)


def log_out(portal):
    portal.nft('flush set inet portal known')
    portal.forget_nat()


def get(host, url):
    """The status of the answer, or None. A connection of its own, from whatever address the kernel takes."""
    authority, _, path = url.removeprefix('http://').partition('/')
    with contextlib.suppress(OSError), host.connect_to(authority, 80, timeout=2) as client:
        client.sendall(f'GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n'.encode())
        return int(client.makefile('rb').readline().split()[1])
    return None


def resolves(host, name):
    return '10.0.1.1' in host.run('getent', 'ahostsv4', name, check=False, timeout=30).stdout


def open_portal(node, seconds):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(node.socket))
        request = {'jsonrpc': '2.0', 'id': 1, 'method': 'vpn.portal', 'params': {'seconds': seconds}}
        client.sendall(json.dumps(request).encode() + b'\n')
        return json.loads(client.makefile().readline())


def check_shut(laptop, web):
    """Whoever is asked, whatever is sent: nothing arrives."""
    assert get(laptop, PAGE + MARKER) is None and get(laptop, LOGIN + MARKER) is None
    assert not laptop.pings('10.0.1.1', timeout=1)
    assert not [path for path in web.paths if MARKER in path], web.paths


def state(node):
    return node.call('vpn', 'status')


def is_at_portal(node):
    now = state(node)
    return now['state'] == 'blocked' and 'captive portal' in now['reason']


def check_found(laptop, node, web, names):
    """VPN mode finds out why it does not connect, by one page that the user has named."""
    done = node.run('vpn', 'up', '--socket', node.socket, check=False)
    assert done.returncode == 1, done
    wait_until('the portal is found', lambda: is_at_portal(node), deadline=20)
    assert LOGIN in state(node)['reason'] and state(node)['kill_switch'] == 'holds', state(node)
    assert set(web.paths) == {'/probe'}, web.paths
    check_shut(laptop, web)
    assert not resolves(laptop, 'shut.example') and not names.asked, names.asked


def check_closes(laptop, node, web):
    """What was asked for ends by itself, though nobody has logged in; also if the daemon hangs, for the kernel ends it."""
    for hang in False, True:
        assert 'result' in open_portal(node, SECONDS)
        if hang:
            node.daemon.signal(signal.SIGSTOP)
        assert get(laptop, PAGE) == 302  # what the portal says to everybody
        assert not laptop.pings('10.0.1.1', timeout=1)
        wait_until('it is shut again', lambda: get(laptop, PAGE) is None, deadline=3 * SECONDS)
        check_shut(laptop, web)
        node.daemon.signal(signal.SIGCONT)
    wait_until('the portal is found', lambda: is_at_portal(node))


def check_killed(laptop, node, web):
    """Without the daemon nothing is open at all."""
    assert 'result' in open_portal(node, 600)
    node.kill()
    check_shut(laptop, web)
    node.start('--vpn')
    wait_until('the portal is found', lambda: is_at_portal(node), deadline=20)
    assert state(node)['portal_until'] is None
    check_shut(laptop, web)


def check_login(laptop, node, web, names):
    """The login goes out, and then VPN mode connects and is shut at once."""
    assert 'result' in open_portal(node, 600) and state(node)['portal_until']
    wait_until('names are the portal\'s', lambda: resolves(laptop, 'login.example'))
    assert get(laptop, LOGIN) == 200
    wait_until('VPN mode is connected', lambda: state(node)['state'] == 'connected', deadline=20)
    assert state(node)['portal_until'] is None
    web.paths.clear()
    assert get(laptop, PAGE) == 204 and get(laptop, LOGIN) == 200 and not web.paths  # it is asked through the tunnel
    before = len(names.asked)
    assert not resolves(laptop, 'login.example'), 'what the portal has said counts no more'
    assert len(names.asked) == before, names.asked
    assert 'error' in open_portal(node, 600)  # there is nothing to log in to


def check_told(laptop, node, gate, web):
    """Without a page of the user's, what the network tells counts, as systemd-networkd writes it down; no page is asked for."""
    configure(node, gate)
    web.paths.clear()
    laptop.run('sh', '-ec', f'echo CAPTIVE_PORTAL=https://portal.example/api > {LINKS}/$(cat /sys/class/net/eth0/ifindex)')
    node.start('--vpn')
    wait_until('the portal is told of', lambda: is_at_portal(node), deadline=20)
    assert 'https://portal.example/api' in state(node)['reason'] and not web.paths, state(node)
    node.stop()


def check_misuse(node):
    for seconds in 0, 901, 'long':
        assert 'error' in open_portal(node, seconds)
    for minutes in '0', '16', 'x':
        assert node.run('vpn', 'portal', '--minutes', minutes, '--socket', node.socket, check=False).returncode == 2
    node.run('vpn', 'down', '--socket', node.socket)
    assert 'error' in open_portal(node, 60)


def configure(node, gate, **vpn):
    node.configure([gate.as_peer(addresses=['100.64.0.2'], endpoints=['10.0.2.2:7844'], exit=True)],
                   network={'tun_addr': ['100.64.0.1']}, vpn={'via': 'gate', **vpn})


def main():
    with Lab('portal') as lab, contextlib.ExitStack() as stack:
        laptop, portal, internet, gate_host = draw(lab)
        web, names = stack.enter_context(make_portal(portal)), Names(portal)
        stack.enter_context(Web(internet, lambda path: (204, None)))
        node, gate = Node(laptop), Node(gate_host)
        configure(node, gate, captive_portal=PAGE)
        gate.configure([node.as_peer(addresses=['100.64.0.1'])], node={'role': 'gateway'},
                       network={'tun_addr': ['100.64.0.2'], 'forward_subnets': ['0.0.0.0/0', '::/0'], 'masquerade': True})
        gate.start()
        before = host_state.read(laptop)
        node.start('--vpn')
        check_found(laptop, node, web, names)
        check_closes(laptop, node, web)
        check_killed(laptop, node, web)
        check_login(laptop, node, web, names)
        log_out(portal)
        check_misuse(node)
        node.stop()
        host_state.check(laptop, before)
        check_told(laptop, node, gate, web)
        host_state.check(laptop, before)


if __name__ == '__main__':
    main()
