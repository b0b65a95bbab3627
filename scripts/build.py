#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Build the program with meson, each way of building in a directory of its own at the top of the checkout.

What is built on the host and what is built in a Debian 13 root must not share one, so the place is part of the
name. A directory remembers how it was set up, and is made anew when that has changed.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
PLACE = os.environ.get('DEV_PLACE', 'host')
CLANG = {'CC': 'clang-19', 'CXX': 'clang++-19'}
DEBUG = ['-Ddebug=true', '-Doptimization=1', '-Db_lundef=false']
SANITIZERS = ('address,undefined', 'address', 'undefined', 'thread')

PROGRAM = 'src/cli/quicether'


class Failed(Exception):
    """A command failed; the text is what it said."""


class Variant:
    """One way of building: a suffix for the directory's name, options for meson, and the compiler."""

    def __init__(self, suffix, options=(), env=None):
        self.options = list(options)
        self.env = env or {}
        self.dir = TOP / '-'.join(filter(None, ['build', None if PLACE == 'host' else 'trixie', suffix]))

    def recipe(self):
        return json.dumps([PLACE, str(TOP), self.options, self.env])


def variant(fuzz=False, clang=False, sanitize=None):
    if fuzz:
        return Variant('fuzz', ['-Dfuzz=true', '-Db_sanitize=address,undefined', *DEBUG], CLANG)
    suffix = '-'.join(filter(None, ['clang' if clang else None, sanitize and sanitize.replace(',', '-')]))
    options = [f'-Db_sanitize={sanitize}', *DEBUG] if sanitize else []
    return Variant(suffix, options, CLANG if clang else None)


def run(command, env=None):
    done = subprocess.run(command, cwd=TOP, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
    if done.returncode:
        raise Failed(f'{done.stdout}\n{command[0]} exited with {done.returncode}')


def make(how, *targets):
    """Sets up and builds, all or these targets; returns the directory."""
    recipe = how.dir / 'recipe.json'
    if not recipe.exists() or recipe.read_text() != how.recipe():
        shutil.rmtree(how.dir, ignore_errors=True)
        run(['meson', 'setup', '-Db_colorout=never', str(how.dir), *how.options], how.env)
        recipe.write_text(how.recipe())
    run(['ninja', '--quiet', '-C', str(how.dir), *targets])
    return how.dir


def excerpt(text, most):
    """What a build said from its first error on, for that is the one to read."""
    lines = text.rstrip().splitlines()
    lines = lines[next((at for at, line in enumerate(lines) if 'FAILED:' in line or 'ERROR:' in line), 0):]
    more = [f'... and {len(lines) - most} more lines'] if len(lines) > most else []
    return ''.join(f'   | {line}\n' for line in lines[:most] + more)


def say(text):
    print(f'-- {text}', file=sys.stderr, flush=True)


def make_or_exit(how, *targets):
    start = time.monotonic()
    say(f'building in {how.dir.name}')
    try:
        make(how, *targets)
    except Failed as failure:
        print(excerpt(str(failure), 40), end='', file=sys.stderr)
        sys.exit(f'dev: the build in {how.dir.name} failed; the compiler says above why')
    say(f'built in {time.monotonic() - start:.1f} s')
    return how.dir


def main():
    parser = argparse.ArgumentParser(prog='./dev build', description='Build the program.')
    parser.add_argument('--fuzz', action='store_true', help='the fuzz targets, with clang, address and undefined')
    parser.add_argument('--clang', action='store_true', help='with clang instead of gcc')
    parser.add_argument('--sanitize', choices=SANITIZERS, help='with these sanitizers')
    parser.add_argument('--install', action='store_true', help='then install (./dev install)')
    args = parser.parse_args()

    build = make_or_exit(variant(args.fuzz, args.clang, args.sanitize))
    if args.install:
        subprocess.run(['meson', 'install', '--no-rebuild', '-C', str(build)], check=True)


if __name__ == '__main__':
    main()
