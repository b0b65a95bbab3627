#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""quicether proxy, run by a user without any rights: programs on the laptop reach the Internet (internet.py) by SOCKS and HTTP,
through the gate. The server sees the gate; on the laptop's uplink there is nothing but the tunnel, and no piece of what was sent
through it. The laptop's own name server is never asked.
"""
import concurrent.futures
import contextlib
import hashlib
import pathlib
import shutil
import socket
import sys

from internet import GATE, GATE_INSIDE, LAPTOP, LAPTOP_INSIDE, SERVER, Internet, Services
from lab import Failed, Lab, Node, wait_until
from web import body

USER = 65534
AS_USER = ['setpriv', f'--reuid={USER}', f'--regid={USER}', '--clear-groups', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all']
SOCKS, HTTP = 1080, 3128
WEB = pathlib.Path(__file__).with_name('web.py')
LARGE, SMALL, PARALLEL, TURNS = 20_000_000, 100_000, 100, 300
IPV6_HOST = f'\\[{SERVER[1]}\\]'  # as curl wants brackets that are no range
MARKER = b'markernobodymaysee'

# The words of curl for each way.
BY_SOCKS = ['--socks5-hostname', f'127.0.0.1:{SOCKS}']
BY_HTTP = ['--proxy', f'http://127.0.0.1:{HTTP}']
BY_CONNECT = [*BY_HTTP, '--proxytunnel']
WAYS = BY_SOCKS, BY_HTTP, BY_CONNECT


class Proxy:
    """quicether proxy on the host of a node, with its key and configuration."""

    def __init__(self, node, *flags):
        self.node, self.host = node, node.host
        self.process = self.host.spawn('proxy', *AS_USER, *node.words('proxy', '--config', node.config, *flags))

    def ready(self):
        self.process.wait_said('is ready')
        return self

    def fails(self, text, status=1):
        assert self.process.wait() == status and text in self.process.said(), self.process.said()

    def stop(self):
        status = self.process.stop()
        assert status == 0, status

    def curl(self, *words):
        return self.host.run('curl', '--silent', '--show-error', '--max-time', 60, *words, check=False, timeout=90)

    def get(self, *words):
        done = self.curl(*words)
        if done.returncode:
            raise Failed(f'curl {words}: exit status {done.returncode}: {done.stderr}')
        return done.stdout

    def http_status(self, url, *words, way=BY_HTTP):
        """What is answered to a request; of CONNECT by the proxy itself."""
        code = '%{http_connect}' if way is BY_CONNECT else '%{http_code}'
        return self.curl('--output', '/dev/null', '--write-out', code, *way, *words, url).stdout

    def dial(self, name, port):
        """SOCKS by hand: the code of the reply, and the socket."""
        made = self.host.connect_to('127.0.0.1', SOCKS, timeout=40)
        made.sendall(b'\5\1\0')
        assert made.recv(2, socket.MSG_WAITALL) == b'\5\0'
        made.sendall(b'\5\1\0\3' + bytes([len(name)]) + name.encode() + port.to_bytes(2))
        reply = made.recv(4, socket.MSG_WAITALL)
        made.recv({1: 6, 4: 18}[reply[3]], socket.MSG_WAITALL)
        return reply[1], made

    def code(self, name, port=80):
        code, made = self.dial(name, port)
        made.close()
        return code


def give_to_user(node):
    node.host.lab.dir.chmod(0o711)
    for path in node.dir, *node.dir.iterdir():
        shutil.chown(path, USER, USER)


def configure(laptop, gate, **sections):
    peer = gate.as_peer(addresses=GATE_INSIDE, endpoints=[f'{GATE[0]}:{Node.PORT}'], exit=True)
    laptop.configure([peer], **{'network': {'tun_addr': LAPTOP_INSIDE}, 'vpn': {'via': 'gate'}} | sections)
    give_to_user(laptop)


def digest_of(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def check_transfers(proxy, directory):
    """Down and up, by each way, by name and by both kinds of addresses; what comes is what was sent."""
    there, here = directory / 'there', directory / 'here'
    there.write_bytes(MARKER + body(LARGE))
    expected = hashlib.sha256(body(LARGE)).hexdigest()
    for host in 'web.example', SERVER[0], IPV6_HOST:
        for way in WAYS:
            proxy.get(*way, '--output', here, f'http://{host}/bytes/{LARGE}')
            assert digest_of(here) == expected, (host, way)
    for way in WAYS:
        assert proxy.get(*way, '--header', 'Expect:', '--data-binary', f'@{there}', 'http://web.example/') == digest_of(there), way


def check_addresses(proxy):
    for host, seen in zip((SERVER[0], IPV6_HOST), GATE):
        assert proxy.get(*BY_SOCKS, f'http://{host}/address') == seen


def check_parallel(proxy, directory):
    """Many at once, more in all than there may be at once; each gets what is its own."""
    for way in WAYS:
        proxy.get(*way, '--parallel', '--parallel-immediate', '--parallel-max', PARALLEL, '--output', directory / 'part-#1',
                  f'http://web.example/bytes/[{SMALL + 1}-{SMALL + TURNS}]')
        for size in range(SMALL + 1, SMALL + TURNS + 1):
            part = directory / f'part-{size}'
            assert part.read_bytes() == body(size), size
            part.unlink()


def check_more_than_fit(proxy):
    """Clients that hold their place; who comes then waits until one leaves."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(proxy.dial(SERVER[0], 80)[1]) for _ in range(256)]
        late = stack.enter_context(proxy.host.connect_to('127.0.0.1', SOCKS))
        late.sendall(b'\5\1\0')
        late.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            raise Failed(f'answered: {late.recv(2)}')
        held[0].close()
        late.settimeout(10)
        assert late.recv(2) == b'\5\0'


