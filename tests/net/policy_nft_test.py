#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Verdicts beside those of nftables: random policies, and the same rules in the kernel; 10^5 random packets for both.

    judge: policy_nft --- policy0 (TUN) --- table inet policy, which tells by nfnetlink_log
"""
import pathlib

from lab import Failed, Lab, find_quicether

PROGRAM = pathlib.Path(find_quicether()).resolve().parents[2] / 'tests/net/policy_nft'
SETS, PACKETS = 250, 400


def main():
    with Lab('qe-policy-nft') as lab:
        done = lab.host('judge').run(PROGRAM, SETS, PACKETS, check=False, timeout=200)
        print(done.stdout, end='')
        if done.returncode:
            raise Failed(f'{PROGRAM.name}: exit status {done.returncode}\n{done.stderr}')


if __name__ == '__main__':
    main()
