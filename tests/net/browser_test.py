#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A browser loads a page of a web server by name, through the full tunnel: the server sees the gateway's address, and the uplink
nothing but the tunnel. Names are resolved by an unbound behind the gateway, which asks the Internet.

The network is drawn in internet.py. The browser is a headless Chromium of a user without privileges.
"""
import contextlib
import http.server
import re
import shutil
import threading

from internet import GATE, HTTP_PORT, LAPTOP, SERVER
from lab import Failed, wait_until
from vpn_scene import scene

UNBOUND = '''
server:
    interface: 127.0.0.1
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    log-queries: yes
    module-config: "iterator"
    do-not-query-localhost: no
forward-zone:
    name: "."
    forward-addr: %s
'''
PAGE = '''<!doctype html>
<title>page</title>
<p>loaded by <b id="page">{who}</b>, script by <b id="script">nobody</b></p>
<script src="http://{version}.static.example/script.js"></script>
'''
SCRIPT = 'document.getElementById("script").textContent = "{who}";'
BROWSER = ('chromium-headless-shell', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking',
           '--no-first-run', '--virtual-time-budget=10000', '--dump-dom')
AS_NOBODY = 'setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups'


class Pages(http.server.BaseHTTPRequestHandler):
    """A page that says who has asked for it, and so does its script."""

    def do_GET(self):
        text, kind = (SCRIPT, 'text/javascript') if self.path.endswith('.js') else (PAGE, 'text/html')
        body = text.format(who=self.client_address[0], version=self.path.strip('/')).encode()
        self.server.asked.append((self.headers['Host'], self.path, self.client_address[0]))
        self.send_response(200)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.send_header('Cache-Control', 'no-store')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """The test's output is its own."""


@contextlib.contextmanager
def web_server(host, asked):
    """On both addresses of the host."""
    servers = []
    for address in SERVER:
        server = http.server.ThreadingHTTPServer((address, HTTP_PORT), Pages, bind_and_activate=False)
        server.socket.close()
        server.socket, server.asked = host.accept_on(address, HTTP_PORT), asked
        server.socket.settimeout(None)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    yield
    for server in servers:
        server.shutdown()
        server.server_close()


def start_unbound(gate):
    config = gate.lab.dir / 'unbound.conf'
    config.write_text(UNBOUND % SERVER[0])
    unbound = gate.spawn('unbound', 'unbound', '-d', '-c', config)
    (gate.etc / 'resolv.conf').write_text('nameserver 127.0.0.1\n')
    unbound.wait_said('start of service')
    return unbound


def browse(host, url, *options):
    """Who has loaded the page, and its script, as the page in the browser says."""
    home = host.lab.dir / 'browser'
    home.mkdir(exist_ok=True)
    home.chmod(0o777)
    host.lab.dir.chmod(0o711)
    done = host.run(*AS_NOBODY, 'env', f'HOME={home}', *BROWSER, f'--user-data-dir={home}/data', *options, url)
    seen = re.findall(r'<b id="(?:page|script)">([^<]*)</b>', done.stdout)
    if len(seen) != 2:
        raise Failed(f'{url}: {done.stdout}\n{done.stderr}')
    return set(seen)


def check_tunnel(here, unbound, asked):
    assert browse(here.host, 'http://www.example/before') <= set(LAPTOP)
    here.up()
    with here.watch.case('a browser, through the tunnel'):
        assert browse(here.host, 'http://shop.example/after') <= set(GATE), asked
    assert asked[-2:] == [('shop.example', '/after', asked[-1][2]), ('after.static.example', '/script.js', asked[-1][2])], asked
    wait_until('unbound was asked', lambda: 'shop.example. A' in unbound.said() and 'after.static.example. A' in unbound.said())
    here.down()
    assert browse(here.host, 'http://www.example/down') <= set(LAPTOP)


def is_of_former_link(packet):
    """The kernel's answer to what the gateway still sends to the node that was stopped."""
    return packet.protocol == 'icmp' and packet.destination in GATE


def check_proxy(here, asked):
    """The same without VPN mode, by the proxy that the same user has started."""
    node = here.laptop
    node.stop()
    for path in node.dir, node.key, node.config:
        shutil.chown(path, 'nobody', 'nogroup')
    proxy = here.host.spawn('proxy', *AS_NOBODY, *node.words('proxy', '--config', node.config))
    proxy.wait_said('is ready')
    for kind, server in ('SOCKS', 'socks5://127.0.0.1:1080'), ('HTTP', 'http://127.0.0.1:3128'):
        with here.watch.case(f'a browser, through the {kind} proxy', allow=is_of_former_link):
            page = kind.lower()
            assert browse(here.host, f'http://{page}.example/{page}', f'--proxy-server={server}') <= set(GATE), asked
    proxy.stop()


def main():
    asked = []
    with scene('browser', make_talkers=lambda _host, _marker: []) as here, web_server(here.internet.server, asked):
        unbound = start_unbound(here.internet.gate)
        here.gate.stop()  # it looks for new servers now and then, and at its start
        here.gate.start()
        here.laptop.wait_connected(here.gate)
        check_tunnel(here, unbound, asked)
        check_proxy(here, asked)


if __name__ == '__main__':
    main()
