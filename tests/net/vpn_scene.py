# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What the tests of leaks have in common: the Internet of internet.py with both nodes running, somebody who speaks to it all the time,
the watch on the laptop's uplinks, and the host's state before any of it.

    with scene('states') as here:
        here.up()
        with here.closed('connected'):
            here.wait_through()
        ...

When the block ends in peace, the laptop's node is stopped, the host must be as it was, and the watch judges.
"""
import contextlib
import pathlib

import host_state
from internet import GATE, LAPTOP, ROUTER, SERVER, Internet, Services
from lab import Lab, command, wait_until
from leaks import Talker, Watch, new_marker


@contextlib.contextmanager
def scene(name, wires=('home', 'cafe'), make_talkers=lambda host, marker: [Talker(host, marker)], **vpn):
    """make_talkers: of the laptop and the marker; vpn: keys of the laptop's [vpn]."""
    with Lab(f'leak_{name}') as lab, contextlib.ExitStack() as stack:
        made = Scene(lab, stack, wires, make_talkers, vpn)
        yield made
        made.end()


class Scene:
    def __init__(self, lab, stack, wires, make_talkers, vpn):
        self.lab, self.internet, marker = lab, Internet(lab), new_marker()
        self.host, self.router = self.internet.laptop, self.internet.router
        self.laptop, self.gate = self.internet.nodes(**vpn)
        self.services = stack.enter_context(Services(self.internet.server, marker))
        stack.enter_context(Services(self.router, marker, addresses=ROUTER))
        self.talkers = make_talkers(self.host, marker)
        self.watch = Watch(self.router, wires, marker, self.talkers)
        wait_until('the server is there', lambda: all(map(self.host.pings, SERVER)))
        self.gate.start()
        self.before = host_state.read(self.host)
        self.laptop.start()
        self.laptop.wait_connected(self.gate)
        for talker in self.talkers:
            stack.enter_context(talker)

    def end(self):
        if self.laptop.daemon.alive():
            self.laptop.stop()
        host_state.check(self.host, self.before)
        for talker in self.talkers:
            talker.stop()
        self.watch.judge()

    # -- the laptop's VPN mode ----------------------------------------------------------------------------------------

    def vpn(self, *words, **options):
        return self.laptop.run('vpn', *words, '--socket', self.laptop.socket, **options)

    def up(self):
        self.vpn('up')
        assert self.status()['state'] == 'connected', self.status()

    def down(self):
        self.vpn('down')

    def status(self):
        return self.laptop.call('vpn', 'status')

    def wait_state(self, *states, deadline=10):
        wait_until(f'the state is {" or ".join(states)}', lambda: self.status()['state'] in states, deadline)

    def helper(self):
        """The process id of the daemon's helper."""
        pids = command('ip', 'netns', 'pids', self.host.netns).stdout.split()
        return next(int(pid) for pid in pids if pathlib.Path(f'/proc/{pid}/comm').read_text() == 'quicether-host\n')

    def restart(self, **vpn):
        """Ends the laptop's node, which leaves the host as it was; and starts it with another [vpn]."""
        self.laptop.stop()
        host_state.check(self.host, self.before)
        self.configure(**vpn)
        self.laptop.start()
        self.laptop.wait_connected(self.gate)

    def configure(self, **vpn):
        self.internet.configure_laptop(self.laptop, self.gate, **vpn)

    # -- what is seen -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def closed(self, name, **options):
        """A closed case; before it ends, everything has been tried."""
        with self.watch.case(name, **options) as case:
            yield case
            self.watch.speak()

    def open(self, name):
        """An open case, which shows that the watch sees."""
        for talker in self.talkers:
            talker.renew()
        self.services.seen.clear()
        with self.watch.case(name, closed=False):
            self.watch.speak()
            wait_until('all is seen in clear', lambda: self.come_from(LAPTOP))

    def come_from(self, addresses):
        return all(address in self.services.sources(what) for what in ('tcp', 'udp') for address in addresses)

    def wait_through(self):
        """Until what is sent from now on comes to the server from the gateway, in all ways."""
        self.services.seen.clear()
        wait_until('all comes from the gateway', lambda: self.come_from(GATE))
        assert all(map(self.host.pings, SERVER))
