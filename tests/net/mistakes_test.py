#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What bad input gets: a message that says where it is and what to do, an exit code, and a host that is as it was before.

    host 10.0.0.1 ------ 10.0.0.2 other
    100.64.0.1           100.64.0.2

Only the name that cannot be resolved at first needs the other one.
"""
import json
import os
import shutil
import socket

from lab import Lab, Node, wait_until

OK, ERROR, USAGE, NO_DAEMON, NO_PERMISSION = range(5)
A, B = 'a' * 32, 'b' * 31 + 'a'

# Configurations with one mistake each, at the @; the key, and what must be said of it.
MISTAKES = (
    ('[network]\n@lisen = "[::]:7844"\n', 'network.lisen', 'did you mean "listen"?'),
    ('[@netwrk]\nlisten = "[::]:7844"\n', 'netwrk', 'did you mean "network"?'),
    ('[network]\nmtu = @"big"\n', 'network.mtu', '1280 to 9000'),
    ('[network]\nmtu = @100\n', 'network.mtu', '1280 to 9000'),
    ('[security]\nrotate_secs = @601\n', 'security.rotate_secs', '1 to 600'),
    ('[security]\npq = @"maybe"\n', 'security.pq', '"required"'),
    ('[network]\ntun_name = @"a/b"\n', 'network.tun_name', 'a/b'),
    ('[network]\ntun_addr = ["100.64.0.1", @"100.64.0.256"]\n', 'network.tun_addr', '100.64.0.256'),
    ('[network]\nadvertise_subnets = [@"192.168.1.5/24"]\n', 'network.advertise_subnets', 'did you mean "192.168.1.0/24"?'),
    (f'[network]\ntun_addr = ["100.64.0.1"]\n[[peers]]\nid = "{A}"\naddresses = [@"100.64.0.1"]\n',
     'peers.addresses', '100.64.0.1/32 belongs to this node (tun_addr) already'),
    (f'[network]\nadvertise_subnets = ["192.168.0.0/16"]\n[[peers]]\nid = "{A}"\nsubnets = [@"192.168.0.0/16"]\n',
     'peers.subnets', '192.168.0.0/16 belongs to this node (advertise_subnets) already'),
    (f'[[peers]]\nname = "a"\nid = "{A}"\nsubnets = ["10.1.0.0/16"]\n'
     f'[[peers]]\nid = "{B}"\nsubnets = ["10.1.2.0/24", @"10.1.0.0/16"]\n',
     'peers.subnets', '10.1.0.0/16 belongs to peer "a" (line 3) already'),
    (f'[[peers]]\nid = "{A}"\ngateway_subnets = [@"0.0.0.0/0"]\n', 'peers.gateway_subnets', 'exit = true'),
    ('[network]\nforward_subnets = @["10.0.0.0/8"]\n', 'network.forward_subnets', 'role = "gateway"'),
    ('[overlay]\ndefault_gateway = @"nobody"\n', 'overlay.default_gateway', 'no peer "nobody"'),
    ('[network]\nexit = @true\n', 'network.exit', 'role = "gateway"'),
    ('[vpn]\nenabled = @true\n', 'vpn.enabled', 'expected via'),
    (f'[vpn]\nvia = @"gatewya"\n[[peers]]\nname = "gateway"\nid = "{A}"\nexit = true\n', 'vpn.via', 'did you mean "gateway"?'),
    (f'[vpn]\nvia = @"a"\n[[peers]]\nname = "a"\nid = "{A}"\n', 'vpn.via', 'peer "a" (line 5) may not'),
    ('[vpn]\nexclude = ["10.0.0.0/8"]\ninclude = [@"10.1.0.0/16"]\n', 'vpn.include', '10.0.0.0/8 of exclude (line 4)'),
    ('[vpn]\nexclude = ["10.0.0.0/8"]\ninclude = [@"10.0.0.0/8"]\n', 'vpn.include', 'in exclude, too (line 4)'),
    ('[vpn]\ninclude = ["10.0.0.0/8"]\nexclude = [@"172.16.0.0/12"]\n', 'vpn.exclude', 'nothing of include (line 4)'),
    ('[vpn]\nexclude = [@"::/0"]\n', 'vpn.exclude', 'is everything'),
    ('[vpn]\ncaptive_portal = @"https://portal.example/"\n', 'vpn.captive_portal', 'http://'),
    ('[dns]\ndomains = {@corp.example = "10.0.0.53"}\n', 'dns.domains', 'in quotes'),
    (f'[[peers]]\nname = "a"\nid = "{A}"\naddresses = ["100.64.0.2"]\n'
     f'[[peers]]\nname = "b"\nid = "{B}"\naddresses = [@"100.64.0.2"]\n',
     'peers.addresses', '100.64.0.2/32 belongs to peer "a" (line 3) already'),
    (f'[[peers]]\nname = "a"\nid = "{A}"\n[[peers]]\nname = "b"\nid = @"{A}"\n', 'peers.id', 'of peer "a" (line 3)'),
    ('[[peers]]\nid = @"OWN"\n', 'peers.id', "this node's own NodeId"),
    ('[[peers]]\nid = @"short"\n', 'peers.id', 'NodeId'),
    (f'[[peers]]\nid = "{A}"\nendpoints = [@"a host:1"]\n', 'peers.endpoints', 'a host:1'),
    (f'[[peers]]\nid = "{A}"\nsubnets = [@"fd51:e700::/32"]\n', 'peers.subnets', 'fd51:e700::/24'),
    ('[network@\nlisten = 1\n', '', "expected ']'"),
)


def snapshot(host):
    """All that the daemon could have changed."""
    return [host.ip(*words).stdout for words in (
        ('link',), ('address',), ('-4', 'route', 'show', 'table', 'all'), ('-6', 'route', 'show', 'table', 'all'),
        ('-4', 'rule'), ('-6', 'rule'))] + [host.run('ss', '-Hlnu').stdout]


def expect(node, exit_code, texts, *words, **options):
    """The command ends so and says all that; the host is as it was."""
    before = snapshot(node.host)
    done = node.host.run(*words, check=False, timeout=20, **options)
    said = done.stdout + done.stderr
    assert done.returncode == exit_code, (words, done)
    for text in texts:
        assert text in said, (text, said)
    assert snapshot(node.host) == before, (before, snapshot(node.host))


def start_words(node, *flags):
    return node.words('start', '--config', node.config, '--socket', node.socket, *flags)


def in_own_mounts(script, *words):
    """In a mount namespace of its own, after the script has changed what is in it."""
    return ['unshare', '--mount', 'sh', '-ec', f'{script}; exec "$@"', 'sh', *words]


def place_of(node, text):
    """Where the configuration has it, as messages tell it."""
    before = node.config.read_text().partition(text)[0]
    return f'{node.config}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: '


# -- the configuration -------------------------------------------------------------------------------------------------


def check_configurations(node):
    for text, key, about in MISTAKES:
        text = f'[node]\nkey_file = "{node.key}"\n' + text.replace('OWN', node.id)
        before, _, after = text.partition('@')
        place = f'{node.config}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: '
        node.config.write_text(before + after)
        expect(node, ERROR, [place, key, about], *start_words(node))
        if node.id not in text:  # it takes the key to know that
            expect(node, ERROR, [place, key, about], *node.words('config', 'validate', '--config', node.config))


def check_elsewhere(node):
    """The same from the environment and the command line, and files that cannot be read."""
    node.configure()
    expect(node, ERROR, ['QUICETHER_NETWORK_MTU', '1280 to 9000'], 'env', 'QUICETHER_NETWORK_MTU=5', *start_words(node))
    expect(node, ERROR, ['QUICETHER_NETWORK_MUT', 'MTU'], 'env', 'QUICETHER_NETWORK_MUT=1400', *start_words(node))
    expect(node, USAGE, ['--rotate-secs', '1 to 600'], *start_words(node, '--rotate-secs', '0'))
    expect(node, USAGE, ['--peer', 'NodeId'], *start_words(node, '--peer', 'nobody@example.net'))
    expect(node, ERROR, ['/nowhere/config.toml'], *node.words('start', '--config', '/nowhere/config.toml'))


def check_keys(node):
    node.configure()
    node.key.chmod(0o640)
    expect(node, ERROR, [str(node.key), 'chmod 600'], *start_words(node))
    node.key.chmod(0o600)
    pem = node.key.read_text()
    node.key.write_text('-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n')
    expect(node, ERROR, [str(node.key)], *start_words(node))
    node.key.write_text(pem)
    expect(node, ERROR, [str(node.key), 'not overwritten'], *node.words('keygen', '--out', node.key))
    assert node.key.read_text() == pem


# -- the host ----------------------------------------------------------------------------------------------------------


def check_what_is_taken(node):
    node.configure(network={'listen': '[::]:7000', 'tun_name': 'tunnel'})
    taken = node.host.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    taken.bind(('::', 7000))
    expect(node, ERROR, [place_of(node, '"[::]:7000"') + 'network.listen', '[::]:7000', '--listen'], *start_words(node))
    taken.close()
    node.host.ip('link', 'add', 'tunnel', 'type', 'veth', 'peer', 'name', 'end')
    expect(node, ERROR, [place_of(node, '"tunnel"') + 'network.tun_name', '--tun-name'], *start_words(node))
    node.host.ip('link', 'delete', 'tunnel')
    node.socket.write_text('no socket')
    expect(node, ERROR, [str(node.socket), 'no socket'], *start_words(node))
    assert node.socket.read_text() == 'no socket'
    node.socket.unlink()


def check_clashes(node):
    node.host.ip('address', 'add', '100.64.0.1/24', 'dev', 'eth0')
    node.configure(network={'tun_addr': ['100.64.0.1']})
    expect(node, ERROR, ['network.tun_addr 100.64.0.1/32', '100.64.0.1/24 on eth0'], *start_words(node))
    node.host.ip('address', 'delete', '100.64.0.1/24', 'dev', 'eth0')


def check_what_is_missing(node):
    node.configure()
    expect(node, ERROR, ['/dev/net/tun', 'modprobe tun'],
           *in_own_mounts('mount -t tmpfs none /dev/net', *start_words(node)))
    expect(node, NO_PERMISSION, ['CAP_NET_ADMIN', 'root'], 'setpriv', '--bounding-set=-net_admin', *start_words(node))
    expect(node, NO_PERMISSION, [str(node.key)], *as_nobody(node, 'start', '--config', node.config))


def as_nobody(node, *words):
    """The program where everybody can run it, by a user who may nothing."""
    program = node.host.lab.dir / 'quicether'
    if not program.exists():
        shutil.copy(node.program, program)
        node.host.lab.dir.chmod(0o711)
    return ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', program, *words]


# -- commands and the control socket -----------------------------------------------------------------------------------


COMMANDS = (('status',), ('peers',), ('routes',), ('ping', 'other', '-c', '1'), ('stop',))
MISUSES = (('nonsense',), ('status', '--nonsense'), ('status', 'more'), ('ping',), ('ping', 'other', '-c', 'many'),
           ('start', '--listen'), ('config',), ('config', 'nonsense'), ('keygen', '--type', 'rsa'))
# Lines on the control socket, and the codes of JSON-RPC 2.0 (section 5.1) that answer them.
GARBAGE = (
    (b'\0\xff\xfe garbage', -32700), (b'{"jsonrpc": "2.0", "method"', -32700), (b'[' * 60000, -32700), (b'', -32700),
    (b'7', -32600), (b'[]', -32600), (b'{"id": 1}', -32600), (b'{"jsonrpc": "1.0", "method": "status", "id": 1}', -32600),
    (b'{"jsonrpc": "2.0", "method": "nonsense", "id": 1}', -32601),
    (b'{"jsonrpc": "2.0", "method": "ping", "id": 1}', -32602),
    (b'{"jsonrpc": "2.0", "method": "ping", "params": {"peer": 7}, "id": 1}', -32602),
    (b'{"jsonrpc": "2.0", "method": "events.subscribe", "params": {"events": ["gossip"]}, "id": 1}', -32602),
    (b'{"jsonrpc": "2.0", "method": "events.subscribe", "id": 1}', -32602),
    (b'x' * 70000, -32600),
)


def check_commands_without_daemon(node):
    for words in COMMANDS:
        expect(node, NO_DAEMON, [str(node.socket), 'quicether start'], *node.words(*words, '--socket', node.socket))
    for words in MISUSES:
        expect(node, USAGE, ['quicether: '], *node.words(*words))


def check_commands_with_daemon(node):
    node.configure()
    node.start()
    expect(node, ERROR, [str(node.socket), 'running there already'], *start_words(node, '--listen', ':7999'))
    for words in COMMANDS:
        expect(node, NO_PERMISSION, [str(node.socket), 'root'], *as_nobody(node, *words, '--socket', node.socket))
    expect(node, ERROR, ['no peer', 'other'], *node.words('ping', 'other', '--socket', node.socket))


def ask(node, line):
    """What a line on the control socket is answered with."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(node.socket))
        client.sendall(line + b'\n')
        return json.loads(client.makefile().readline())


