/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Time zones: what the clocks on the wall show at a time, from a file of the IANA database (TZif,
 * RFC 9636: /usr/share/zoneinfo/NAME). Times are seconds since 1970, UTC.
 */
#pragma once

#include "base/bytes.h"

#define QE_ZONE_FILE_MAX 65536

struct qe_zone; /* immutable */

/* Whether a name may be put behind the folder of zone files: "Europe/Berlin", "Etc/GMT+5". */
bool qe_zone_name_is_valid(const char *name);

/* QE_ERR_SYNTAX when the bytes are no such file (version 2 or later), QE_ERR_RANGE when it is too
 * large. */
enum qe_error qe_zone_new(struct qe_zone **ret_zone, struct qe_bytes file);
struct qe_zone *qe_zone_free(struct qe_zone *zone);

struct qe_zone_offset {
	int32_t seconds; /* the clocks show UTC plus this */
	int64_t until; /* at least up to this time, which is later than now; INT64_MAX: for good */
};
struct qe_zone_offset qe_zone_offset_at(const struct qe_zone *zone, int64_t now);
