# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The tunnels that are compared (others.py has those that are not ours), and what bounds them from above.

    left =============================== right
    10.0.0.1                          10.0.0.2        outside, MTU 1500
    100.64.0.1                      100.64.0.2        inside, MTU as each program chooses it
"""
import pathlib

from lab import Failed, Node, wait_until
from pair import inside, outside, own, row

INSIDE_LENGTH = 24


class Setting:
    """What a suite is told: how long TCP is measured, wanted(measure), our programs by name, the folder of the others', and
    say(text) for a measure that is left out."""

    def __init__(self, seconds, wanted, programs, others, say):
        self.seconds, self.wanted, self.programs, self.others, self.say = seconds, wanted, programs, others, say

    def attempt(self, what, function, *arguments):
        """Yields what the function does; if it fails, says why, and so do the samples that are missing."""
        try:
            yield from function(*arguments)
        except Failed as failure:
            self.say(f'{what} is left out: {failure}')


class Tunnel:
    """Between two hosts that are joined already. A subclass knows one program."""

    def __init__(self, hosts, setting):
        self.hosts, self.programs, self.others = hosts, setting.programs, setting.others
        self.processes = []

    @classmethod
    def is_there(cls, _others):
        return True

    def prepare(self):
        """Keys and configuration of both."""

    def start(self, number):
        """One of them, 1 or 2; returns when it has been told all, not when it works."""

    def address(self, number):
        return inside(number)

    # -- for subclasses ------------------------------------------------------------------------------------------------

    def host(self, number):
        return self.hosts[number - 1]

    def spawn(self, number, *words):
        process = self.host(number).spawn(pathlib.Path(words[0]).name, *words)
        self.processes.append(process)
        return process

    def wait_interface(self, number, name):
        def is_there():
            if not self.processes[-1].alive():
                raise Failed(f'{self.processes[-1].name} ended')
            return name in self.host(number).interfaces()
        wait_until(f'{name} is there', is_there, interval=0.005)

    def raise_interface(self, number, name, *options):
        host = self.host(number)
        host.address(name, f'{inside(number)}/{INSIDE_LENGTH}')
        host.ip('link', 'set', name, *options, 'up')


class Bare(Tunnel):
    """The cable itself."""

    def address(self, number):
        return outside(number)


class Forwarder(Tunnel):
    """tests/bench/forwarder.c."""

    def start(self, number):
        self.spawn(number, self.programs['forwarder'], 'tun', f'{inside(number)}/{INSIDE_LENGTH}',
                   f'{outside(number)}:7844', f'{outside(3 - number)}:7844')


class QuicEther(Tunnel):
    cipher = None

    def prepare(self):
        self.nodes = [Node(host) for host in self.hosts]
        for number, node in enumerate(self.nodes, 1):
            peer = row(self.nodes[2 - number], 3 - number, outside(3 - number))
            node.configure([peer], network=own(number), security=self.security())

    def security(self):
        return {'cipher': self.cipher}

    def start(self, number):
        self.processes.append(self.nodes[number - 1].start(ready=False))


class QuicEtherAes256(QuicEther):
    cipher = 'aes-256-gcm'


class QuicEtherRules(QuicEtherAes256):
    """With a policy of which the last rule allows the traffic."""

    RULES = 10000

    def security(self):
        rules = [f'id = "r{number}"\nobject = "{self.some_prefix(number)}"\nprotocols = "tcp"\n'
                 f'ports = [{1 + number % 997}]\naction = "deny"\n' for number in range(1, self.RULES)]
        rules.append('id = "all"\nobject = "*"\naction = "allow"\n')
        policy = self.nodes[0].config.with_name('rules.toml')
        policy.write_text(''.join(f'[[rules]]\nsubject = "*"\n{rule}' for rule in rules))
        return super().security() | {'policy_file': str(policy)}

    @staticmethod
    def some_prefix(number):
        """Of a hundred one is around the addresses inside."""
        return '100.64.0.0/10' if number % 100 == 0 else f'10.{number >> 8}.{number & 255}.0/24'


class QuicEtherAes128(QuicEther):
    cipher = 'aes-128-gcm'


class QuicEtherChaCha(QuicEther):
    cipher = 'chacha20-poly1305'


OWN = {
    'bare': Bare,
    'forwarder': Forwarder,
    'quicether-aes256gcm': QuicEtherAes256,
    'quicether-10000-rules': QuicEtherRules,
    'quicether-aes128gcm': QuicEtherAes128,
    'quicether-chacha20poly1305': QuicEtherChaCha,
}