def check_failures(proxy):
    """What goes wrong is told as what it is, in both languages."""
    for name, port, code, status in (
            ('web.example', 81, 5, '502'),         # nobody listens there
            ('web.nowhere.example', 80, 4, '502'),  # no such name
            ('127.0.0.1', 80, 2, '403'), ('::1', 80, 2, '403'), ('::ffff:127.0.0.1', 80, 2, '403'),
            ('169.254.169.254', 80, 2, '403'), ('224.0.0.1', 80, 2, '403'), ('0.0.0.0', 80, 2, '403'),
            (LAPTOP_INSIDE[0], 80, 2, '403')):
        assert proxy.code(name, port) == code, (name, proxy.code(name, port))
        url = f'http://\\[{name}\\]:{port}/' if ':' in name else f'http://{name}:{port}/'
        for way in BY_HTTP, BY_CONNECT:
            assert proxy.http_status(url, way=way) == status, (name, proxy.http_status(url, way=way))
    assert proxy.curl(*BY_SOCKS, 'http://web.example/reset').returncode in (18, 56)
    assert proxy.curl(*BY_CONNECT, 'http://web.example/reset').returncode in (18, 56)


def check_nonsense(proxy):
    """Who speaks another language is sent away, at once."""
    for port, words in ((SOCKS, b'GET / HTTP/1.1\r\n\r\n'), (SOCKS, b'\4\1\0\x50\xc0\0\2\1\0'), (SOCKS, b'\5\1\2'), (HTTP, b'\5\1\0' * 6000),
                        (HTTP, b'GET / HTTP/1.1\r\n\r\n'), (SOCKS, b'\5\1\0\5\2\0\1\xcb\0\x71\x09\0\x50')):
        with proxy.host.connect_to('127.0.0.1', port) as client, contextlib.suppress(ConnectionError):
            client.sendall(words)
            while client.recv(4096):
                pass


def check_nodes(proxy, gate):
    """A node by its name; and what comes the other way finds a host that answers pings, and nobody who listens."""
    with gate.host.accept_on('::', 5005) as listener:
        code, client = proxy.dial('gate.quicether.internal', 5005)
        with client:
            assert code == 0
            accepted, peer = listener.accept()
            with accepted:
                assert peer[0] == proxy.node.overlay, peer
                client.sendall(MARKER)
                client.shutdown(socket.SHUT_WR)
                assert accepted.recv(100) == MARKER and accepted.recv(100) == b''
                accepted.sendall(MARKER)  # half of it is still open
                accepted.shutdown(socket.SHUT_WR)
                assert client.recv(100) == MARKER and client.recv(100) == b''
    for address in *LAPTOP_INSIDE, proxy.node.overlay:
        assert gate.host.pings(address), address
        try:
            gate.host.connect_to(address, 80).close()
            raise Failed(f'{address} listens')
        except ConnectionRefusedError:
            pass


def check_gateway_comes_back(proxy, gate):
    """While it is gone requests wait, and fail in time; one that waits when it comes back succeeds."""
    gate.kill()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        codes = pool.submit(proxy.code, SERVER[0]), pool.submit(proxy.code, 'web.example')
        status = pool.submit(proxy.http_status, f'http://{SERVER[0]}/address')
        assert codes[0].result() == 3 and codes[1].result() == 4, [code.result() for code in codes]
        assert status.result() == '503', status.result()
        waiting = pool.submit(proxy.get, *BY_SOCKS, f'http://{SERVER[0]}/address')
        gate.start()
        assert waiting.result() == GATE[0]
    wait_until('names resolve again', lambda: proxy.code('web.example') == 0)


def check_other_uplink(internet, proxy):
    """The laptop changes networks: what is open stays so."""
    with internet.server.accept_on(SERVER[0], 5006) as listener:
        code, client = proxy.dial(SERVER[0], 5006)
        with client, listener.accept()[0] as accepted:
            internet.plug('wlan0')
            internet.unplug('eth0')
            client.sendall(MARKER)
            assert code == 0 and accepted.recv(100) == MARKER
            accepted.sendall(MARKER)
            assert client.recv(100) == MARKER
            internet.plug('eth0')
            internet.unplug('wlan0')
            client.sendall(MARKER)
            assert accepted.recv(100) == MARKER


