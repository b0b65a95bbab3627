# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A laboratory for network tests and the demo: hosts made of network namespaces on this machine.

    with Lab() as lab:
        left, right = lab.host('left'), lab.host('right')
        lab.link(left, 'eth0', '10.0.0.1/24', right, 'eth0', '10.0.0.2/24 2001:db8::2/64')
        assert left.pings('10.0.0.2')

Whatever way the block is left, its processes are ended (by their ids) and its namespaces and files removed; if it is left by an
exception, the ends of all logs are shown first. Names hold a random part, so labs can run side by side. Nothing here
sleeps for a fixed time: wait_until() looks again until a deadline.

Standard library only; Python 3.12 or newer (os.setns); root.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
DEADLINE = 10  # seconds, for whatever should happen at once on an idle machine
SETTLED = 5    # seconds without a change: far more than tcpdump lets packets wait
LOG_LINES = 30
SANITIZER = re.compile(r'(WARNING|ERROR): \w+Sanitizer|runtime error:')


class Failed(Exception):
    """What was to happen did not."""


def wait_until(what, condition, deadline=DEADLINE, interval=0.02):
    """Calls condition() until it returns something true, and returns that; what: in words, for the failure."""
    end = time.monotonic() + deadline
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Failed(f'after {deadline} s still not: {what}')
        time.sleep(interval)


def command(*words, check=True, stdin=None, timeout=60):
    """Runs a program to its end; returns its CompletedProcess with text in stdout and stderr."""
    done = subprocess.run([str(word) for word in words], input=stdin, stdin=None if stdin else subprocess.DEVNULL,
                          capture_output=True, text=True, errors='replace', timeout=timeout)
    if check and done.returncode:
        raise Failed(f'{" ".join(map(str, words))}: exit status {done.returncode}\n{done.stdout}{done.stderr}'.rstrip())
    return done


def find_quicether():
    """The program: as ./dev test gives it, or where ./dev build puts it."""
    candidates = [TOP / build / 'src/cli/quicether' for build in ('build', 'build-trixie')]
    path = pathlib.Path(os.environ.get('QUICETHER') or next(filter(os.path.exists, candidates), 'quicether'))
    if not path.exists():
        raise Failed('the program is not built: sudo ./dev build')
    return path


