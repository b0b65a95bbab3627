#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Whom a host's programs ask for names: changed to our resolver, defended, and given back, with the programs that have a say in it.

One host with an /etc and a /run of its own for each case. What the daemon does for it is done by tests/net/host_dns.c, with the
helper as it is. systemd-resolved runs under a D-Bus of the host's own. It and openresolv exclude one another, and each would make
itself this machine's resolver, so their packages are only unpacked (scripts/root.sh), and laid over /usr where they are needed;
where there are none, their cases are left out.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import sys

from lab import DEADLINE, Failed, Lab, find_quicether, wait_until

PROGRAM = pathlib.Path(find_quicether()).resolve().parents[2] / 'tests/net/host_dns'
OURS = '127.0.0.84'
FORMER = 'nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch lan.example\noptions ndots:2 trust-ad\n'
JOURNAL = 'host.journal'
UNPACKED = pathlib.Path('/opt/resolvers')


class Tool:
    """host_dns on a host, which has been told of the end of its line."""

    def __init__(self, host):
        self.host, self.folder = host, host.lab.dir / f'{host.name}.d'
        fifo = self.folder / 'commands'
        self.folder.mkdir(exist_ok=True)
        if not fifo.exists():
            os.mkfifo(fifo)
        self.commands = os.open(fifo, os.O_RDWR)
        self.process = host.spawn('host_dns', 'sh', '-c', f'exec {PROGRAM} {self.folder} <{fifo}')
        self.process.wait_said('ready')

    def answers(self):
        return [line for line in self.process.said().splitlines() if not line.startswith(('{', 'ready'))]

    def log(self):
        return [line for line in self.process.said().splitlines() if line.startswith('{')]

    def logged(self, event):
        return sum(f'"event":"{event}"' in line for line in self.log())

    def tell(self, line):
        """Returns the answer, in words: state, method, and whom the host asked before."""
        before = len(self.answers())
        os.write(self.commands, f'{line}\n'.encode())
        wait_until(f'"{line}" is answered', lambda: len(self.answers()) > before)
        return self.answers()[-1].split()

    def wait_state(self, state):
        wait_until(f'the state is {state}', lambda: self.answers() and self.answers()[-1].split()[0] == state)

    def end(self, line='end'):
        os.write(self.commands, f'{line}\n'.encode())
        self.process.wait()
        os.close(self.commands)

    def helper(self):
        """The process beside it."""
        tasks = pathlib.Path(f'/proc/{self.process.pid}/task/{self.process.pid}/children').read_text().split()
        assert len(tasks) == 1, tasks
        return int(tasks[0])

    def kill(self, helper_too):
        if helper_too:
            helper = self.helper()
            os.kill(self.process.pid, signal.SIGSTOP)  # it does not see the helper's end
            os.kill(helper, signal.SIGKILL)
        self.process.kill()
        os.close(self.commands)


class File:
    """resolv.conf, as it was."""

    def __init__(self, host):
        self.path = host.etc / 'resolv.conf'
        self.former = self.look()

    def look(self):
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            return None
        content = os.readlink(self.path) if self.path.is_symlink() else self.path.read_bytes()
        return status.st_ino, status.st_mode, status.st_uid, content

    def is_former(self):
        return self.look() == self.former and not self.path.with_name('resolv.conf.quicether').exists()

    def check_former(self):
        assert self.is_former(), (self.former, self.look(), os.listdir(self.path.parent))

    def check_ours(self):
        assert servers(self.path) == [OURS], self.path.read_text()


def servers(path):
    return [line.split()[1] for line in path.read_text().splitlines() if line.startswith('nameserver')]


def make_host(lab, name, resolv_conf=FORMER):
    host = lab.host(name)
    host.own_etc(resolv_conf, own_run=True)
    # Whatever the machine of the test has: names are asked of resolv.conf.
    (host.etc / 'nsswitch.conf').write_text('hosts: files dns\n')
    return host


def add_unpacked(host, *packages):
    """Whether the host has them now."""
    folders = [UNPACKED / package / 'usr' for package in packages]
    if not all(folder.exists() for folder in folders):
        print(f'no {packages[0]}: its case is left out')
        return False
    host.run('mount', '-t', 'overlay', 'overlay', '-o', f'lowerdir={":".join(map(str, folders))}:/usr', '/usr')
    return True


def up(host):
    host.address('tunnel', '100.64.0.1/24')
    host.ip('link', 'set', 'tunnel', 'up')


# -- the file ----------------------------------------------------------------------------------------------------------


def check_file(lab):
    host = make_host(lab, 'file')
    file, tool = File(host), Tool(host)
    assert tool.tell('set home.example') == ['ours', '/etc/resolv.conf', '192.0.2.1', '2001:db8::1']
    file.check_ours()
    lines = file.path.read_text().splitlines()
    assert 'search home.example lan.example' in lines and 'options ndots:2' in lines, lines
    assert 'resolver file' in (tool.folder / JOURNAL).read_text()
    assert tool.tell('unset')[0] == 'off'
    file.check_former()
    assert tool.tell('set')[0] == 'ours'
    tool.end()
    file.check_former()
    assert not (tool.folder / JOURNAL).exists()


