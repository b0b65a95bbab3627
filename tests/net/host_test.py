#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What the daemon changes on its host, what it leaves alone, and what is left when it is gone, however it went.

    laptop ========================= gateway ----------------- nas
    10.0.0.1                        10.0.0.2   192.168.7.1     192.168.7.9
    100.64.0.1                    100.64.0.2

The nas knows no way back to the overlay: it is reached by the gateway's masquerading.
"""
import json
import os
import pathlib
import signal

import pair
from lab import Lab, Node, command, wait_until

LAN = '192.168.7.0/24'
CAP_NET_ADMIN = 1 << 12
CAP_NET_BIND_SERVICE = 1 << 10
DAEMON_KIB_MAX, HELPER_KIB_MAX = 10 * 1024, 5 * 1024  # a moment after the last handshake
OTHERS = '''
table inet others {
    set known { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }
    chain input { type filter hook input priority filter; policy accept; ip saddr @known accept; }
    chain postrouting { type nat hook postrouting priority srcnat; policy accept; oifname "nowhere" masquerade; }
}
table ip quicether { chain forward { type filter hook forward priority filter; policy accept; }; }
'''


def forwarding(host):
    return host.run('sysctl', '-n', 'net.ipv4.ip_forward', 'net.ipv4.conf.eth1.forwarding', 'net.ipv4.conf.all.accept_redirects',
                    'net.ipv6.conf.all.forwarding', 'net.ipv6.conf.eth1.forwarding', 'net.ipv6.conf.eth1.accept_ra').stdout.split()


def state(host):
    """All that the daemon may have changed."""
    return [forwarding(host), host.run('nft', 'list', 'ruleset').stdout, host.ip('-j', 'address').stdout,
            *(host.ip(family, 'route', 'show', 'table', 'all').stdout for family in ('-4', '-6'))]


def rules(host):
    return [host.ip(family, *words).stdout for family in ('-4', '-6') for words in (('rule',), ('route', 'show', 'table', 'all'))]


def processes(node):
    """The daemon's and the helper's process id."""
    pids = command('ip', 'netns', 'pids', node.host.netns).stdout.split()
    by_name = {pathlib.Path(f'/proc/{pid}/comm').read_text().strip(): int(pid) for pid in pids}
    assert by_name['quicether'] == node.daemon.pid, by_name
    return node.daemon.pid, by_name['quicether-host']


def facts(pid):
    lines = pathlib.Path(f'/proc/{pid}/status').read_text().splitlines()
    return {name: value.split() for name, value in (line.split(':', 1) for line in lines)}


def kept_out(node):
    return {route['prefix']: route for route in node.status()['host_routes']['kept_out']}


def routes(host):
    return [route['dst'] for route in json.loads(host.ip('-j', 'route', 'show', 'proto', '81').stdout)]


def configure_gateway(gateway, laptop, dial=None):
    gateway.configure(node={'role': 'gateway'}, peers=[pair.row(laptop, 1, dial)],
                      network=pair.own(2, advertise_subnets=[LAN, 'fd07::/64'], forward_subnets=['0.0.0.0/0'],
                                       masquerade=[LAN, '198.51.100.0/24'], probe=['192.168.7.9']))


def check_rights(node):
    """The helper has two capabilities, of which one for what it runs, and no way to more; the daemon has none."""
    daemon, helper = processes(node)
    for pid, capabilities, most in ((daemon, 0, DAEMON_KIB_MAX), (helper, CAP_NET_ADMIN | CAP_NET_BIND_SERVICE, HELPER_KIB_MAX)):
        its = facts(pid)
        assert {int(its[name][0], 16) for name in ('CapEff', 'CapPrm', 'CapBnd')} == {capabilities}, its
        assert {int(its[name][0], 16) for name in ('CapInh', 'CapAmb')} == {capabilities & CAP_NET_ADMIN}, its
        assert its['NoNewPrivs'] == ['1'], its
        if not os.environ.get('ASAN_OPTIONS') and not os.environ.get('TSAN_OPTIONS'):
            wait_until(f'{its["Name"][0]} has less than {most} KiB', lambda pid=pid, most=most: int(facts(pid)['VmRSS'][0]) < most)
            its = facts(pid)
        print(f'{its["Name"][0]}: {its["VmRSS"][0]} KiB resident, {its["RssAnon"][0]} of them its own or shared with its parent')
    devices = [os.readlink(link) for link in pathlib.Path(f'/proc/{helper}/fd').iterdir()]
    assert not any('tun' in device for device in devices), devices


def check_gateway_at_work(laptop, gateway, nas, before):
    assert forwarding(gateway.host) == ['1', '1', '0', '1', '1', '2'], forwarding(gateway.host)
    tables = gateway.host.run('nft', 'list', 'ruleset').stdout
    assert tables.startswith(before[1]) and 'table inet quicether_quicether0' in tables, tables
    with nas.accept_on('192.168.7.9', 80) as listener, laptop.host.connect_to('192.168.7.9', 80):
        assert listener.accept()[1][0] == '192.168.7.1'  # and not the laptop's


def check_ends(laptop, gateway, nas, before):
    """In order, by a crash, and both of these once more, each as soon as the one before has ended."""
    for end in (gateway.stop, gateway.kill, gateway.kill, gateway.stop):
        gateway.start()
        gateway.wait_connected(laptop)
        check_gateway_at_work(laptop, gateway, nas, before)
        helper = processes(gateway)[1]
        end()
        if end == gateway.kill:
            wait_until('the helper is gone', lambda helper=helper: not pathlib.Path(f'/proc/{helper}').exists())
        assert state(gateway.host) == before, (before, state(gateway.host))
    gateway.start()
    gateway.kill()
    gateway.start()  # while the first one's helper may still be at it
    gateway.wait_connected(laptop)
    check_gateway_at_work(laptop, gateway, nas, before)


def check_helper_listens_to_nobody(gateway):
    helper = processes(gateway)[1]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(helper, number)
    assert gateway.status()['state'] == 'running'
    assert pathlib.Path(f'/proc/{helper}').exists()


def check_lan(laptop, gateway):
    """The laptop comes into a network with the same addresses, and leaves it."""
    assert LAN in routes(laptop.host) and LAN not in kept_out(laptop)
    laptop.host.ip('link', 'add', 'wlan0', 'type', 'veth', 'peer', 'name', 'air')
    laptop.host.ip('link', 'set', 'wlan0', 'up')
    laptop.host.address('wlan0', '192.168.7.77/25')
    wait_until('the LAN wins', lambda: LAN not in routes(laptop.host))
    assert kept_out(laptop) == {LAN: {'prefix': LAN, 'reason': 'overlaps', 'network': '192.168.7.0/25', 'interface': 'wlan0'}}
    assert f'{LAN}: overlaps 192.168.7.0/25 on wlan0' in laptop.run('status', '--socket', laptop.socket).stdout
    laptop.stop()
    laptop.start()
    assert LAN not in routes(laptop.host) and kept_out(laptop)[LAN]['interface'] == 'wlan0'
    laptop.host.ip('link', 'delete', 'wlan0')
    wait_until('the overlay has it again', lambda: LAN in routes(laptop.host) and not kept_out(laptop))
    laptop.wait_connected(gateway)


def check_lan_side(laptop, gateway, nas):
    """What the gateway cannot reach itself is no route of the laptop's: a cable is pulled, or the probe does not answer."""
    for break_it, mend_it in (
            (lambda: nas.ip('link', 'set', 'eth0', 'down'), lambda: nas.ip('link', 'set', 'eth0', 'up')),
            (lambda: gateway.host.ip('link', 'set', 'eth1', 'down'), lambda: gateway.host.ip('link', 'set', 'eth1', 'up')),
            (lambda: nas.sysctl('net.ipv4.icmp_echo_ignore_all', 1), lambda: nas.sysctl('net.ipv4.icmp_echo_ignore_all', 0))):
        wait_until('the LAN is announced', lambda: LAN in routes(laptop.host))
        break_it()
        wait_until('the LAN is withdrawn', lambda: LAN not in routes(laptop.host))
        mend_it()
    wait_until('the LAN is announced again', lambda: LAN in routes(laptop.host))
    assert gateway.daemon.said().count('lan_down') >= 3 and 'no probe answers' in gateway.daemon.said()


