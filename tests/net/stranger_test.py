#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What somebody without a known key gets: nothing, and what somebody on the way sees: nothing but UDP on one port.

    friend 10.0.1.2 ------ router ------ 10.0.3.2 victim
    100.64.0.2               |                    100.64.0.1
                         10.0.2.2
                         stranger

What is said of the wire is seen at the victim's interface. In the end the victim also knows a node called absent, which it
expects at the stranger's address.
"""
import pathlib
import random
import re
from socket import AF_INET, SOCK_DGRAM

import pair
from lab import Lab, Node, wait_until

MARKER = b'known plaintext, which nobody on the way may read'
FRIEND, STRANGER, VICTIM = '10.0.1.2', '10.0.2.2', '10.0.3.2'
NOISE, BURST = 20000, 200
GROWTH_MAX = 4 << 20  # bytes that the daemon may grow by under noise


# -- the wire ----------------------------------------------------------------------------------------------------------


def is_housekeeping(packet):
    """Of the host's own kernel, which finds its neighbours and listeners."""
    return packet.protocol == 'arp' or ':' in packet.source


def between(packets, source, destination):
    return [packet for packet in packets if (packet.source, packet.destination) == (source, destination)]


def send_marker(client, server, address):
    """By TCP and UDP, and by ping, each with the marker over and over; it arrives."""
    data = MARKER * 5000
    with server.accept_on(address, 5001) as listener, client.connect_to(address, 5001) as here:
        there, _ = listener.accept()
        with there:
            here.sendall(data)
            received = b''
            while len(received) < len(data):
                received += there.recv(1 << 20)
            assert received == data
    with server.socket(AF_INET, SOCK_DGRAM) as there, client.socket(AF_INET, SOCK_DGRAM) as here:
        there.bind((address, 5002))
        here.sendto(MARKER, (address, 5002))
        assert there.recv(1500) == MARKER
    assert client.pings(address, '-p', MARKER[:16].hex())


def check_wire(victim, friend):
    """Returns what the friend sent, from its first packet on."""
    capture = victim.host.capture('eth0')
    friend.start()
    victim.wait_connected(friend)
    friend.wait_connected(victim)
    send_marker(friend.host, victim.host, pair.inside(1))
    send_marker(victim.host, friend.host, pair.inside(2))
    packets = capture.stop()
    carried = between(packets, FRIEND, VICTIM) + between(packets, VICTIM, FRIEND)
    assert sum(len(packet.data) for packet in carried) > 4 * 5000 * len(MARKER) // 2
    for packet in packets:
        assert is_housekeeping(packet) or packet in carried, packet
        assert MARKER[:16] not in packet.data
    assert all(packet.protocol == 'udp' and {packet.source_port, packet.destination_port} == {Node.PORT} for packet in carried)
    check_capture_sees(victim.host, friend.host)
    return [packet.payload for packet in between(packets, FRIEND, VICTIM)]


def check_capture_sees(victim, friend):
    """The same marker outside of the tunnel is found."""
    capture = victim.capture('eth0')
    send_marker(friend, victim, VICTIM)
    packets = capture.stop()
    assert sum(MARKER[:16] in packet.data for packet in packets) > 3


# -- strangers ---------------------------------------------------------------------------------------------------------


def counters(node):
    return node.status()['counters']


def drops(node, reason):
    return counters(node)['drops'][reason]


def check_is_well(victim, friend):
    """The victim has its link to the friend, and no other."""
    peer = victim.peer(friend)
    assert peer['state'] == 'connected' and peer['link']['remote'] == pair.endpoint(FRIEND), peer
    assert victim.status()['peers']['connected'] == 1
    assert friend.host.pings(pair.inside(1))


def check_answers_are_small(packets):
    """Until an address is validated it gets three times what came from there at most."""
    asked, answered = (sum(len(packet.payload) for packet in between(packets, *ends))
                       for ends in ((STRANGER, VICTIM), (VICTIM, STRANGER)))
    assert answered <= 3 * asked, (asked, answered)


def check_stranger(victim, friend, stranger):
    """It knows the victim's NodeId and address, but the victim does not know it."""
    before = counters(victim)
    capture = victim.host.capture('eth0', 'host', STRANGER)
    stranger.configure(network=pair.own(9), peers=[pair.row(victim, 1, dial=VICTIM)])
    stranger.start()

    def refused():
        assert stranger.peer(victim)['state'] != 'connected'
        assert not stranger.host.pings(pair.inside(1), timeout=0.1)
        return drops(victim, 'stranger') >= before['drops']['stranger'] + 3
    wait_until('the victim has refused the stranger three times', refused)
    victim.daemon.wait_said(stranger.id)
    assert counters(stranger)['handshakes'] == 0
    after = counters(victim)
    assert all(after[count] == before[count] for count in ('handshakes', 'rx_packets')), (before, after)
    assert set(victim.peers()) == {'friend'}
    assert stranger.stop() == 0
    check_answers_are_small(capture.stop())
    check_is_well(victim, friend)


def check_impostor(victim, absent, stranger):
    """Another key listens where the victim expects the absent node: it does not even see that it is asked for another."""
    capture = victim.host.capture('eth0', 'host', STRANGER)
    stranger.configure(network=pair.own(9), peers=[pair.row(victim, 1)])
    stranger.start()
    wait_until('the victim has knocked at the impostor', lambda: drops(stranger, 'no_knock') >= 3)
    assert victim.peer(absent)['state'] != 'connected' and stranger.peer(victim)['state'] != 'connected'
    assert counters(stranger)['handshakes'] == 0
    assert stranger.stop() == 0
    packets = capture.stop()
    assert between(packets, VICTIM, STRANGER)
    assert not [packet for packet in between(packets, STRANGER, VICTIM) if packet.protocol == 'udp']