def check_ends(lab):
    """The daemon is killed; daemon and helper are; and the machine, whose journal is gone then."""
    host = make_host(lab, 'ends')
    for make in (lambda path: path.write_text(FORMER), lambda path: path.symlink_to('../run/some/resolv.conf'), lambda path: None):
        path = host.etc / 'resolv.conf'
        path.unlink(missing_ok=True)
        make(path)
        file = File(host)
        for end in ('daemon', 'both', 'machine'):
            tool = Tool(host)
            tool.tell('set')
            file.check_ours()
            tool.kill(helper_too=end != 'daemon')
            if end == 'daemon':
                wait_until('the former one is back', file.is_former)
                continue
            file.check_ours()
            if end == 'machine':
                (tool.folder / JOURNAL).unlink()
            tool = Tool(host)
            file.check_former()
            assert ('/etc/resolv.conf is the former one' in tool.process.said()) == (end == 'both'), tool.process.said()
            tool.end()


def check_mount_point(lab):
    host = make_host(lab, 'mount')
    real = lab.dir / 'mounted'
    real.write_text(FORMER)
    host.run('mount', '--bind', real, '/etc/resolv.conf')
    inner, before = host.inner('/etc/resolv.conf'), real.stat()
    tool = Tool(host)
    assert tool.tell('set')[:2] == ['ours', '/etc/resolv.conf']
    assert servers(inner) == [OURS]
    # Written over in place, by who does not know of it.
    inner.write_text('nameserver 192.0.2.2\n')
    wait_until('it is put back', lambda: servers(inner) == [OURS])
    tool.wait_state('ours')
    tool.end()
    assert real.read_text() == 'nameserver 192.0.2.2\n' and real.stat().st_ino == before.st_ino


def check_failures(lab):
    """It cannot be changed: that is said, and the rest goes on; and when it can, it is."""
    host = make_host(lab, 'fails')
    path = host.etc / 'resolv.conf'
    path.unlink()
    path.mkdir()
    tool = Tool(host)
    assert tool.tell('set')[:2] == ['failed', 'none']
    assert tool.logged('host_dns_failed') == 1
    path.rmdir()
    path.write_text(FORMER)
    tool.wait_state('ours')
    assert servers(path) == [OURS]
    tool.end()
    assert path.read_text() == FORMER


# -- others ------------------------------------------------------------------------------------------------------------


def replace(host, text):
    new = host.etc / 'resolv.conf.new'
    new.write_text(text)
    new.rename(host.etc / 'resolv.conf')


def check_others(lab):
    """Another program replaces it: it is put back twice, and each time theirs is what comes back in the end."""
    host = make_host(lab, 'others')
    file, tool = File(host), Tool(host)
    tool.tell('set')
    for i in (2, 3):
        replace(host, f'nameserver 192.0.2.{i}\n')
        wait_until('it is put back', lambda: servers(file.path) == [OURS])
        wait_until('and said', lambda i=i: tool.answers()[-1] == f'ours /etc/resolv.conf 192.0.2.{i}')
    assert tool.logged('host_dns_put_back') == 2
    replace(host, 'nameserver 192.0.2.4\n')
    tool.wait_state('theirs')
    assert tool.logged('host_dns_theirs') == 1 and tool.logged('host_dns_put_back') == 2
    looked = len(tool.answers())
    replace(host, 'nameserver 192.0.2.5\n')
    wait_until('it has looked', lambda: len(tool.answers()) > looked)
    assert servers(file.path) == ['192.0.2.5'] and tool.logged('host_dns_theirs') == 1
    # Asked for anew, it is ours again.
    assert tool.tell('set')[0] == 'ours'
    file.check_ours()
    tool.end()
    assert servers(file.path) == ['192.0.2.5']


# -- resolvconf --------------------------------------------------------------------------------------------------------


def check_resolvconf(lab):
    host = make_host(lab, 'resolvconf', '')
    if not add_unpacked(host, 'openresolv'):
        return
    (host.etc / 'resolvconf.conf').write_text('')
    host.run('resolvconf', '-a', 'eth0.dhcp', stdin='nameserver 192.0.2.1\nsearch lan.example\n')
    file, tool = File(host), Tool(host)
    assert tool.tell('set home.example') == ['ours', 'resolvconf', '192.0.2.1'], tool.process.said()
    file.check_ours()
    # Somebody's lease changes: resolvconf knows.
    host.run('resolvconf', '-a', 'eth0.dhcp', stdin='nameserver 192.0.2.2\nsearch lan.example\n')
    file.check_ours()
    host.run('resolvconf', '-a', 'eth0.dhcp', stdin='nameserver 192.0.2.1\nsearch lan.example\n')
    tool.tell('unset')
    file.check_former()
    tool.tell('set')
    tool.kill(helper_too=True)
    file.check_ours()
    Tool(host).end()
    file.check_former()


# -- systemd-resolved --------------------------------------------------------------------------------------------------