def subscribe(node, event):
    """A file of notifications, one in each line."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(node.socket))
    client.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": {"events": ["%s"]}}\n' % event.encode())
    lines = client.makefile()
    assert json.loads(lines.readline())['result'] == {}
    return lines


def check_garbage(node):
    for line, code in GARBAGE:
        answer = ask(node, line)
        assert answer['error']['code'] == code, (line[:80], answer)
    # Those who only knock, or hang up in the middle, leave room for others.
    idle = [socket.socket(socket.AF_UNIX) for _ in range(100)]
    for client in idle:
        client.setblocking(False)
        try:
            client.connect(str(node.socket))
            client.send(os.urandom(100))
        except (BlockingIOError, BrokenPipeError, ConnectionError):
            pass
    for client in idle:
        client.close()
    wait_until('the daemon answers again', lambda: node.run('status', '--socket', node.socket, check=False).returncode == OK)
    assert node.stop() == 0


# -- a name that cannot be resolved -------------------------------------------------------------------------------------


def check_name(node, other):
    """It is told and tried again; when the name is there, the nodes connect."""
    name = 'other.quicether.invalid'
    node.configure(network={'tun_addr': ['100.64.0.1']}, peers=[
        other.as_peer(endpoints=[f'{name}:7844'], addresses=['100.64.0.2'])])
    other.configure(network={'tun_addr': ['100.64.0.2']}, peers=[node.as_peer(addresses=['100.64.0.1'])])
    other.start()
    hosts = node.dir / 'hosts'
    hosts.write_text('127.0.0.1 localhost\n')
    node.daemon = node.host.spawn('quicether', *in_own_mounts(f'mount --bind {hosts} /etc/hosts', *start_words(node)))
    node.daemon.wait_said('resolve_failed')
    assert f'{place_of(node, f'"{name}')}peers.endpoints: {name} cannot be resolved' in node.daemon.said()
    assert node.peer(other)['state'] != 'connected'
    events = subscribe(node, 'peers')
    with hosts.open('a') as file:
        file.write(f'10.0.0.2 {name}\n')
    event = json.loads(events.readline())['params']
    assert (event['event'], event['state'], event['id']) == ('peers', 'connected', other.id), event
    node.wait_connected(other, deadline=20)
    assert node.host.pings('100.64.0.2')
    assert node.stop() == 0 and other.stop() == 0


def main():
    with Lab() as lab:
        host, other = lab.host('host'), lab.host('other')
        lab.link(host, 'eth0', '10.0.0.1/24', other, 'eth0', '10.0.0.2/24')
        node = Node(host)
        before = snapshot(host)
        check_configurations(node)
        check_elsewhere(node)
        check_keys(node)
        check_what_is_taken(node)
        check_clashes(node)
        check_what_is_missing(node)
        check_commands_without_daemon(node)
        check_commands_with_daemon(node)
        check_garbage(node)
        check_name(node, Node(other))
        assert snapshot(host) == before, (before, snapshot(host))


if __name__ == '__main__':
    main()
