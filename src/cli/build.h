/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What `quicether version` says of the build; build.c is made from build.c.in by meson. */
#pragma once

extern const char qe_build_commit[];
