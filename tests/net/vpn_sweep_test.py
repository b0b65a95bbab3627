#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Whatever fails, and whenever both processes are killed: the host comes back byte for byte.

Each call by which the helper changes the host or its journal (host_changes.c) has its turn, in a cycle of start, `vpn up`, `vpn down`,
stop: it fails; the daemon and the helper are killed before it, and after it; the daemon alone is killed there. A call that fails while
the daemon goes on must leave either all of VPN mode or nothing of it. Afterwards `quicether repair` leaves nothing to be seen.

And where one plan takes the place of another, either is in effect, whole.

The gateway is nowhere, as what VPN mode does to the host does not depend on it. Processes are killed before each other call, and after
those in between; with the argument `all`, before and after each.
"""
import json
import os
import re
import signal
import socket
import sys
import time

import host_state
from host_changes import COUNT, FAIL, STOP_AFTER, STOP_BEFORE, Changes
from lab import Failed, Lab, Node, wait_until



def make_host(lab):
    """Of everything that VPN mode touches, something that is the host's own."""
    host, other = lab.host('laptop'), lab.host('other')
    lab.link(host, 'eth0', '192.168.7.2/24 2001:db8:7::2/64', other, 'eth0', '192.168.7.1/24 2001:db8:7::1/64')
    host.route('default', '192.168.7.1')
    host.route('default', '2001:db8:7::1')
    host.ip('rule', 'add', 'priority', '100', 'fwmark', '7', 'lookup', '700')
    host.ip('route', 'add', '198.51.100.0/24', 'dev', 'eth0', 'table', '700')
    host.nft('table inet theirs { chain c { type filter hook output priority 0; policy accept; counter accept; }; }')
    host.sysctl('net.ipv4.conf.eth0.rp_filter', 1)
    host.own_etc('nameserver 192.168.7.1\noptions edns0\n')
    return host


OTHER = {'exclude': ['203.0.113.128/25', '198.51.100.0/24', '2001:db8:98::/48'], 'lan': 'block', 'kill_switch': False}


def configure(node, nobody, **vpn):
    gate = {'name': 'gate', 'id': nobody, 'endpoints': ['192.0.2.1:7844'], 'addresses': ['100.64.0.2'], 'exit': True}
    node.configure([gate], node={'role': 'gateway'},
                   network={'tun_addr': ['100.64.0.1'], 'forward_subnets': ['10.9.0.0/16'], 'masquerade': ['10.9.0.0/16']},
                   vpn={'via': 'gate', 'exclude': ['203.0.113.0/24', '2001:db8:99::/48'], 'lan': 'allow', **vpn})


class Broken(Exception):
    """The daemon has gone."""


