# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The counters of a daemon as books that must balance: each packet that came in is sent, waits or was dropped, once.

docs/rpc.md says what each counter is, struct qe_shard_counters in include/quicether.h why they add up.
"""
import json

import pair

FROM_TUN = ('tun_malformed', 'not_unicast', 'no_route', 'no_link', 'policy_out', 'queue_full', 'too_big', 'closed')
FROM_LINKS = ('datagram_malformed', 'datagram_context', 'source', 'policy', 'not_local', 'not_forwarded', 'hop_limit', 'loop',
              'half', 'congestion')
FROM_SOCKET = ('udp_malformed', 'unknown_connection', 'no_knock', 'handshake_limit', 'no_memory')
FROM_HANDSHAKES = ('handshake_failed', 'stranger', 'control_malformed', 'control_limit')

# What came in, and what became of it.
SUMS = {
    'packets to links': (('tun_rx_packets', 'forwarded_packets', 'icmp_tx_packets', 'split_packets'),
                         ('tx_packets', 'queued_packets'), FROM_TUN),
    'frames from links': (('rx_frames',), ('rx_packets', 'forwarded_packets', 'joined_frames', 'waiting_frames'), FROM_LINKS),
    'packets to the TUN': (('rx_packets', 'icmp_packets'), ('tun_tx_packets',), ()),
    'datagrams from the socket': (('rx_datagrams',), ('link_datagrams', 'retries'), FROM_SOCKET),
    'datagrams to the socket': (('tx_datagrams',),
                                ('udp_sent', 'udp_no_buffer', 'udp_unreachable', 'udp_too_big', 'udp_failed'), ()),
}


def check(counters):
    """The books of one moment, also while packets come and go."""
    drops = counters['drops']
    known = {*FROM_TUN, *FROM_LINKS, *FROM_SOCKET, *FROM_HANDSHAKES}
    assert set(drops) == known, set(drops) ^ known
    for what, (income, spent, dropped) in SUMS.items():
        left = sum(counters[name] for name in income)
        right = sum(counters[name] for name in spent) + sum(drops[name] for name in dropped)
        assert left == right, f'{what}: {left} came, of {right} it is known what became of them: {counters}'


def agrees_with_kernel(node):
    """Whether the kernel has counted as many packets of the interface; only in a quiet moment."""
    stats = json.loads(node.host.ip('-j', '-s', 'link', 'show', 'dev', pair.TUN).stdout)[0]['stats64']
    counters = node.status()['counters']
    return (stats['tx']['packets'], stats['rx']['packets']) == (counters['tun_reads'], counters['tun_writes'])
