#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""VPN mode goes on and off fifty times under somebody who never stops to speak: between the end of `vpn up` and the begin of `vpn
down` nothing leaves, and in the end the host is as it was.

The network is drawn in internet.py, what is a leak in leaks.py.
"""
import host_state
from leaks import Talker
from vpn_scene import scene

TIMES = 50


def main():
    with scene('loop', make_talkers=lambda host, marker: [Talker(host, marker, tick=0.01)]) as here:
        running = host_state.read(here.host)
        here.open('VPN mode off')
        for turn in range(TIMES):
            here.up()
            with here.watch.case(f'on, {TIMES} times'):
                here.watch.speak(1)
                if turn % 10 == 0:
                    here.wait_through()
            here.down()
            host_state.check(here.host, running)


if __name__ == '__main__':
    main()