def check_default(laptop, gateway, nas):
    """All of the laptop's packets go to the gateway, but for the tunnel's own, which need the laptop's default route."""
    laptop.host.route('default', pair.outside(2))
    gateway.host.address('lo', '203.0.113.2/32')
    gateway.host.route('198.51.100.0/24', '192.168.7.9')
    nas.address('eth0', '198.51.100.9/24')
    nas.route('203.0.113.0/24', '192.168.7.1')  # would show what leaves the laptop outside of the tunnel
    laptop.stop()
    configure_gateway(gateway, laptop)
    before = rules(laptop.host)
    peers = [pair.row(gateway, 2, '203.0.113.2', exit=True)]
    for end in (laptop.stop, laptop.kill):
        gateway.stop()  # it knows no address of the laptop afterwards: only the laptop dials
        gateway.start()
        laptop.configure(network=pair.own(1), overlay={'default_gateway': gateway.name}, peers=peers)
        laptop.start()
        laptop.wait_connected(gateway)
        assert '0.0.0.0/0' in kept_out(laptop) and pair.TUN not in laptop.host.ip('route', 'get', '198.51.100.9').stdout
        laptop.configure(network=pair.own(1), overlay={'default_gateway': gateway.name, 'accept_routes': 'all'}, peers=peers)
        laptop.call('reload')
        wait_until('the default route leads into the tunnel',
                   lambda: pair.TUN in laptop.host.ip('route', 'get', '198.51.100.9').stdout)
        with nas.accept_on('198.51.100.9', 80) as listener, laptop.host.connect_to('198.51.100.9', 80):
            assert listener.accept()[1][0] == '192.168.7.1'
        assert laptop.peer(gateway)['link']['remote'].startswith('203.0.113.2:')
        helper = processes(laptop)[1]
        end()
        wait_until('the helper is gone', lambda helper=helper: not pathlib.Path(f'/proc/{helper}').exists())
        assert rules(laptop.host) == before, (before, rules(laptop.host))
    gateway.host.ip('address', 'delete', '203.0.113.2/32', 'dev', 'lo')
    gateway.host.ip('route', 'delete', '198.51.100.0/24')
    laptop.configure(network=pair.own(1), peers=[pair.row(gateway, 2, pair.outside(2), subnets=[LAN])])
    laptop.start()
    laptop.wait_connected(gateway)
    wait_until('the LAN is announced', lambda: LAN in routes(laptop.host))


