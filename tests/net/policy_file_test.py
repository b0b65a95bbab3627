#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The policy file of a node that runs: what it takes, what it refuses, and what it says of either.

    hub ============= guest
    10.0.1.1       10.0.1.2

No packet is sent; who may send what is another test's.
"""
import json
import socket

from lab import Lab, Node

ALLOW = '''
[[rules]]
id = "guest-in"
subject = "guest"
object = "node:hub"
protocols = "tcp"
ports = [22]
action = "allow"
'''
TEST = '''
[[tests]]
from = "guest"
to = "node:hub"
protocol = "tcp"
port = 22
expect = "%s"
'''


class Hub:
    def __init__(self, node, guest):
        self.node, self.guest = node, guest
        self.file = node.config.with_name('policy.toml')

    def configure(self, **sections):
        """As an editor does: a new file in the place of the former."""
        path = self.node.config
        self.node.config = path.with_suffix('.new')
        sections = {'node': {'name': 'hub'}, 'security': {'policy_file': 'policy.toml'}} | sections
        self.node.configure(peers=[self.guest.as_peer()], **sections)
        self.node.config.rename(path)
        self.node.config = path

    def write(self, text):
        new = self.file.with_suffix('.new')
        new.write_text(text)
        new.rename(self.file)

    def ask(self, *words):
        """A command that may fail: its exit status, and its answer."""
        done = self.node.run(*words, '--json', '--socket', self.node.socket, check=False)
        return done.returncode, json.loads(done.stdout)

    def verdicts(self, port):
        """What the daemon says of packets from the guest, and what the files do: the same."""
        question = {'from': 'guest', 'to': 'node:hub', 'protocol': 'tcp', 'port': port}
        answer = rpc(self.node.socket, 'policy.explain', question)['result']['answers']
        words = [word for key, value in question.items() for word in (f'--{key}', str(value))]
        done = self.node.run('policy', 'explain', '--config', self.node.config, '--json', *words)
        assert json.loads(done.stdout)['answers'] == answer, (done.stdout, answer)
        return {one['verdict'] for one in answer}


def rpc(path, method, params):
    request = json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': method, 'params': params})
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(path))
        control.sendall(request.encode() + b'\n')
        return json.loads(control.makefile().readline())


def reload_refuses(hub):
    """What is wrong changes nothing, and the answer says where it is."""
    for text, about in [
        (ALLOW.replace('guest"', 'gust"') + TEST % 'allow', 'did you mean \\"guest\\"'),
        (ALLOW + TEST % 'deny', 'expected deny, but rule \\"guest-in\\" allows'),
        ('[[rules]', 'Error while parsing'),
    ]:
        hub.write(text)
        done = hub.node.run('config', 'validate', '--config', hub.node.config, check=False)
        assert done.returncode == 1 and about.replace('\\', '') in done.stderr, done
        for words in (('policy', 'reload'), ('reload',)):
            code, answer = hub.ask(*words)
            assert code == 1 and not answer['ok'], (words, answer)
            assert answer['errors'][0]['where'] == str(hub.file) and answer['errors'][0]['line'], answer
            assert about in json.dumps(answer), (about, answer)
    hub.file.unlink()
    code, answer = hub.ask('policy', 'reload')
    assert code == 1 and 'No such file' in json.dumps(answer), answer


def reload_takes(hub):
    hub.write(ALLOW + TEST % 'allow')
    assert hub.ask('policy', 'reload') == (0, {'ok': True, 'file': str(hub.file), 'rules': 1, 'changed': False})
    assert hub.verdicts(22) == {'allow'} and hub.verdicts(80) == {'deny'}
    for port in -1, 65536:
        question = {'from': 'guest', 'to': 'node:hub', 'protocol': 'tcp', 'port': port}
        assert rpc(hub.node.socket, 'policy.explain', question)['error']['code'] == -32602
    hub.write(ALLOW.replace('[22]', '[80]'))
    assert hub.ask('policy', 'reload')[1]['changed']
    assert hub.verdicts(22) == {'deny'} and hub.verdicts(80) == {'allow'}
    hub.write(ALLOW)
    assert hub.ask('reload')[1]['ok']
    assert hub.verdicts(22) == {'allow'}
    hub.write(ALLOW + 'schedule = { time_zone = "Europe/Berlin" }\n')  # whose file the sandbox leaves readable
    assert hub.ask('policy', 'reload')[1]['ok']
    assert hub.verdicts(22) == {'allow'}


def start_is_lenient(hub):
    """A policy that fails its own tests is used, and loudly spoken of; one with errors is not."""
    hub.write(ALLOW + TEST % 'deny')
    hub.node.stop()
    hub.node.start()
    assert 'FAILS ITS OWN TESTS' in hub.node.daemon.said()
    assert hub.verdicts(22) == {'allow'}
    hub.node.stop()
    hub.write(ALLOW.replace('"guest"', '"gust"'))
    done = hub.node.run('start', '--config', hub.node.config, '--socket', hub.node.socket, check=False)
    assert done.returncode == 1 and f'{hub.file}:4:11: rules.subject: there is no node' in done.stderr, done


with Lab() as lab:
    hub_host, guest_host = lab.host('hub'), lab.host('guest')
    lab.link(hub_host, 'eth0', '10.0.1.1/24', guest_host, 'eth0', '10.0.1.2/24')
    hub = Hub(Node(hub_host), Node(guest_host))
    hub.write(ALLOW + TEST % 'allow')
    hub.configure()
    hub.node.start()
    assert hub.verdicts(22) == {'allow'} and hub.verdicts(80) == {'deny'}
    reload_refuses(hub)
    reload_takes(hub)
    start_is_lenient(hub)
