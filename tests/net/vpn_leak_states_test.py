#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""No state of VPN mode lets anything out: connecting, connected, reconnecting, a gateway that is dead, a daemon that is killed,
with or without its helper, restarted, reloaded, or ended for an upgrade. And what is done without a kill switch.

The network is drawn in internet.py, what is a leak in leaks.py.
"""
import os
import signal

import host_state
from lab import wait_until
from vpn_scene import scene


def check_connected(here):
    here.open('VPN mode off')
    here.up()
    with here.closed('connected'):
        here.wait_through()


def check_reconnecting(here):
    """The Internet between laptop and gateway is broken, and mended."""
    with here.closed('reconnecting'):
        here.router.nft('table inet cut { chain forward { type filter hook forward priority 0; oifname "gate" drop; }; }')
        here.wait_state('reconnecting', 'blocked')
    with here.closed('connected again'):
        here.router.nft('delete table inet cut')
        here.wait_state('connected')
        here.wait_through()


def check_gateway_dead(here):
    with here.closed('gateway dead'):
        here.gate.kill()
        here.wait_state('reconnecting', 'blocked')


def check_connecting(here):
    """VPN mode goes on while there is no gateway, which comes later."""
    here.down()
    coming = here.host.spawn('up', *here.laptop.words('vpn', 'up', '--socket', here.laptop.socket))
    here.wait_state('connecting', 'blocked')
    with here.closed('connecting'):
        here.watch.speak()
        here.gate.start()
        assert coming.wait(30) == 0
        here.wait_through()


def check_reload(here):
    with here.closed('reload'):
        for exclude in 3 * (['198.51.100.0/24'], []):
            here.configure(exclude=exclude)
            here.laptop.call('reload')
            here.watch.speak(1)
        here.wait_through()


def check_removed(here):
    """A firewall that is started anew flushes all tables, and network managers delete rules that they do not know."""
    table = here.host.run('nft', '--stateless', 'list', 'table', 'inet', 'quicether_vpn').stdout
    for name, words in (('nftables flushed', ('nft', 'flush', 'ruleset')),
                        ('routing rule deleted', ('ip', 'rule', 'delete', 'priority', 5182))):
        with here.closed(name, allow=is_scoped):
            here.host.run(*words)
            wait_until('the table is back', lambda: here.host.run('nft', '--stateless', 'list', 'table', 'inet', 'quicether_vpn',
                                                                  check=False).stdout == table)
            here.wait_through()
        assert here.status()['kill_switch'] == 'holds'


def start_again(here, name):
    """VPN mode goes on with the next daemon, though neither file nor flag says so."""
    with here.closed(name):
        here.laptop.start()
        here.wait_state('connected')
        here.wait_through()


def check_killed(here):
    with here.closed('daemon killed'):
        here.laptop.kill()
        here.watch.speak()
    start_again(here, 'daemon restarted')


def check_both_killed(here):
    with here.closed('daemon and helper killed'):
        pids = here.laptop.daemon.pid, here.helper()
        for number in signal.SIGSTOP, signal.SIGKILL:
            for pid in pids:
                os.kill(pid, number)
        here.laptop.daemon.wait()
    start_again(here, 'restarted after that')


def check_hold(here):
    with here.closed('ended with stop --hold'):
        here.laptop.run('stop', '--hold', '--socket', here.laptop.socket)
        here.laptop.daemon.wait()
    start_again(here, 'started after an upgrade')


def check_panic(here):
    """The daemon is killed, and its user wants his network back at any price."""
    here.laptop.kill()
    here.laptop.run('vpn', 'panic-off', '--socket', here.laptop.socket)
    here.open('vpn panic-off')
    here.laptop.run('repair', '--socket', here.laptop.socket)
    host_state.check(here.host, here.before)


def check_without_kill_switch(here):
    """Routes alone hold what follows them, also when the gateway is dead; a daemon that is killed leaves nothing, which is seen."""
    here.configure(kill_switch=False)
    here.laptop.start('--vpn')
    here.wait_state('connected')
    with here.closed('kill_switch = false, connected', allow=is_scoped):
        here.wait_through()
    with here.closed('kill_switch = false, gateway dead', allow=is_scoped):
        here.gate.kill()
        here.wait_state('reconnecting', 'blocked')
    helper = here.helper()
    here.laptop.kill()
    wait_until('the helper is gone', lambda: not os.path.exists(f'/proc/{helper}'))
    here.open('kill_switch = false, daemon killed')


def is_scoped(packet):
    """Its program has said which interface it is for."""
    return packet.destination == 'ff02::fb'


def main():
    with scene('states') as here:
        for check in (check_connected, check_reconnecting, check_gateway_dead, check_connecting, check_reload, check_removed,
                      check_killed, check_both_killed, check_hold, check_panic, check_without_kill_switch):
            check(here)


if __name__ == '__main__':
    main()
