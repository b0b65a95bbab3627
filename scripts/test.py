#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Build and run all tests: ./dev test [NAME].

One line for each, the end of its log below those that failed, and as the last line of all `N passed, N failed`. A
program of cmocka counts with as many tests as it has; everything else counts as one. Logs are kept in the build
directory under test-logs/.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import build
import lint

TOP = build.TOP
FUZZ_SECONDS = 20
SANITIZED_PATIENCE = 5
NET_TIMEOUT = 240
SANITIZED_NET = {'address,undefined': ('books', 'interface', 'restart', 'vpn'), 'thread': ('books', 'restart')}
# What these measure is not the sanitized program's; and a library that is loaded first, as that of the offload test, is
# what a sanitizer wants to be itself.
SANITIZED_NET_NOT = ('dns', 'flood', 'stranger', 'offload', 'vpn_sweep')
CORES = os.cpu_count() or 1
SHOWN = 25
TAP = re.compile(r'^(ok|not ok) \d+ - (.*?)(\s+# SKIP.*)?$')


class Result:
    """How many passed and failed, what to show of the log if any failed, and the names of those within a program."""

    def __init__(self, passed, failed, shown, failing=()):
        self.passed, self.failed, self.shown, self.failing = passed, failed, shown, list(failing)


def tail(log):
    return ''.join(f'   | {line}\n' for line in log.splitlines()[-SHOWN:])


class Runner:
    """Runs programs in sessions of their own, so that each can be ended with all that it started."""

    def __init__(self, logs):
        self.logs = logs
        self.running = set()
        self.lock = threading.Lock()

    def run(self, name, command, timeout, env=None, cwd=TOP):
        """Returns (exit status, log); the status is negative for a signal, as with subprocess."""
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / (name.replace('/', '-') + '.log')
        with path.open('wb') as log:
            with self.lock:
                process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
                self.running.add(process)
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                log.write(f'\nnot done after {timeout} s\n'.encode())
                status = self.end(process)
            finally:
                with self.lock:
                    self.running.discard(process)
        return status, path.read_text(errors='replace')

    @staticmethod
    def end(process):
        """SIGTERM first: a network test then removes what it made."""
        for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, None)):
            try:
                os.killpg(process.pid, number)
                return process.wait(patience)
            except ProcessLookupError:
                return process.wait()
            except subprocess.TimeoutExpired:
                continue

    def end_all(self):
        with self.lock:
            for process in self.running:
                self.end(process)


# -- the kinds of tests: each lists (name, function) -----------------------------------------------------------------


def cmocka(runner, name, row, patience):
    env = {**row['env'], 'CMOCKA_MESSAGE_OUTPUT': 'TAP'}
    status, log = runner.run(name, row['cmd'], patience * row['timeout'], env, row['workdir'])
    cases = [match for line in log.splitlines() if (match := TAP.match(line))]
    failing = [match[2] for match in cases if match[1] == 'not ok']
    if status != 0 and not failing:
        failing = [f'exited with {status}' if status > 0 else f'ended by {signal.Signals(-status).name}']
    return Result(sum(match[1] == 'ok' and not match[3] for match in cases), len(failing), tail(log), failing)


def meson_tests(runner, directory, suite, prefix='', patience=1):
    listed = subprocess.run(['meson', 'introspect', '--tests', str(directory)], check=True, stdout=subprocess.PIPE)
    for row in json.loads(listed.stdout):
        if any(word.split(':')[-1] == suite for word in row['suite']):
            name = f'{prefix}{suite}/{row["name"]}'
            yield name, lambda name=name, row=row: cmocka(runner, name, row, patience)


def sanitized_tests(runner, directory):
    for suite in 'unit', 'sim':
        yield from meson_tests(runner, directory, suite, 'sanitized/', SANITIZED_PATIENCE)


def lint_tests():
    def check(function):
        wrong = function()
        return Result(int(not wrong), int(bool(wrong)), build.excerpt(wrong, SHOWN))
    for name, function in lint.CHECKS.items():
        yield f'lint/{name}', lambda function=function: check(function)


def plain(runner, name, command, timeout, env=None):
    status, log = runner.run(name, command, timeout, env)
    return Result(int(status == 0), int(status != 0), tail(log))


def net_tests(runner, directory, prefix='net/', patience=1):
    # Nobody may look into the daemon (os/sandbox.c), LeakSanitizer neither: leaks are for the other sanitized tests
    # to find, and for the soak.
    env = {'QUICETHER': str(directory / build.PROGRAM), 'ASAN_OPTIONS': 'detect_leaks=0:verify_asan_link_order=0'}
    for path in sorted((TOP / 'tests/net').glob('*_test.py')):
        name = prefix + path.stem.removesuffix('_test')
        yield name, lambda name=name, path=path: plain(runner, name, [str(path)], patience * NET_TIMEOUT, env)


def sanitized_net_tests(runner, directory, sanitize, wanted):
    """A few of them in a run of everything, all when asked for by name."""
    prefix = f'sanitized/net/{sanitize.split(",")[0]}/'
    for name, function in net_tests(runner, directory, prefix, SANITIZED_PATIENCE):
        short = name.removeprefix(prefix)
        if short in SANITIZED_NET[sanitize] or wanted and short not in SANITIZED_NET_NOT:
            yield name, function


