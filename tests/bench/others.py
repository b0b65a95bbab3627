# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Other tunnels, each with the configuration that its documentation gives to two hosts with a fixed address.

They are Debian's packages, which ./dev bench unpacks (and does not install) into a folder, with the libraries that they
need.
"""
import json
import pathlib

from pair import inside, outside
from tunnels import INSIDE_LENGTH, Tunnel


class Other(Tunnel):
    program = None  # its path in the folder

    @classmethod
    def is_there(cls, others):
        return (others / cls.program).exists()

    def words(self, path, *words):
        libraries = (self.others / 'usr/lib').glob('*-linux-gnu')
        return 'env', f'LD_LIBRARY_PATH={":".join(map(str, libraries))}', self.others / path, *words

    def call(self, number, path, *words, **options):
        """One of its tools; returns what it prints."""
        return self.host(number).run(*self.words(path, *words), **options).stdout.strip()

    def launch(self, number, *words):
        process = self.host(number).spawn(pathlib.Path(self.program).name, *self.words(self.program, *words))
        self.processes.append(process)

    def file(self, number, name, text=None):
        """A file of that host, written if there is a text."""
        path = self.hosts[0].lab.dir / f'{self.host(number).name}.d' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text)
        return path


class WireGuardGo(Other):
    """Its control socket is named after the interface and not in the namespace, hence two names."""

    program = 'usr/bin/wireguard-go'

    def prepare(self):
        self.keys = {}
        for number in (1, 2):
            private = self.call(number, 'usr/bin/wg', 'genkey')
            self.file(number, 'key', private)
            self.keys[number] = self.call(number, 'usr/bin/wg', 'pubkey', stdin=private)

    def start(self, number):
        name = f'wg-{self.host(number).netns[-12:]}'
        self.launch(number, '-f', name)
        self.wait_interface(number, name)
        self.call(number, 'usr/bin/wg', 'set', name, 'listen-port', 51820, 'private-key', self.file(number, 'key'),
                  'peer', self.keys[3 - number], 'allowed-ips', f'{inside(3 - number)}/32',
                  'endpoint', f'{outside(3 - number)}:51820')
        self.raise_interface(number, name)


class OpenVpn(Other):
    """Without a server's additions: two ends that know each other's certificate."""

    program = 'usr/sbin/openvpn'

    def prepare(self):
        self.prints = {}
        for number in (1, 2):
            key, certificate = self.file(number, 'key'), self.file(number, 'certificate')
            self.host(number).run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                                  '-keyout', key, '-out', certificate, '-days', 2, '-subj', f'/CN={number}')
            said = self.host(number).run('openssl', 'x509', '-in', certificate, '-noout', '-fingerprint', '-sha256').stdout
            self.prints[number] = said.strip().rpartition('=')[2]

    def start(self, number):
        role = ['--tls-server', '--dh', 'none'] if number == 2 else ['--tls-client']
        self.launch(number, '--dev', 'tun', '--proto', 'udp4', '--port', 1194, '--remote', outside(3 - number), *role,
                    '--ifconfig', inside(number), inside(3 - number), '--data-ciphers', 'AES-256-GCM',
                    '--key', self.file(number, 'key'), '--cert', self.file(number, 'certificate'),
                    '--peer-fingerprint', self.prints[3 - number])


class Fastd(Other):
    program = 'usr/bin/fastd'

    def prepare(self):
        self.keys = {}
        for number in (1, 2):
            said = self.call(number, self.program, '--generate-key').splitlines()
            self.keys[number] = {line.partition(':')[0].lower(): line.partition(':')[2].strip() for line in said}

    def start(self, number):
        config = self.file(number, 'config', f'''
            mode tun;
            interface "fastd";
            mtu 1426;
            method "aes128-gcm";
            bind {outside(number)}:10000;
            secret "{self.keys[number]['secret']}";
            peer "other" {{
                key "{self.keys[3 - number]['public']}";
                remote {outside(3 - number)}:10000;
            }}
        ''')
        self.launch(number, '--config', config)
        self.wait_interface(number, 'fastd')
        self.raise_interface(number, 'fastd')


class Nebula(Other):
    program = 'usr/bin/nebula'

    def prepare(self):
        tool, authority = 'usr/bin/nebula-cert', self.file(1, 'ca')
        self.call(1, tool, 'ca', '-name', 'bench', '-out-crt', f'{authority}.crt', '-out-key', f'{authority}.key')
        for number in (1, 2):
            self.call(number, tool, 'sign', '-name', f'host{number}', '-ip', f'{inside(number)}/{INSIDE_LENGTH}',
                      '-ca-crt', f'{authority}.crt', '-ca-key', f'{authority}.key',
                      '-out-crt', self.file(number, 'crt'), '-out-key', self.file(number, 'key'))
            anything = [{'port': 'any', 'proto': 'any', 'host': 'any'}]
            self.file(number, 'config.yml', json.dumps({  # which is YAML as well
                'pki': {'ca': f'{authority}.crt', 'cert': str(self.file(number, 'crt')), 'key': str(self.file(number, 'key'))},
                'static_host_map': {inside(3 - number): [f'{outside(3 - number)}:4242']},
                'lighthouse': {'am_lighthouse': False, 'hosts': []},
                'listen': {'host': outside(number), 'port': 4242},
                'tun': {'dev': 'nebula'},
                'firewall': {'outbound': anything, 'inbound': anything},
            }))

    def start(self, number):
        self.launch(number, '-config', self.file(number, 'config.yml'))


class Tinc(Other):
    program = 'usr/sbin/tincd'

    def folder(self, number):
        return self.file(number, 'tinc.conf').parent

    def prepare(self):
        for number in (1, 2):
            other = 3 - number
            self.file(number, 'tinc.conf', f'Name = host{number}\nConnectTo = host{other}\nInterface = tinc\n')
            self.file(number, f'hosts/host{number}', f'Address = {outside(number)}\nSubnet = {inside(number)}/32\n')
            self.call(number, self.program, '--config', self.folder(number), '--generate-keys=2048')
        for number in (1, 2):
            self.file(number, f'hosts/host{3 - number}', self.file(3 - number, f'hosts/host{3 - number}').read_text())

    def start(self, number):
        self.launch(number, '--config', self.folder(number), '--pidfile', self.file(number, 'pid'), '--no-detach')
        self.wait_interface(number, 'tinc')
        self.raise_interface(number, 'tinc')


class Yggdrasil(Other):
    """Its addresses are IPv6, and follow from its keys."""

    program = 'usr/sbin/yggdrasil'

    def prepare(self):
        self.addresses = {}
        for number in (1, 2):
            config = json.loads(self.call(number, self.program, '-genconf', '-json'))
            config |= {'IfName': 'ygg', 'AdminListen': 'none', 'MulticastInterfaces': [],
                       'Listen': [f'tcp://{outside(number)}:9001'],
                       'Peers': [f'tcp://{outside(2)}:9001'] if number == 1 else []}
            path = self.file(number, 'config', json.dumps(config))
            self.addresses[number] = self.call(number, self.program, '-useconffile', path, '-address')

    def start(self, number):
        self.launch(number, '-useconffile', self.file(number, 'config'))

    def address(self, number):
        return self.addresses[number]


OTHERS = {
    'wireguard-go': WireGuardGo,
    'openvpn': OpenVpn,
    'fastd': Fastd,
    'nebula': Nebula,
    'tinc': Tinc,
    'yggdrasil': Yggdrasil,
}
