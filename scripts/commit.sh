#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# Names the commit that is built. A Debian 13 root has no git, so ./dev asks on the host and hands the answer down. Whoever
# runs it with sudo need not be the checkout's owner, which git would mind.
set -eu
cd "$(dirname "$0")/.."
echo "${DEV_COMMIT:-$(git -c safe.directory="$PWD" describe --always --dirty=+)}"
