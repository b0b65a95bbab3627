#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What the audit log of a node says of its peers, and of a stranger.

    left =============================== right
    10.0.0.1                          10.0.0.2
    100.64.0.1                      100.64.0.2
"""
import datetime
import json
import os
import re

import pair
from lab import Lab, Node, wait_until

MODE = 0o640


def records(path):
    """All of them; each is one JSON object on a line of its own."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for(path, event, count=1):
    def found():
        return [record for record in records(path) if record['event'] == event]

    wait_until(f'{count} {event} in {path}', lambda: len(found()) >= count)
    assert len(found()) == count, found()
    return found()[-1]


def check_time(record):
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z', record['time']), record
    told = datetime.datetime.fromisoformat(record['time'])
    assert abs(datetime.datetime.now(datetime.UTC) - told) < datetime.timedelta(hours=1), record


def check_connection(left, right, path):
    left.configure([pair.row(right, 2, dial=pair.outside(2))], network=pair.own(1), security={'audit_log': str(path)})
    right.configure([pair.row(left, 1)], network=pair.own(2))
    pair.start_pair(left, right)
    assert path.stat().st_mode & 0o7777 == MODE
    connected = wait_for(path, 'peer_connected')
    check_time(connected)
    assert connected['node'] == 'right' and connected['id'] == right.id, connected
    assert connected['remote'] == pair.endpoint(pair.outside(2)), connected

    assert left.host.pings(pair.inside(2))
    peer = left.peer(right)
    right.stop()
    ended = wait_for(path, 'peer_disconnected')
    check_time(ended)
    assert ended['id'] == right.id and ended['duration_secs'] > 0 and ended['reason'], ended
    for key in 'tx_packets', 'tx_bytes', 'rx_packets', 'rx_bytes':
        assert ended[key] >= peer[key] > 0, (ended, peer)


def check_stranger(left, right, path):
    """Right has another key now; the log goes on where it was."""
    left.stop()
    before = records(path)
    right.key.unlink()
    changed = Node(right.host)
    assert changed.id != right.id
    left.configure([pair.row(right, 2)], network=pair.own(1), security={'audit_log': str(path)})
    changed.configure([pair.row(left, 1, dial=pair.outside(1))], network=pair.own(2))
    left.start()
    changed.start()
    refused = wait_for(path, 'auth_failed')
    assert refused['id'] == changed.id and refused['node'] is None and refused['reason'], refused
    assert refused['remote'].startswith(pair.outside(2)), refused
    changed.stop()
    left.stop()
    assert records(path)[:len(before)] == before


def check_refusals(left, folder):
    """A log that cannot be opened keeps the daemon from starting, and says why."""
    (folder / 'link').symlink_to('elsewhere')
    for path, said in (folder / 'missing/log', 'the directory above does not exist'), (folder, 'it is a directory'), \
            (folder / 'link', 'it is a symbolic link'):
        left.configure(network=pair.own(1), security={'audit_log': str(path)})
        failed = left.run('start', '--config', left.config, '--socket', left.socket, check=False)
        assert failed.returncode == 1 and said in failed.stderr and 'security.audit_log' in failed.stderr, failed.stderr
    assert 'elsewhere' not in os.listdir(folder)


def main():
    with Lab('audit') as lab:
        hosts = pair.cable(lab)
        left, right = map(Node, hosts)
        folder = lab.dir / 'log'
        folder.mkdir()
        check_connection(left, right, folder / 'audit.log')
        check_stranger(left, right, folder / 'audit.log')
        check_refusals(left, folder)


if __name__ == '__main__':
    main()