def check_users(laptop, gate):
    words = laptop.dir / 'users'
    words.write_text('# who may\nanna:it is: secret\n')
    words.chmod(0o644)
    give_to_user(laptop)
    Proxy(laptop, '--password-file', words).fails('chmod 600')
    words.chmod(0o600)
    proxy = Proxy(laptop, '--password-file', words).ready()
    url = f'http://{SERVER[0]}/address'
    for way in WAYS:
        assert proxy.curl(*way, '--fail', url).returncode != 0
        assert proxy.curl(*way, '--proxy-user', 'anna:it is', '--fail', url).returncode != 0
        assert proxy.get(*way, '--proxy-user', 'anna:it is: secret', url) == GATE[0]
    assert proxy.http_status(url) == '407'
    proxy.stop()


def check_policy(laptop, gate):
    """The policy of the node holds for what the proxy sends."""
    policy = laptop.dir / 'policy.toml'
    policy.write_text('[[rules]]\nid = "not-there"\naction = "deny"\nsubject = ["*"]\nobject = ["*"]\nprotocols = ["tcp"]\nports = [81]\n'
                      '[[rules]]\nid = "rest"\naction = "allow"\nsubject = ["*"]\nobject = ["*"]\n')
    configure(laptop, gate, security={'policy_file': str(policy)})
    proxy = Proxy(laptop).ready()
    assert proxy.get(*BY_SOCKS, f'http://{SERVER[0]}/address') == GATE[0]
    assert proxy.code(SERVER[0], 81) == 2
    assert proxy.http_status(f'http://{SERVER[0]}:81/') == '403'
    proxy.stop()
    configure(laptop, gate)


def check_named_servers(laptop, gate, services):
    """Other servers for names, for all of them or for a domain, are asked through the tunnel, too."""
    services.asked.clear()
    configure(laptop, gate, vpn={'via': 'gate', 'dns': [SERVER[1]]})
    proxy = Proxy(laptop).ready()
    assert proxy.code('one.example') == 0
    proxy.stop()
    laptop.config.write_text(laptop.config.read_text() + f'[dns]\ndomains = {{"corp.example" = "{SERVER[0]}"}}\n')
    proxy = Proxy(laptop).ready()
    assert proxy.code('two.corp.example') == 0
    proxy.stop()
    assert {'one.example', 'two.corp.example'} <= set(services.asked), services.asked
    configure(laptop, gate)


def check_starts(laptop, gate):
    """While one runs; the second one's key is made on the way."""
    Proxy(laptop).fails('a proxy with the key')
    Proxy(laptop, '--socks', 'none', '--http', 'none').fails('nothing is left', 2)
    Proxy(laptop, '--socks', 'localhost:1080').fails('expected an address and a port', 2)
    configure(laptop, gate, node={'key_file': str(laptop.dir / 'other.key')})
    Proxy(laptop).fails(f'cannot listen on TCP 127.0.0.1:{SOCKS}: another program uses the port')
    Proxy(laptop, '--socks', 'none').fails(f'cannot listen on TCP 127.0.0.1:{HTTP}: another program uses the port')
    other = Proxy(laptop, '--socks', '10.0.1.2:1081', '--http', 'none').ready()
    other.process.wait_said('may use this node')
    other.stop()
    configure(laptop, gate)


def main():
    with Lab('proxy') as lab:
        internet = Internet(lab)
        laptop, gate = internet.nodes()
        services = Services(internet.server, MARKER)
        web = internet.server.spawn('web', sys.executable, WEB)
        web.wait_said('listening')
        gate.start()
        configure(laptop, gate)
        capture = internet.laptop.capture('eth0')

        proxy = Proxy(laptop).ready()
        check_addresses(proxy)
        check_transfers(proxy, lab.dir)
        check_parallel(proxy, lab.dir)
        check_more_than_fit(proxy)
        check_failures(proxy)
        check_nonsense(proxy)
        check_nodes(proxy, gate)
        check_starts(laptop, gate)
        check_gateway_comes_back(proxy, gate)
        check_other_uplink(internet, proxy)
        proxy.stop()
        check_users(laptop, gate)
        check_policy(laptop, gate)
        check_named_servers(laptop, gate, services)

        packets = capture.stop()
        assert not capture.dropped() and len(packets) > 10_000, len(packets)
        for packet in packets:
            # When the proxy is gone, what the gate still sends is answered by the laptop's kernel.
            tunnel = packet.destination in GATE and (packet.protocol == 'icmp' or packet.destination_port == Node.PORT)
            assert packet.source not in LAPTOP or tunnel or packet.protocol == 'icmp6', packet
            assert MARKER not in packet.data, packet
        assert services.asked


if __name__ == '__main__':
    main()