def ask(node, method, timeout=30):
    """A call over the control socket; returns the error's text, or None."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(timeout)
        try:
            control.connect(str(node.socket))
            control.sendall(json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': method}).encode() + b'\n')
            answer = control.makefile().readline()
        except OSError as error:
            raise Broken from error
    if not answer:
        raise Broken
    return json.loads(answer).get('error', {}).get('message')


def read_sorted(host):
    """A table that is made anew comes last: that is no difference here."""
    state = host_state.read(host)
    tables = re.findall(r'^table .*?^}\n', state, re.MULTILINE | re.DOTALL)
    return re.sub(r'^table .*^}\n', lambda _: ''.join(sorted(tables)), state, flags=re.MULTILINE | re.DOTALL)


class Sweep:
    def __init__(self, lab):
        self.host = make_host(lab)
        self.node = Node(self.host)
        self.nobody = Node(lab.host('nobody')).id
        configure(self.node, self.nobody)
        self.changes = Changes(lab, self.node.program)
        self.untouched = host_state.read(self.host)

    # ---- the daemon ----

    def start(self):
        self.node.daemon = self.host.spawn('quicether', *self.changes.environment, *self.node.words(
            'start', '--socket', self.node.socket, '--config', self.node.config))

    def is_up(self):
        """None while it is not yet, False when it has ended or stands still."""
        if not self.node.daemon.alive() or self.changes.stopped:
            return False
        try:
            return ask(self.node, 'rpc.methods', 0.1) is None
        except Broken:
            return None

    def wait_up(self):
        return wait_until('the daemon is up, or stopped', lambda: (up := self.is_up()) is not None and (up,), interval=0.005)[0]

    def helper(self):
        children = self.host.run('pgrep', '-P', self.node.daemon.pid, check=False).stdout.split()
        return int(children[0]) if children else None

    def end(self):
        self.node.daemon.signal(signal.SIGTERM)

    # ---- what must hold ----

    def check_untouched(self, what):
        after = host_state.read(self.host)
        if after != self.untouched:
            raise Failed(f'{what}: the host is not as it was:\n{host_state.difference(self.untouched, after)}')
        if (self.node.dir / 'host.journal').exists():
            raise Failed(f'{what}: there is still a journal')

    def repair(self, what):
        said = self.node.run('repair', '--socket', self.node.socket, check=False)
        if said.returncode != 0:
            raise Failed(f'{what}: repair: {said.stdout}{said.stderr}')
        self.check_untouched(what)

    # ---- calls that fail ----

    def fail_once(self, at, running):
        """In `vpn up` and `vpn down` of a daemon that lives on."""
        self.changes.arm(FAIL, at)
        wrong = ask(self.node, 'vpn.up')
        if wrong and host_state.read(self.host) != running:
            raise Failed(f'call {at}: vpn up has failed ({wrong}), but not changed all back:\n'
                         f'{host_state.difference(running, host_state.read(self.host))}')
        wrong = ask(self.node, 'vpn.down')
        reached = self.changes.count >= at
        self.changes.disarm()
        if wrong and (wrong := ask(self.node, 'vpn.down')):
            raise Failed(f'call {at}: vpn down fails again: {wrong}')
        if (after := host_state.read(self.host)) != running:
            raise Failed(f'call {at}: the host is not as before:\n{host_state.difference(running, after)}')
        return reached

    def count_up_and_down(self):
        self.changes.arm(COUNT)
        assert ask(self.node, 'vpn.up') is None and ask(self.node, 'vpn.down') is None
        return self.changes.count

    def sweep_failures(self):
        self.changes.disarm()
        self.start()
        self.wait_up()
        running = host_state.read(self.host)
        n, kinds = self.count_up_and_down(), self.changes.kinds
        for at in range(1, n + 1):
            self.fail_once(at, running)
        self.sweep_replacements()
        assert ask(self.node, 'vpn.down') is None
        self.end()
        self.node.daemon.wait()
        self.check_untouched('after all failures')
        tell('a call fails', n, kinds, range(n))

    def replace(self, **vpn):
        """By a changed configuration; returns what the host is then."""
        configure(self.node, self.nobody, **vpn)
        assert ask(self.node, 'reload') is None
        return read_sorted(self.host)

    def settles(self, got, *states):
        """Whether it is one of these; what has failed is tried again soon, and may be under way when it is looked at."""
        end = time.monotonic() + 5
        while got not in states and time.monotonic() < end:
            got = read_sorted(self.host)
        return got in states

    def sweep_replacements(self):
        """There and back: at each call."""
        assert ask(self.node, 'vpn.up') is None
        self.changes.arm(COUNT)
        other = self.replace(**OTHER)
        n, kinds = self.changes.count, self.changes.kinds
        self.changes.disarm()
        plain = self.replace()
        for at in range(1, n + 1):
            self.changes.arm(FAIL, at)
            got = self.replace(**OTHER)
            self.changes.disarm()
            if not self.settles(got, plain, other):
                raise Failed(f'call {at} of a change: neither the plan before nor the one after:\n'
                             f'{host_state.difference(plain, got)}\n{host_state.difference(other, got)}')
            if not self.settles(back := self.replace(), plain):
                raise Failed(f'call {at} of a change: not as before the change:\n{host_state.difference(plain, back)}')
        tell('a call fails that replaces a plan', n, kinds, range(n))

    # ---- processes that are killed ----

    def cycle(self):
        """Start, up, down, end; returns when a process stands still, or when all is done."""
        self.start()
        if not self.wait_up():
            return
        for method in 'vpn.up', 'vpn.down':
            self.ask_unless_stopped(method)
        if not self.changes.stopped:
            self.end()
            wait_until('the daemon has ended, or stands still',
                       lambda: self.changes.stopped or not self.node.daemon.alive(), 30, 0.002)

    def ask_unless_stopped(self, method):
        """Without waiting for an answer that cannot come."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            if self.changes.stopped:
                return
            control.connect(str(self.node.socket))
            control.sendall(json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': method}).encode() + b'\n')
            control.settimeout(0.002)
            end = time.monotonic() + 30
            while not self.changes.stopped and time.monotonic() < end:
                try:
                    if control.recv(65536):
                        return
                    raise Failed(f'{method}: the daemon has gone')
                except TimeoutError:
                    continue

    def count_cycle(self):
        self.changes.arm(COUNT)
        self.cycle()
        self.node.daemon.wait()
        self.check_untouched('an undisturbed cycle')
        return self.changes.count

    def kill_at(self, mode, at, helper_too):
        what = f'{"before" if mode == STOP_BEFORE else "after"} call {at}'
        self.changes.arm(mode, at)
        self.cycle()
        if not self.changes.stopped:
            raise Failed(f'{what}: not reached: {self.changes.count} calls')
        helper = self.helper()
        self.changes.disarm()
        self.node.daemon.kill()
        if helper_too:
            os.kill(helper, signal.SIGKILL)
        else:
            os.kill(helper, signal.SIGCONT)
        self.repair(what)
        self.node.socket.unlink(missing_ok=True)

    def sweep_kills(self, whole):
        n, kinds = self.count_cycle(), self.changes.kinds
        for name, mode, helper_too, first, step in (('both are killed before a call', STOP_BEFORE, True, 1, 2),
                                                    ('both are killed after a call', STOP_AFTER, True, 2, 2),
                                                    ('the daemon is killed at a call', STOP_BEFORE, False, 3, 4)):
            calls = range(1, n + 1) if whole else range(first, n + 1, step)
            for at in calls:
                self.kill_at(mode, at, helper_too)
            tell(name, n, kinds, calls)


def tell(what, n, kinds, calls):
    counted = ', '.join(f'{count} {kind}' for kind, count in kinds.items() if count)
    print(f'{what}: {len(calls)} of {n} ({counted}): the host is as it was', flush=True)


def main():
    with Lab() as lab:
        sweep = Sweep(lab)
        sweep.sweep_failures()
        sweep.sweep_kills('all' in sys.argv[1:])


if __name__ == '__main__':
    main()
