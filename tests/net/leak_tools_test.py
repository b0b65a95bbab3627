#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The tools that look for leaks find them: what is sent in clear is seen, rules by hand that let nothing out hold back all of
it, and a hole in these rules is found by what goes through it. Without quicether.

The network is drawn in internet.py.
"""
import host_state
from internet import GATE, SERVER, Internet, Services
from lab import Failed, Lab, Node, wait_until
from leaks import Talker, Watch, new_marker

RULES = '''
table inet by_hand {
    chain output {
        type filter hook output priority filter; policy drop;
        oifname "lo" accept
        udp dport %d ip daddr %s accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld2-listener-report } accept
        %s
        reject with icmpx admin-prohibited
    }
}
'''
HOLES = {  # a rule, and the leaks that it makes
    'meta l4proto icmp accept': 'icmp',
    'ip6 nexthdr tcp accept': 'tcp',
    'udp dport 53 accept': '.53',
    'ip daddr 224.0.0.251 accept': '224.0.0.251',
    'meta l4proto 253 accept': '253 ',
}


def close(host, hole=''):
    host.nft(RULES % (Node.PORT, GATE[0], hole))


def check_closed(internet, services, marker):
    laptop = internet.laptop
    before = host_state.read(laptop)
    talker = Talker(laptop, marker)
    watch = Watch(internet.router, ['home', 'cafe'], marker, [talker])
    with talker:
        with watch.case('nothing is closed', closed=False):
            watch.speak()
            for what in 'tcp', 'udp', 'dns':
                wait_until(f'{what} comes to the server', lambda what=what: len(services.sources(what)) == 2)
        close(laptop)
        with watch.case('closed by hand'):
            watch.speak()
        laptop.nft('delete table inet by_hand')
    host_state.check(laptop, before)
    watch.judge()


def check_hole(internet, marker, hole, leak):
    talker = Talker(internet.laptop, marker)
    close(internet.laptop, hole)
    watch = Watch(internet.router, ['home'], marker, [talker])
    with talker, watch.case(hole) as case:
        watch.speak()
    try:
        watch.judge()
    except Failed:
        assert case.leaks and all(leak in line for line in case.leaks), case.leaks
    else:
        raise Failed(f'{hole}: no leak was found')
    internet.laptop.nft('delete table inet by_hand')


def main():
    marker = new_marker()
    with Lab('leak_tools') as lab:
        internet = Internet(lab)
        wait_until('the server is there', lambda: all(map(internet.laptop.pings, SERVER)))
        with Services(internet.server, marker) as services:
            check_closed(internet, services, marker)
            for hole, leak in HOLES.items():
                check_hole(internet, marker, hole, leak)


if __name__ == '__main__':
    main()
