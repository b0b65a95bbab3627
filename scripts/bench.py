#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Build and run the benchmarks: ./dev bench [NAME] [--rounds N] [--subjects A,B] [--json FILE]

A suite yields samples: subject, measure, unit, value. It takes them in rounds, and in each round all subjects have
their turn, so that what slows the machine for a while slows all of them. A row of the results is the median of the
samples of one subject and measure, with minimum and maximum.
"""
import argparse
import datetime
import functools
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import build
import chart

sys.path[:0] = [str(build.TOP / 'tests/net'), str(build.TOP / 'tests/bench')]

OTHERS = build.TOP / f'{build.variant().dir.name}-others'  # what ./dev has fetched of other tunnels
DOCS = build.TOP / 'docs/benchmarks'
QUIET = 0.3  # of the load average; above it, what else runs is in the figures
QUIET_PATIENCE = 180  # seconds that a run to be published waits for that


class Results:
    """Samples, and the rows that they make; in the order in which they first came."""

    def __init__(self):
        self.samples = {}

    def add(self, suite, subject, measure, unit, value):
        self.samples.setdefault((suite, subject, measure, unit), []).append(value)

    def rows(self):
        return [{'suite': suite, 'subject': subject, 'measure': measure, 'unit': unit,
                 'median': rounded(statistics.median(values)), 'min': rounded(min(values)),
                 'max': rounded(max(values)), 'n': len(values)}
                for (suite, subject, measure, unit), values in self.samples.items()]


def rounded(value):
    """Four digits that mean something; what is behind them is noise."""
    return float(f'{value:.4g}')


def written(value):
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'


# -- tables ------------------------------------------------------------------------------------------------------------


def tables(rows):
    """Markdown, a table for those subjects of a suite that have measures in common."""
    subjects = {}
    for row in rows:
        subjects.setdefault((row['suite'], row['subject']), {})[row['measure'], row['unit']] = row
    made = []  # suite, its columns, and the lines
    for (suite, subject), measured in subjects.items():
        fitting = (one for one in made if one[0] == suite and one[1].keys() & measured.keys())
        _, columns, lines = next(fitting, None) or made.append((suite, {}, [])) or made[-1]
        columns.update(dict.fromkeys(measured))
        lines.append((subject, measured))
    return '\n'.join(table(*one) for one in made)


def table(suite, columns, lines):
    """A line for each subject, or for each measure if these are far more."""
    head = [suite, *(f'{measure}, {unit}' for measure, unit in columns)]
    body = [[subject, *(cell(measured[column]) if column in measured else '' for column in columns)]
            for subject, measured in lines]
    if len(columns) > 2 * len(body):
        head, *body = zip(head, *body)
    return ''.join(f'| {" | ".join(line)} |\n' for line in [head, ['---', *('--:' for _ in head[1:])], *body])


def cell(row):
    spread = f' ({written(row["min"])} to {written(row["max"])})' if row['n'] > 1 else ''
    return written(row['median']) + spread


def machine():
    """What the figures were measured on, and when."""
    processor = re.search(r'^model name\s*: (.*)$', pathlib.Path('/proc/cpuinfo').read_text(), re.MULTILINE)
    date = datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d')
    return f'{processor[1] if processor else os.uname().machine}, {os.cpu_count()} cores; Linux {os.uname().release}; {date}'


def versions(subjects):
    """Of QuicEther and of the other tunnels that were measured."""
    program, = built(build.PROGRAM)
    said = json.loads(subprocess.run([program, 'version', '--json'], check=True, stdout=subprocess.PIPE).stdout)
    yield f'quicether {said["version"]} ({said["commit"]}), {said["packets"]}, {said["tls"]}, ngtcp2 {said["libraries"]["ngtcp2"]}'
    packages = OTHERS / 'versions'
    for line in packages.read_text().splitlines() if packages.exists() else ():
        package, version = line.split('\t')
        if package in subjects:
            yield f'{package} {version}'


# -- the suites --------------------------------------------------------------------------------------------------------


def wanted(chosen, name):
    return not chosen or name in chosen


@functools.cache
def built(*targets):
    """Where they are."""
    directory = build.make_or_exit(build.variant(), *targets)
    return [directory / target for target in targets]


def program(name, *arguments):
    """Runs it; yields the samples that it prints."""
    path, = built(f'tests/bench/{name}')
    with subprocess.Popen([str(path), *map(str, arguments)], stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            suite, subject, measure, unit, value = line.rstrip('\n').split('\t')
            yield suite, subject, measure, unit, float(value)
    if running.returncode:
        sys.exit(f'dev: {path.name} exited with {running.returncode}')


def micro(args):
    return program('micro', args.rounds or 9)


def scale(args):
    for _ in range(args.rounds or 1):
        for peers in (1000, 10000):
            if wanted(args.subjects, f'quicether-{peers}-peers'):
                yield from program('scale', peers)


def policy(args):
    return program('policy', args.rounds or 9)


def route(args):
    return program('route', args.rounds or 9)


def in_lab(suite, args, module, subjects, *needs):
    """Rounds of module.sample(), which is told a subject; what fails is told and lacks, and all else goes on."""
    from lab import Failed
    from tunnels import Setting

    programs = {path.name: path for path in built(*(f'tests/bench/{name}' for name in needs), build.PROGRAM)}
    os.environ['QUICETHER'] = str(programs['quicether'])
    setting = Setting(args.seconds, functools.partial(wanted, args.measures), programs, OTHERS, build.say)
    for name in [name for name in subjects if not module.TUNNELS[name].is_there(OTHERS)]:
        build.say(f'{name} is left out: its package is not there')
        subjects.remove(name)
    rounds = args.rounds or 3
    for turn in range(1, rounds + 1):
        for name in subjects:
            start = time.monotonic()
            try:
                for measured in module.sample(name, setting):
                    yield suite, name, *measured
            except Failed as failure:
                build.say(f'{name} is left out of this round: {failure}')
            build.say(f'round {turn} of {rounds}: {suite}, {name}: {time.monotonic() - start:.0f} s')


def throughput(args):
    import throughput
    subjects = [name for name in throughput.TUNNELS if wanted(args.subjects, name)]
    return in_lab('throughput', args, throughput, subjects, 'forwarder', 'datagrams', 'pings')


def impaired(args):
    import impaired
    for name in impaired.missing_control():
        build.say(f'without TCP {name}, which this kernel lacks')
    subjects = [name for name in impaired.TUNNELS if name in (args.subjects or impaired.SUBJECTS)]
    return in_lab('impaired', args, impaired, subjects, 'forwarder', 'path')


def flood(args):
    import flood
    built('tests/net/flood')
    return in_lab('flood', args, flood, [name for name in flood.TUNNELS if wanted(args.subjects, name)])


def vpn(args):
    import vpn
    return in_lab('vpn', args, vpn, [name for name in vpn.TUNNELS if wanted(args.subjects, name)], 'datagrams', 'pings')


SUITES = {
    'micro': micro,
    'scale': scale,
    'policy': policy,
    'route': route,
    'throughput': throughput,
    'impaired': impaired,
    'flood': flood,
    'vpn': vpn,
}


def write_json(path, rows):
    with open(path, 'w') as file:
        json.dump(rows, file, indent=1)
        file.write('\n')


def publish(where, rows):
    """For each suite the JSON, the table, and the chart if it has one."""
    for suite in {row['suite']: None for row in rows}:
        own = [row for row in rows if row['suite'] == suite]
        write_json(DOCS / f'{suite}.json', own)
        (DOCS / f'{suite}.md').write_text(f'<!-- SPDX-License-Identifier: Apache-2.0 OR MIT -->\n{where}{tables(own)}')
        if suite in chart.PANELS:
            libraries = (OTHERS / 'usr/lib').glob('*-linux-gnu')
            gnuplot = ['env', f'LD_LIBRARY_PATH={":".join(map(str, libraries))}', str(OTHERS / 'usr/bin/gnuplot-nox')]
            chart.draw(gnuplot, suite, own, DOCS / f'{suite}.svg')
        build.say(f'published: {suite}, in {DOCS.relative_to(build.TOP)}')


def names(text):
    return text.split(',')


def run(name, args, results):
    build.say(f'measuring: {name}')
    for suite, subject, measure, unit, value in SUITES[name](args):
        if wanted(args.subjects, subject) and wanted(args.measures, measure):
            results.add(suite, subject, measure, unit, value)


def wait_quiet(patience):
    """Returns the load average; the build that came before is in it for a while."""
    end = time.monotonic() + patience
    while os.getloadavg()[0] > QUIET and time.monotonic() < end:
        build.say(f'the load average is {os.getloadavg()[0]:.1f}: waiting until it is {QUIET}, {end - time.monotonic():.0f} s at most')
        time.sleep(min(20, patience))
    load = os.getloadavg()[0]
    if load > QUIET:
        build.say(f'the load average is {load:.1f}: what else this machine does will be in the figures')
    return load


def main():
    parser = argparse.ArgumentParser(prog='./dev bench', description='Build and run the benchmarks.')
    parser.add_argument('name', nargs='?', choices=SUITES, help='only this suite')
    parser.add_argument('--rounds', type=int, metavar='N', help='how many samples of each measure to take')
    parser.add_argument('--seconds', type=int, default=3, metavar='N', help='how long each measurement of TCP lasts (3)')
    parser.add_argument('--subjects', type=names, metavar='A,B', help='only these subjects')
    parser.add_argument('--measures', type=names, metavar='A,B', help='only these measures')
    parser.add_argument('--json', metavar='FILE', help='write the results as JSON, too')
    parser.add_argument('--publish', action='store_true', help='write JSON, table and chart to docs/benchmarks, too')
    args = parser.parse_args()
    if args.rounds is not None and not 1 <= args.rounds <= 1000:
        parser.error('--rounds: from 1 to 1000')

    built(build.PROGRAM)
    load = wait_quiet(QUIET_PATIENCE if args.publish else 0)
    results = Results()
    for name in [args.name] if args.name else SUITES:
        run(name, args, results)
    rows = results.rows()
    if not rows:
        sys.exit(f'dev: nothing was measured: are there such subjects and measures?')
    where = f'{machine()}; load average before: {load:.1f}\n{", ".join(versions({row["subject"] for row in rows}))}\n\n'
    print(where + tables(rows), end='')
    if args.json:
        write_json(args.json, rows)
    if args.publish:
        publish(where, rows)


if __name__ == '__main__':
    main()