def check_without_helper(laptop, gateway, nas):
    """Somebody has killed it: that is told, and the tunnel goes on."""
    os.kill(processes(laptop)[1], signal.SIGKILL)
    laptop.daemon.wait_said('helper_ended')
    with nas.accept_on('192.168.7.9', 80), laptop.host.connect_to('192.168.7.9', 80):
        pass
    assert laptop.stop() == 0 and gateway.stop() == 0


def main():
    with Lab() as lab:
        hosts = pair.cable(lab, 'laptop', 'gateway')
        nas = lab.host('nas')
        lab.link(hosts[1], 'eth1', '192.168.7.1/24', nas, 'eth0', '192.168.7.9/24')
        laptop, gateway = map(Node, hosts)
        hosts[1].nft(OTHERS)
        hosts[1].sysctl('net.ipv4.conf.all.accept_redirects', 0)
        hosts[1].sysctl('net.ipv6.conf.eth1.forwarding', 1)
        laptop.configure(network=pair.own(1), peers=[pair.row(gateway, 2, pair.outside(2), subnets=[LAN, 'fd07::/64'])])
        configure_gateway(gateway, laptop, pair.outside(1))
        before = state(hosts[1])
        laptop.start()
        check_ends(laptop, gateway, nas, before)
        check_rights(gateway)
        check_helper_listens_to_nobody(gateway)
        check_lan(laptop, gateway)
        check_lan_side(laptop, gateway, nas)
        check_default(laptop, gateway, nas)
        check_without_helper(laptop, gateway, nas)
        assert state(hosts[1]) == before, (before, state(hosts[1]))


if __name__ == '__main__':
    main()