class Resolved:
    """systemd-resolved on a host, with a D-Bus."""

    def __init__(self, host):
        self.host = host
        with (host.etc / 'passwd').open('a') as users, (host.etc / 'group').open('a') as groups:
            users.write('systemd-resolve:x:989:989::/:/usr/sbin/nologin\n')
            groups.write('systemd-resolve:x:989:\n')
        rules = host.etc / 'dbus-1/system.d'
        rules.mkdir(parents=True, exist_ok=True)
        shutil.copy(UNPACKED / 'systemd-resolved/usr/share/dbus-1/system.d/org.freedesktop.resolve1.conf', rules)
        (host.etc / 'systemd').mkdir(exist_ok=True)
        (host.etc / 'systemd/resolved.conf').write_text('[Resolve]\nDNS=192.0.2.53\nLLMNR=no\nMulticastDNS=no\n')
        host.run('mkdir', '-p', '/run/dbus', '/run/systemd')
        self.bus = host.spawn('dbus', 'dbus-daemon', '--system', '--nofork', '--nopidfile')
        wait_until('the bus is there', host.inner('/run/dbus/system_bus_socket').exists)
        self.start()
        (host.etc / 'resolv.conf').unlink()
        (host.etc / 'resolv.conf').symlink_to('../run/systemd/resolve/stub-resolv.conf')

    def start(self):
        self.daemon = self.host.spawn('resolved', '/usr/lib/systemd/systemd-resolved')
        wait_until('resolved answers', lambda: self.control('status', check=False).returncode == 0)

    def control(self, *words, **options):
        return self.host.run('resolvectl', *words, **options)

    def servers(self, *interface):
        return self.control('dns', *interface).stdout.partition(': ')[2].split()


def asked_at(host, name):
    """Whether a question of a program of the host comes to our resolver."""
    with host.inside():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.settimeout(DEADLINE)
    server.bind((OURS, 53))
    process = host.spawn('query', 'resolvectl', 'query', '--legend=no', name)
    try:
        while True:
            question = server.recv(512)
            if name.split('.')[0].encode() in question:
                return True
    except TimeoutError:
        return False
    finally:
        server.close()
        process.kill()


def check_resolved(lab):
    host = make_host(lab, 'resolved', '')
    if not add_unpacked(host, 'systemd-resolved', 'libsystemd-shared'):
        return
    resolved = Resolved(host)
    file, tool = File(host), Tool(host)
    up(host)
    before = resolved.control('status').stdout
    assert tool.tell('set home.example') == ['ours', 'systemd-resolved', '192.0.2.53'], tool.process.said()
    assert resolved.servers('tunnel') == [OURS]
    assert resolved.control('domain', 'tunnel').stdout.split(': ')[1].split() == ['~.', 'home.example']
    assert asked_at(host, 'www.example')
    file.check_former()

    # Somebody else takes it back, and it starts anew.
    resolved.control('revert', 'tunnel')
    wait_until('it is put back', lambda: resolved.servers('tunnel') == [OURS])
    tool.wait_state('ours')
    resolved.daemon.stop()
    resolved.start()
    wait_until('it is put back', lambda: resolved.servers('tunnel') == [OURS])
    assert tool.tell('state')[0] == 'ours'

    tool.tell('unset')
    assert resolved.control('status').stdout == before
    tool.tell('set')
    tool.kill(helper_too=True)
    Tool(host).end()
    assert resolved.control('status').stdout.count(OURS) == 0
    file.check_former()

    # Another program makes the file lead elsewhere.
    tool = Tool(host)
    tool.tell('set')
    replace(host, FORMER)
    wait_until('the file is ours', lambda: servers(host.etc / 'resolv.conf') == [OURS])
    tool.end()
    assert (host.etc / 'resolv.conf').read_text() == FORMER

    # Of the two files one leads elsewhere: both are changed.
    replace(host, FORMER)
    (host.etc / 'nsswitch.conf').write_text('hosts: files resolve [!UNAVAIL=return] dns\n')
    file, tool = File(host), Tool(host)
    assert tool.tell('set')[:2] == ['ours', 'systemd-resolved']
    assert resolved.servers('tunnel') == [OURS]
    file.check_ours()
    tool.end()
    file.check_former()


def check_dead_bus(lab):
    """resolv.conf leads to resolved, and the bus is no help: not there, or somebody who says nothing."""
    host = make_host(lab, 'bus', 'nameserver 127.0.0.53\n')
    file, tool = File(host), Tool(host)
    assert tool.tell('set')[:2] == ['ours', '/etc/resolv.conf']
    file.check_ours()
    tool.tell('unset')
    file.check_former()
    host.run('mkdir', '-p', '/run/dbus')
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(str(host.inner('/run/dbus/system_bus_socket')))
        silent.listen()
        assert tool.tell('set')[:2] == ['ours', '/etc/resolv.conf']
        file.check_ours()
        tool.end()
    file.check_former()


def main():
    if sys.argv[1:]:
        cases = [globals()[f'check_{name}'] for name in sys.argv[1:]]
    else:
        cases = [check_file, check_ends, check_mount_point, check_failures, check_others, check_resolvconf, check_resolved,
                 check_dead_bus]
    for case in cases:
        with Lab() as lab:
            case(lab)


if __name__ == '__main__':
    main()
