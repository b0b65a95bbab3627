#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Ways back to the host as it was: stop, stop --hold and a start, repair and panic-off, with a daemon that lives, hangs, or was killed,
with its helper or without; and what somebody else has changed meanwhile stays, and is named.

The laptop's gateway is nowhere, as what is looked at here is the laptop alone.
"""
import json
import os
import signal

import host_state
from lab import Failed, Lab, Node, wait_until

MARK = 'net.ipv4.conf.all.src_valid_mark'


def make(lab):
    host, other = lab.host('laptop'), lab.host('other')
    lab.link(host, 'eth0', '192.168.7.2/24 2001:db8:7::2/64', other, 'eth0', '192.168.7.1/24 2001:db8:7::1/64')
    host.route('default', '192.168.7.1')
    host.route('default', '2001:db8:7::1')
    host.own_etc('nameserver 192.168.7.1\n')
    node = Node(host)
    node.nobody = Node(other).id
    configure(node)
    return node


def configure(node, **vpn):
    gate = {'name': 'gate', 'id': node.nobody, 'endpoints': ['192.0.2.1:7844'], 'addresses': ['100.64.0.2'], 'exit': True}
    node.configure([gate], node={'role': 'gateway'}, network={'tun_addr': ['100.64.0.1'], 'forward_subnets': ['10.9.0.0/16']},
                   vpn={'via': 'gate', **vpn})


def say(node, *words, code=0):
    """A command on this host; its output."""
    done = node.run(*words, '--socket', node.socket, check=False)
    if done.returncode != code:
        raise Failed(f'{" ".join(words)} ended with {done.returncode}, not {code}:\n{done.stdout}{done.stderr}')
    return done.stdout + done.stderr


def blocks(node):
    """Whether nothing goes out, but what has our mark."""
    def leads(*words):
        done = node.host.ip('route', 'get', *words, check=False)
        return done.stdout if done.returncode == 0 else None
    beside = leads('203.0.113.9', 'mark', '20805')
    return leads('203.0.113.9') is None and leads('2001:db8::9') is None and 'dev eth0' in beside and has_table(node)


def has_table(node):
    return 'table inet quicether_vpn' in node.host.run('nft', 'list', 'tables').stdout


def start_in_vpn_mode(node):
    node.start('--vpn')
    assert has_table(node) and node.call('vpn', 'status')['state'] == 'connecting'


def helper_of(node):
    return int(node.host.run('pgrep', '-P', node.daemon.pid).stdout)


def kill(node, helper_too=True):
    """The daemon, and so suddenly that its helper does nothing any more; or the daemon alone."""
    helper = helper_of(node)
    if helper_too:
        os.kill(helper, signal.SIGSTOP)
    node.kill()
    if helper_too:
        os.kill(helper, signal.SIGKILL)
    wait_until('the helper is gone', lambda: not os.path.exists(f'/proc/{helper}'))


def check_nothing_left(node, before):
    host_state.check(node.host, before)
    left = sorted(path.name for path in node.dir.iterdir())
    assert 'host.journal' not in left, left
    assert say(node, 'repair').strip() == 'There is nothing to undo.'
    say(node, 'stop', code=3)


def check_stop(node, before):
    start_in_vpn_mode(node)
    assert say(node, 'stop').strip() == 'Stopped.'
    check_nothing_left(node, before)
    start_in_vpn_mode(node)
    os.kill(helper_of(node), signal.SIGKILL)  # nobody is left to undo anything, but stop itself
    said = say(node, 'stop')
    assert 'Undone: nftables table inet quicether_vpn is removed' in said and 'Undone: ' + setting(MARK) in said, said
    check_nothing_left(node, before)


def setting(name, value=0):
    return f'/proc/sys/{name.replace(".", "/")} is {value} again'


def check_hold(node, before):
    start_in_vpn_mode(node)
    assert say(node, 'stop', '--hold').startswith('Stopped. The host stays blocked: ')
    assert blocks(node)
    start_in_vpn_mode(node)
    node.daemon.stop()
    check_nothing_left(node, before)
    start_in_vpn_mode(node)
    say(node, 'stop', '--hold')
    node.start()  # nobody has ended VPN mode: it goes on
    assert has_table(node) and 'vpn_resumed' in node.daemon.said() and node.call('vpn', 'status')['via']
    node.stop()
    check_nothing_left(node, before)


def check_failed_start(node, before):
    """It leaves blocked what was, and open what was."""
    node.host.ip('tuntap', 'add', 'quicether0', 'mode', 'tun')
    assert node.start('--vpn', ready=False).wait() == 1
    assert not has_table(node)
    node.host.ip('link', 'del', 'quicether0')
    host_state.check(node.host, before)
    start_in_vpn_mode(node)
    kill(node, helper_too=False)
    assert blocks(node)
    node.host.ip('tuntap', 'add', 'quicether0', 'mode', 'tun')
    assert node.start('--vpn', ready=False).wait() == 1
    node.host.ip('link', 'del', 'quicether0')
    assert blocks(node)
    assert 'Undone' in say(node, 'stop')
    check_nothing_left(node, before)


def check_repair(node, before):
    for helper_too in True, False:
        start_in_vpn_mode(node)
        say(node, 'repair', code=1)  # a daemon lives
        kill(node, helper_too)
        assert blocks(node)
        said = say(node, 'repair', '--json')
        assert json.loads(said)['failed'] == json.loads(said)['left'] == [] and len(json.loads(said)['undone']) >= 5, said
        check_nothing_left(node, before)


def check_theirs(node, before):
    """Another value, another route in our table: they stay, and are named."""
    start_in_vpn_mode(node)
    node.host.sysctl(MARK, 2)
    node.host.sysctl('net.ipv4.conf.eth0.forwarding', 0)
    node.host.ip('route', 'add', '198.51.100.0/24', 'dev', 'eth0', 'table', '20805')
    kill(node)
    said = say(node, 'repair')
    assert f'Left: /proc/sys/{MARK.replace(".", "/")} was 0 before, we set it to 1, and somebody else to 2' in said, said
    assert 'Left: table ipv4/20805 has 1 route of somebody else' in said, said
    assert node.host.run('sysctl', '-n', MARK).stdout == '2\n'
    node.host.sysctl(MARK, 0)
    node.host.ip('route', 'flush', 'table', '20805')
    check_nothing_left(node, before)


def check_panic(node, before):
    start_in_vpn_mode(node)
    assert 'the daemon has left VPN mode' in say(node, 'vpn', 'panic-off')
    assert not has_table(node) and node.call('vpn', 'status')['state'] == 'off'
    node.stop()
    check_nothing_left(node, before)
    for helper_too in True, False:
        start_in_vpn_mode(node)
        kill(node, helper_too)
        said = say(node, 'vpn', 'panic-off')
        assert 'Undone: nftables table inet quicether_vpn is removed' in said, said
        say(node, 'stop', code=0 if helper_too else 3)  # forwarding
        check_nothing_left(node, before)


def check_panic_hanging(node, before):
    """Neither process answers: a table, rules and routes go all the same."""
    start_in_vpn_mode(node)
    helper = helper_of(node)
    for pid in node.daemon.pid, helper:
        os.kill(pid, signal.SIGSTOP)
    assert 'Undone: nftables table inet quicether_vpn is removed' in say(node, 'vpn', 'panic-off')
    assert not has_table(node) and 'eth0' in node.host.ip('route', 'get', '203.0.113.9').stdout
    for pid in node.daemon.pid, helper:
        os.kill(pid, signal.SIGCONT)
    say(node, 'vpn', 'down')
    node.stop()
    check_nothing_left(node, before)


def check_journal(node, before):
    """Without one, what is ours by its name goes; with one that is none, it is said."""
    start_in_vpn_mode(node)
    kill(node)
    journal = node.dir / 'host.journal'
    text = journal.read_bytes()
    journal.write_bytes(b'\0' * 5000)
    assert 'damaged' in say(node, 'repair', code=1)
    assert not has_table(node)
    assert node.start('--vpn', ready=False).wait() == 1 and 'it is damaged' in node.daemon.said()
    journal.write_bytes(text + b'sysctl /proc/sys/kernel/core_pattern vpn 1 1\nnonsense\nsysctl torn')
    said = say(node, 'repair', code=1)
    assert 'a setting that is none of ours: /proc/sys/kernel/core_pattern' in said, said
    assert '1 line of the journal made no sense' in said and setting('net.ipv4.ip_forward') in said, said
    assert journal.read_text().splitlines()[1:] == ['sysctl /proc/sys/kernel/core_pattern vpn 1 1'], journal.read_text()
    journal.unlink()
    check_nothing_left(node, before)


def check_two(node, before):
    """A second daemon of this host, and one whose socket is beside that of the first: neither touches what the first has."""
    start_in_vpn_mode(node)
    during = host_state.read(node.host)
    elsewhere = node.dir / 'elsewhere/second.sock'
    for place, said in (elsewhere, 'clashes'), (node.dir / 'second.sock', 'another daemon'):
        done = node.run('start', '--vpn', '--config', node.config, '--socket', place, '--tun-name', 'second0', '--listen', ':9000',
                        check=False)
        assert done.returncode == 1 and said in done.stderr, done
        host_state.check(node.host, during)
    assert node.run('repair', '--socket', elsewhere).stdout.strip() == 'There is nothing to undo.'
    host_state.check(node.host, during)
    node.stop()
    check_nothing_left(node, before)


def main():
    with Lab() as lab:
        node = make(lab)
        before = host_state.read(node.host)
        for check in (check_stop, check_hold, check_failed_start, check_repair, check_theirs, check_panic, check_panic_hanging,
                      check_journal, check_two):
            check(node, before)
            print(f'{check.__name__.removeprefix("check_").replace("_", " ")}: as it was', flush=True)


if __name__ == '__main__':
    main()