def soak(runner, directory, minutes):
    command = [str(TOP / 'tests/net/soak.py'), f'--minutes={minutes}']
    status, log = runner.run('soak', command, 60 * minutes + 300, {'QUICETHER': str(directory / build.PROGRAM)})
    print(log, end='')
    return Result(int(status == 0), int(status != 0), '')


def fuzz_tests(runner, directory):
    for target in sorted((directory / 'tests/fuzz').glob('*_fuzz')):
        name = target.name.removesuffix('_fuzz')
        found = directory / 'corpus' / name
        found.mkdir(parents=True, exist_ok=True)
        kept = TOP / 'tests/fuzz/corpus' / name
        command = [str(target), f'-max_total_time={FUZZ_SECONDS}', '-timeout=10', '-print_final_stats=1',
                   f'-artifact_prefix={runner.logs}/{name}-', str(found), *([str(kept)] if kept.is_dir() else [])]
        yield f'fuzz/{name}', lambda name=name, command=command: plain(runner, f'fuzz/{name}', command, FUZZ_SECONDS + 60)


# -- running and telling -----------------------------------------------------------------------------------------------


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def tell(self, name, result, seconds):
        self.passed += result.passed
        self.failed += result.failed
        count = f'{result.passed} tests, ' if result.passed > 1 else ''
        print(f'{"FAILED" if result.failed else "ok"} {name} ({count}{seconds:.1f} s)', flush=True)
        for case in result.failing:
            print(f'   FAILED {name}: {case}')
        if result.failed:
            print(result.shown, end='', flush=True)

    def run(self, tests, wanted, width=1):
        """Runs those tests that are wanted, so many at once."""
        def timed(function):
            start = time.monotonic()
            return function(), time.monotonic() - start
        pool = concurrent.futures.ThreadPoolExecutor(width)
        try:
            started = {pool.submit(timed, function): name for name, function in tests if wanted in name}
            for future in concurrent.futures.as_completed(started):
                self.tell(started[future], *future.result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def make(tally, how):
    """Builds, which is told only when it fails; returns the directory or None."""
    build.say(f'building in {how.dir.name}')
    try:
        return build.make(how)
    except build.Failed as failure:
        tally.tell(f'build/{how.dir.name}', Result(0, 1, build.excerpt(str(failure), SHOWN)), 0)
        return None


def run_sanitized_net(runner, tally, wanted):
    for sanitize in SANITIZED_NET:
        directory = make(tally, build.variant(sanitize=sanitize))
        if directory:
            tally.run(sanitized_net_tests(runner, directory, sanitize, wanted), wanted)


def run_soak(runner, tally, minutes):
    directory = make(tally, build.variant())
    if directory:
        tally.run([('soak', lambda: soak(runner, directory, minutes))], 'soak')


def run_all(runner, tally, wanted):
    directory = make(tally, build.variant())
    if directory:
        tally.run(meson_tests(runner, directory, 'unit'), wanted, CORES)
        tally.run(meson_tests(runner, directory, 'sim'), wanted, CORES)
    tally.run(lint_tests(), wanted)
    if directory:
        tally.run(net_tests(runner, directory), wanted)
    if any(wanted in f'fuzz/{path.name}' for path in (TOP / 'tests/fuzz').glob('*_fuzz.c')):
        directory = make(tally, build.variant(fuzz=True))
        if directory:
            tally.run(fuzz_tests(runner, directory), wanted, CORES)
    if not wanted or wanted.startswith('sanitized'):
        directory = make(tally, build.variant(sanitize='address,undefined'))
        if directory:
            tally.run(sanitized_tests(runner, directory), wanted, CORES)
        if 'sanitized/net'.startswith(wanted) or wanted.startswith('sanitized/net'):
            run_sanitized_net(runner, tally, wanted)


def interrupted(number, _frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    parser = argparse.ArgumentParser(prog='./dev test', description='Build and run all tests.')
    parser.add_argument('name', nargs='?', default='', help='only the tests with NAME in their name, as net/ or net/roaming')
    parser.add_argument('--minutes', type=float, default=10, help='of the soak, which runs only as: test soak')
    args = parser.parse_args()
    wanted = args.name

    logs = build.variant().dir / 'test-logs'
    runner, tally = Runner(logs), Tally()
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    start = time.monotonic()
    try:
        if wanted == 'soak':
            run_soak(runner, tally, args.minutes)
        else:
            run_all(runner, tally, wanted)
    finally:
        runner.end_all()
    if tally.passed + tally.failed == 0:
        sys.exit(f'dev: no test has {wanted} in its name')
    build.say(f'{(time.monotonic() - start) / 60:.1f} minutes; logs in {logs.relative_to(TOP)}')
    print(f'{tally.passed} passed, {tally.failed} failed')
    sys.exit(1 if tally.failed else 0)


if __name__ == '__main__':
    main()
