#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# debootstrap.sh TARGET MIRROR: debootstrap cannot work in a path with a space, so it sees TARGET as /mnt. Run in a
# mount namespace of its own.
set -eu
mount --bind "$1" /mnt
exec debootstrap --variant=minbase trixie /mnt "$2"