def check_absent_returns(victim, absent, stranger):
    """With the right key it is welcome, and nobody bears it a grudge."""
    stranger.configure(node={'key_file': str(absent.key)}, network=pair.own(3), peers=[pair.row(victim, 1)])
    stranger.start()
    victim.wait_connected(absent)
    wait_until('traffic flows', lambda: victim.host.pings(pair.inside(3), timeout=0.2))
    assert stranger.stop() == 0


# -- noise -------------------------------------------------------------------------------------------------------------


def long_header(first, version, dcid, size):
    head = bytes([first]) + version.to_bytes(4) + bytes([len(dcid)]) + dcid + b'\x08' + random.randbytes(8) + b'\0\x44\x00'
    return head + random.randbytes(max(0, size - len(head)))


def noise(first_packets):
    """One packet of any kind that might make a careless node answer."""
    version = random.choice((1, 1, 0x6b3343cf, 0, 0xff00001d, 0x1a2a3a4a, random.getrandbits(32)))
    kinds = (
        lambda: random.randbytes(random.randrange(1473)),
        lambda: long_header(random.choice(range(0xc0, 0x100, 4)), version, random.randbytes(random.randrange(21)), 1200),
        lambda: long_header(0xc0, 1, random.randbytes(20), random.choice((1200, 1250, 1472))),
        lambda: bytes([random.randrange(0x40, 0x80)]) + random.randbytes(random.randrange(1, 1400)),
        lambda: with_another_cid(random.choice(first_packets)),
    )
    return random.choice(kinds)()


def with_another_cid(packet):
    return packet[:6] + random.randbytes(packet[5]) + packet[6 + packet[5]:]


def resident(node):
    status = pathlib.Path(f'/proc/{node.daemon.pid}/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+) kB', status)[1]) << 10


def shower(victim, host, packets):
    """Sends all, no faster than the victim takes them, so that each is looked at; from the port of a node."""
    with host.socket(AF_INET, SOCK_DGRAM) as sender:
        sender.bind((STRANGER, Node.PORT))
        taken = counters(victim)['rx_datagrams']
        for at in range(0, len(packets), BURST):
            burst = packets[at:at + BURST]
            for packet in burst:
                sender.sendto(packet, (VICTIM, Node.PORT))
            taken += sum(map(bool, burst))  # an empty one is none
            wait_until('the victim has taken the burst', lambda: counters(victim)['rx_datagrams'] >= taken, interval=0.001)


def check_silence(victim, friend, host, packets):
    """No answer of any kind, no state, and nothing of it hurts."""
    capture = victim.host.capture('eth0', 'host', STRANGER, 'and', 'src', VICTIM)
    before, handshakes = resident(victim), counters(victim)['handshakes']
    shower(victim, host, packets)
    grown = resident(victim) - before
    answers = [packet for packet in capture.stop() if not is_housekeeping(packet)]
    assert not answers, answers[:5]
    assert grown <= GROWTH_MAX, grown
    assert counters(victim)['handshakes'] == handshakes
    check_is_well(victim, friend)
    print(f'{len(packets)} packets: no answer, {grown >> 10} KiB more')


def check_replay_after_restart(victim, friend, host, sent):
    """The victim does not remember what opened it before it was started again; still it gives little away."""
    capture = victim.host.capture('eth0', 'host', STRANGER)
    shower(victim, host, sent)
    packets = capture.stop()
    check_answers_are_small(packets)
    wait_until('the friend is back', lambda: friend.host.pings(pair.inside(1), timeout=0.2))
    check_is_well(victim, friend)
    print(f'{len(sent)} old packets after a restart: {len(between(packets, VICTIM, STRANGER))} answers')


# -- all of it ---------------------------------------------------------------------------------------------------------


def build(lab):
    friend, stranger, victim = (lab.host(name) for name in ('friend', 'stranger', 'victim'))
    router = lab.router('router')
    for number, (host, address) in enumerate(((friend, FRIEND), (stranger, STRANGER), (victim, VICTIM)), 1):
        lab.link(host, 'eth0', f'{address}/24', router, f'to{number}', f'10.0.{number}.1/24')
        host.route('default', f'10.0.{number}.1')
        host.run('ethtool', '-K', 'eth0', 'tx-udp-segmentation', 'off')  # so that captures show packets, not trains
    return Node(victim), Node(friend), Node(stranger), Node(lab.host('absent'))


def main():
    seed = random.randrange(1 << 32)
    random.seed(seed)
    print(f'seed {seed}')
    with Lab() as lab:
        victim, friend, stranger, absent = build(lab)
        known = pair.row(friend, 2)
        victim.configure(network=pair.own(1), peers=[known])
        friend.configure(network=pair.own(2), peers=[pair.row(victim, 1, dial=VICTIM)])
        victim.start()
        sent = check_wire(victim, friend)
        first_packets = [packet for packet in sent if packet[0] & 0x80]
        assert first_packets
        check_stranger(victim, friend, stranger)
        check_silence(victim, friend, stranger.host, [noise(first_packets) for _ in range(NOISE)])
        check_silence(victim, friend, stranger.host, 50 * first_packets + sent)
        assert victim.stop() == 0
        victim.start()
        check_replay_after_restart(victim, friend, stranger.host, 50 * first_packets + sent)
        assert victim.stop() == 0
        victim.configure(network=pair.own(1), peers=[known, pair.row(absent, 3, dial=STRANGER)])
        victim.start()
        check_impostor(victim, absent, stranger)
        check_absent_returns(victim, absent, stranger)


if __name__ == '__main__':
    main()