class Process:
    """A program that runs on a host until stopped; what it says goes to a log."""

    def __init__(self, host, name, words):
        self.name = f'{host.name}-{name}'
        self.log = host.lab.dir / f'{self.name}-{len(host.lab.processes)}.log'
        with self.log.open('wb') as log:
            self.popen = subprocess.Popen(host.words(words), stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def said(self):
        return self.log.read_text(errors='replace')

    def wait_said(self, text, deadline=DEADLINE):
        def heard():
            if text not in self.said() and not self.alive():
                raise Failed(f'{self.name} ended before it said "{text}"')
            return text in self.said()
        wait_until(f'{self.name} says "{text}"', heard, deadline)

    def wait(self, deadline=DEADLINE):
        """Its exit status, negative for a signal."""
        try:
            return self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            raise Failed(f'{self.name} still runs after {deadline} s') from None

    def signal(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def stop(self, deadline=DEADLINE):
        self.signal(signal.SIGTERM)
        return self.wait(deadline)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def cpu_seconds(self):
        """User and system time of all its threads."""
        fields = pathlib.Path(f'/proc/{self.pid}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Host:
    """A network namespace with a loopback interface and what links add to it."""

    def __init__(self, lab, name):
        self.lab, self.name, self.etc, self.etc_holder = lab, name, None, None
        self.netns = f'{lab.name}-{name}'
        lab.hosts.append(self)
        command('ip', 'netns', 'add', self.netns)
        self.sysctl('net.ipv6.conf.default.accept_dad', 0)
        self.sysctl('net.ipv6.conf.all.accept_dad', 0)
        self.ip('link', 'set', 'lo', 'up')

    def words(self, words):
        if self.etc_holder:
            enter = ['nsenter', f'--target={self.etc_holder.pid}', '--mount', '--root', '--wd', '--net']
        else:
            enter = ['ip', 'netns', 'exec', self.netns]
        return [*enter, *map(str, words)]

    def own_etc(self, resolv_conf='', own_run=False):
        """From now on its programs have a copy of /etc, which is theirs to change; self.etc is where it can be looked at.

        own_run: and a /run, which is empty; self.inner() says where its files can be looked at."""
        self.etc = self.lab.dir / f'{self.name}.etc'
        shutil.copytree('/etc', self.etc, symlinks=True)
        (self.etc / 'resolv.conf').unlink(missing_ok=True)
        (self.etc / 'resolv.conf').write_text(resolv_conf)
        run = 'mount -t tmpfs tmpfs /run &&' if own_run else ''
        holder = self.spawn('etc', 'sh', '-c', f'mount --bind {self.etc} /etc && {run} echo mounted && exec sleep infinity')
        holder.wait_said('mounted')
        self.etc_holder = holder

    def inner(self, path):
        """Where a file of a host with its own /etc is seen from outside."""
        return pathlib.Path(f'/proc/{self.etc_holder.pid}/root{path}')

    def run(self, *words, **options):
        """Runs a program on this host to its end; options as for command()."""
        return command(*self.words(words), **options)

    def spawn(self, name, *words):
        """Starts a program on this host, which lives until stopped or until the lab ends."""
        process = Process(self, name, words)
        self.lab.processes.append(process)
        return process

    def ip(self, *words, **options):
        return command('ip', '-n', self.netns, *words, **options)

    def nft(self, rules):
        return self.run('nft', '-f', '-', stdin=rules)

    def sysctl(self, key, value):
        self.run('sysctl', '-q', '-w', f'{key}={value}')

    def address(self, interface, *addresses):
        for address in addresses:
            self.ip('address', 'add', address, 'dev', interface, *(['nodad'] if ':' in address else []))

    def route(self, prefix, via):
        self.ip('-6' if ':' in via else '-4', 'route', 'replace', prefix, 'via', via)

    def interfaces(self):
        return [link['ifname'] for link in json.loads(self.ip('-j', 'link').stdout)]

    def pings(self, address, *options, timeout=2):
        """Whether one echo request is answered."""
        return self.run('ping', '-n', '-c', 1, '-W', timeout, *options, address, check=False).returncode == 0

    def forward(self):
        """Makes it a router."""
        self.sysctl('net.ipv4.ip_forward', 1)
        self.sysctl('net.ipv6.conf.all.forwarding', 1)

    def masquerade(self, interface, udp_timeout=None):
        """Makes it a NAT for what leaves by an interface, with a port of its own choice; forgets UDP after so many s."""
        self.nft(f'''table inet nat {{
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                oifname "{interface}" masquerade fully-random
            }}
        }}''')
        if udp_timeout:
            self.sysctl('net.netfilter.nf_conntrack_udp_timeout', udp_timeout)
            self.sysctl('net.netfilter.nf_conntrack_udp_timeout_stream', udp_timeout)

    def forget_nat(self):
        """Drops all NAT bindings, as a home router does when it restarts."""
        self.run('conntrack', '-F')

    def lose(self, percent):
        """Of the packets that it forwards, so many are lost."""
        self.nft(f'''table inet loss {{
            chain forward {{
                type filter hook forward priority filter;
                numgen random mod 1000 <= {round(10 * percent) - 1} drop
            }}
        }}''')

    def capture(self, interface, *filters):
        return Capture(self, interface, filters)

    @contextlib.contextmanager
    def inside(self):
        """This thread is on the host in the block; a socket made there stays there."""
        own = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        try:
            with open(f'/run/netns/{self.netns}', 'rb') as theirs:
                os.setns(theirs, os.CLONE_NEWNET)
            try:
                yield
            finally:
                os.setns(own, os.CLONE_NEWNET)
        finally:
            os.close(own)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, timeout=DEADLINE):
        with self.inside():
            made = socket.socket(family, kind)
        made.settimeout(timeout)
        return made

    def accept_on(self, address, port):
        """A listening TCP socket on this host."""
        listener = self.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        return listener

    def connect_to(self, address, port, timeout=DEADLINE):
        """A connected TCP socket on this host."""
        made = self.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, timeout=timeout)
        made.connect((address, port))
        return made


class Capture:
    """tcpdump on one interface of a host, whole packets, into a file."""

    counts, since = None, 0

    def __init__(self, host, interface, filters):
        self.path = host.lab.dir / f'{host.name}-{interface}-{len(host.lab.processes)}.pcap'
        self.process = host.spawn(f'tcpdump-{interface}', 'tcpdump', '-i', interface, '-n', '-s', 0, '-B', 262144,
                                  '-Z', 'root', '-w', self.path, *filters)
        self.process.wait_said('listening on')

    def is_up_to_date(self):
        """Whether it has written all that the kernel has for it, by the counts that it tells on SIGUSR1. What came before its filter was
        set counts as received, and is never written: then they do not change any more."""
        before = len(self.process.said())
        self.process.signal(signal.SIGUSR1)
        wait_until('tcpdump tells its counts', lambda: 'kernel' in self.process.said()[before:], interval=0.001)
        counts = captured, received, dropped = [int(count) for count in re.findall(r'\d+', self.process.said()[before:])[:3]]
        if counts != self.counts:
            self.counts, self.since = counts, time.monotonic()
        return captured + dropped >= received or time.monotonic() - self.since > SETTLED

    def end(self):
        wait_until('tcpdump has written all packets', self.is_up_to_date)
        self.process.signal(signal.SIGINT)
        self.process.wait()

    def packets(self):
        """Yields the packets, after end()."""
        return read_pcap(self.path)

    def stop(self):
        """Ends it; returns the packets as a list: not for very many."""
        self.end()
        return list(self.packets())

    def dropped(self):
        """How many packets the kernel could not give to it."""
        return int(re.findall(r'(\d+) packets? dropped by kernel', self.process.said())[-1])


class Packet:
    """One captured packet: protocol is 'udp', 'tcp', 'icmp', 'icmp6', 'arp' or a number; ports and payload as there are."""

    PROTOCOLS = {1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp6'}

    def __init__(self, seconds, data):
        self.seconds, self.data = seconds, data
        self.protocol, self.source, self.destination = None, None, None
        self.source_port, self.destination_port, self.payload = None, None, b''
        kind = int.from_bytes(data[12:14])
        if kind == 0x0806:
            self.protocol = 'arp'
        elif kind == 0x0800:
            self.parse_ip(data[14:], socket.AF_INET, 4 * (data[14] & 15), 9, 12, 4)
        elif kind == 0x86dd:
            self.parse_ip(data[14:], socket.AF_INET6, 40, 6, 8, 16)
        else:
            self.protocol = kind

    def parse_ip(self, packet, family, header, protocol_at, source_at, size):
        self.protocol = self.PROTOCOLS.get(packet[protocol_at], packet[protocol_at])
        self.source = socket.inet_ntop(family, packet[source_at:source_at + size])
        self.destination = socket.inet_ntop(family, packet[source_at + size:source_at + 2 * size])
        body = packet[header:]
        if self.protocol in ('udp', 'tcp'):
            self.source_port, self.destination_port = int.from_bytes(body[:2]), int.from_bytes(body[2:4])
            self.payload = body[8:] if self.protocol == 'udp' else body[4 * (body[12] >> 4):]
        else:
            self.payload = body

    def __repr__(self):
        return f'{self.protocol} {self.source}.{self.source_port} > {self.destination}.{self.destination_port}'


def read_pcap(path):
    """The packets of a pcap file of Ethernet frames."""
    with open(path, 'rb') as file:
        head = file.read(24)
        order = 'little' if head[:4] in (b'\xd4\xc3\xb2\xa1', b'\x4d\x3c\xb2\xa1') else 'big'
        fraction = 1e-9 if head[:4] in (b'\x4d\x3c\xb2\xa1', b'\xa1\xb2\x3c\x4d') else 1e-6
        if int.from_bytes(head[20:24], order) != 1:
            raise Failed(f'{path} does not hold Ethernet frames')
        while len(record := file.read(16)) == 16:
            whole, part, length = (int.from_bytes(record[at:at + 4], order) for at in (0, 4, 8))
            yield Packet(whole + part * fraction, file.read(length))


class Lab:
    """All hosts and processes of one test."""

    def __init__(self, name='qe'):
        if os.geteuid() != 0:
            sys.exit('network namespaces need root: sudo ./dev test net/')
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f'{name}-', dir='/tmp'))
        self.name = self.dir.name
        self.hosts, self.processes, self.kept = [], [], False

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.interrupted)
        return self

    def __exit__(self, kind, _value, _trace):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if kind and issubclass(kind, Exception):
            self.show_logs()
        if self.kept and not kind:
            return
        self.end_processes()
        found = self.find_sanitizer()
        self.close()
        if found and not kind:
            raise Failed(found)

    def find_sanitizer(self):
        """What a sanitizer has said in the log of a process: the program may be built with one."""
        for process in self.processes:
            if found := SANITIZER.search(said := process.said()):
                return f'{process.name}:\n{said[found.start():][:8000]}'
        return None

    @staticmethod
    def interrupted(number, _frame):
        sys.exit(128 + number)

    def keep(self):
        """Hosts and processes stay up when the block is left in peace."""
        self.kept = True

    def host(self, name):
        return Host(self, name)

    def router(self, name):
        router = self.host(name)
        router.forward()
        return router

    def link(self, one, one_interface, one_addresses, other, other_interface, other_addresses, mtu=1500):
        """A cable between two hosts; addresses with lengths, several with spaces between them."""
        one.ip('link', 'add', one_interface, 'mtu', mtu, 'type', 'veth',
               'peer', 'name', other_interface, 'mtu', mtu, 'netns', other.netns)
        for host, interface, addresses in ((one, one_interface, one_addresses), (other, other_interface, other_addresses)):
            host.address(interface, *addresses.split())
            host.ip('link', 'set', interface, 'up')
        # IPv6 needs the carrier of both ends before it uses an address.
        for host, interface in ((one, one_interface), (other, other_interface)):
            wait_until(f'{interface} of {host.name} is up', lambda host=host, interface=interface:
                       json.loads(host.ip('-j', 'link', 'show', 'dev', interface).stdout)[0]['operstate'] == 'UP')

    def show_logs(self):
        for process in self.processes:
            lines = process.said().splitlines()
            print(f'-- {process.name}, {len(lines)} lines, '
                  f'{"runs" if process.alive() else f"ended with {process.popen.returncode}"}', file=sys.stderr)
            print(''.join(f'   | {line}\n' for line in lines[-LOG_LINES:]), end='', file=sys.stderr)

    def end_processes(self):
        running = [process for process in self.processes if process.alive()]
        for process in running:
            process.signal(signal.SIGTERM)
        end = time.monotonic() + 3
        for process in running:
            try:
                process.popen.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def close(self):
        for host in self.hosts:
            for pid in command('ip', 'netns', 'pids', host.netns, check=False).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            command('ip', 'netns', 'delete', host.netns, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


class Node:
    """quicether on a host: its key, configuration, control socket and daemon."""

    PORT = 7844

    def __init__(self, host, key_type=None):
        self.host, self.name = host, host.name
        self.program = find_quicether()
        self.dir = host.lab.dir / f'{host.name}.d'
        self.dir.mkdir(exist_ok=True)
        self.config, self.socket, self.daemon = self.dir / 'config.toml', self.dir / 'quicether.sock', None
        self.key = self.dir / 'node.key'
        made = self.json('keygen', '--out', self.key, *(['--type', key_type] if key_type else []))
        self.id, self.overlay = made['id'], made['overlay']

    def words(self, *words):
        return [self.program, *words]

    def run(self, *words, **options):
        return self.host.run(*self.words(*words), **options)

    def json(self, *words, **options):
        return json.loads(self.run(*words, '--json', **options).stdout)

    def call(self, *words, **options):
        """A command that asks the daemon, with --json."""
        return self.json(*words, '--socket', self.socket, **options)

    def as_peer(self, **keys):
        """This node as a row of another's [[peers]]."""
        return {'name': self.name, 'id': self.id, **keys}

    def configure(self, peers=(), **sections):
        """Writes the configuration: configure(peers=[other.as_peer(...)], network={'tun_addr': [...]})."""
        node = {'name': self.name, 'key_file': str(self.key)} | sections.pop('node', {})
        sections = {'performance': {'workers': 1}} | sections  # whatever the machine has
        lines = []
        for section, keys in {'[node]': node, **{f'[{name}]': keys for name, keys in sections.items()}}.items():
            lines += [section, *toml(keys)]
        for peer in peers:
            lines += ['[[peers]]', *toml(peer)]
        self.config.write_text('\n'.join(lines) + '\n')

    def start(self, *flags, ready=True, deadline=DEADLINE):
        """Starts the daemon in the foreground, with its configuration if there is one."""
        config = ['--config', self.config] if self.config.exists() else []
        self.daemon = self.host.spawn('quicether', *self.words('start', '--socket', self.socket, *config, *flags))
        if ready:
            wait_until(f'{self.name} is ready', self.is_ready, deadline)
        return self.daemon

    def is_ready(self):
        if not self.daemon.alive():
            raise Failed(f'quicether on {self.name} ended with {self.daemon.popen.returncode}:\n{self.daemon.said()}')
        return self.run('status', '--socket', self.socket, '--json', check=False).returncode == 0

    def status(self):
        return self.call('status')

    def peers(self):
        """The peers by name (or NodeId, for those without one)."""
        return {peer.get('name') or peer['id']: peer for peer in self.call('peers')['peers']}

    def peer(self, other):
        """The row of another node."""
        return next((peer for peer in self.call('peers')['peers'] if peer['id'] == other.id), None)

    def wait_connected(self, *others, deadline=DEADLINE):
        for other in others:
            wait_until(f'{self.name} is connected to {other.name}',
                       lambda other=other: self.peer(other)['state'] == 'connected', deadline)

    def stop(self):
        """By its own command; returns the daemon's exit status."""
        self.run('stop', '--socket', self.socket)
        return self.daemon.wait()

    def kill(self):
        return self.daemon.kill()


def toml(keys):
    """Strings, numbers, booleans and lists are written in TOML as in JSON."""
    return [f'{key} = {json.dumps(value)}' for key, value in keys.items()]
