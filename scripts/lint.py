#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The checks that need no running program: each is a function that returns what is wrong, as text."""
import argparse
import fnmatch
import subprocess
import sys
import time

import build

TOP = build.TOP
SPDX = 'SPDX-License-Identifier: Apache-2.0 OR MIT'
# Files that cannot hold a comment: licence texts, input for fuzz targets, pictures.
NO_SPDX = ('LICENSE-*', '*.json', '*.pem', '*.png', '*.svg', 'tests/fuzz/corpus/*')
SKIPPED = ('.git', 'build', '__pycache__')


def tree(*suffixes):
    """All files of the checkout, without what is built."""
    def walk(folder):
        for path in sorted(folder.iterdir()):
            if path.name in SKIPPED or path.name.startswith('build-') and folder == TOP:
                continue
            if path.is_dir():
                yield from walk(path)
            elif not suffixes or path.suffix in suffixes:
                yield path
    return walk(TOP)


def said(*command):
    done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return '' if done.returncode == 0 else done.stdout or f'{command[0]} exited with {done.returncode}'


def layers():
    return said('tests/layers_test')


def spdx():
    def lacks(path):
        if any(fnmatch.fnmatch(str(path.relative_to(TOP)), pattern) for pattern in NO_SPDX):
            return False
        with path.open(errors='replace') as file:
            return not any(SPDX in line for line, _ in zip(file, range(5)))
    return ''.join(f'{path.relative_to(TOP)}: no "{SPDX}" in its first 5 lines\n' for path in tree() if lacks(path))


def format_files():
    return [str(path) for path in tree('.c', '.h', '.cpp')]


def formatting():
    wrong = said('clang-format-19', '--dry-run', '--Werror', '--ferror-limit=1', *format_files())
    return wrong and wrong + 'sudo ./dev format lays them out\n'


def header():
    compilers = [
        ('gcc', '-std=c11', '-x', 'c'), ('clang-19', '-std=c11', '-x', 'c'),
        ('g++', '-std=c++11', '-x', 'c++'), ('clang++-19', '-std=c++11', '-x', 'c++'),
    ]
    strict = ('-fsyntax-only', '-Wall', '-Wextra', '-Wpedantic', '-Werror', '-Wno-pragma-once-outside-header')
    return ''.join(said(*compiler, *strict, 'include/quicether.h') for compiler in compilers)


def warnings(compiler):
    env = build.CLANG if compiler == 'clang' else {'CC': 'gcc', 'CXX': 'g++'}
    try:
        build.make(build.Variant(f'lint-{compiler}', ['-Dwerror=true'], env))
    except build.Failed as failure:
        return str(failure)
    return ''


CHECKS = {
    'layers': layers,
    'spdx': spdx,
    'format': formatting,
    'header': header,
    'warnings-gcc': lambda: warnings('gcc'),
    'warnings-clang': lambda: warnings('clang'),
}


def main():
    parser = argparse.ArgumentParser(prog='./dev lint')
    parser.add_argument('name', nargs='?', default='', help='only the checks with NAME in their name')
    parser.add_argument('--format', action='store_true', help='lay out all C and C++ instead (./dev format)')
    args = parser.parse_args()
    if args.format:
        sys.exit(said('clang-format-19', '-i', *format_files()))

    checks = {name: check for name, check in CHECKS.items() if args.name in name}
    if not checks:
        sys.exit(f'dev: no check has {args.name} in its name; there are {", ".join(CHECKS)}')
    failed = 0
    for name, check in checks.items():
        start = time.monotonic()
        wrong = check()
        print(f'{"FAILED" if wrong else "ok"} {name} ({time.monotonic() - start:.1f} s)', flush=True)
        print(build.excerpt(wrong, 40), end='', flush=True)
        failed += bool(wrong)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
