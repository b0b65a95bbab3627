/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The control message ROUTES: all that a node announces, a set, in as many parts as it takes; see
 * docs/protocol.md, "Routes". A set replaces the one before it, so that nothing needs to be
 * withdrawn by name, and nothing depends on the order in which the parts come over different links.
 */
#pragma once

#include "base/bytes.h"
#include "route/announcement.h"

constexpr size_t QE_ROUTES_SIZE = 1024;   /* the most bytes of one part */
constexpr size_t QE_ROUTES_PER_PART = 39; /* announcements, as they are written here */
constexpr size_t QE_ROUTES_PARTS_MAX = 1024;
constexpr size_t QE_ROUTES_KEPT = 1280; /* announcements of a received set */

struct qe_routes {
	uint64_t instance; /* of the sender, as in HELLO */
	uint64_t number;   /* of the set; counts up from any number within an instance */
	const struct qe_announcement *list;
	size_t n; /* at most QE_ROUTES_PER_PART * QE_ROUTES_PARTS_MAX */
};

/* At least one: an empty set is one, too. */
size_t qe_routes_parts(const struct qe_routes *routes);
/* The length of that part, counted from 0. */
size_t qe_routes_encode(
	uint8_t to[static QE_ROUTES_SIZE], const struct qe_routes *routes, size_t part);

/* The newest set of one peer, as far as it has come. */
struct qe_routes_set {
	bool begun;
	uint64_t instance, number;
	uint64_t former; /* the instance before this one: what is still on its way is not news */
	bool has_former;
	size_t parts, n_missing;                  /* n_missing is 0: whole */
	uint8_t missing[QE_ROUTES_PARTS_MAX / 8]; /* a bit each */
	struct qe_announcement *list;             /* of capacity capacity */
	size_t n, capacity;
	size_t more; /* announcements beyond QE_ROUTES_KEPT, which are counted only */
};

void qe_routes_set_init(struct qe_routes_set *set);
void qe_routes_set_done(struct qe_routes_set *set);
/* Takes a part. *ret_whole: it was the last one that was missing; list, n and more are then the
 * whole set, until the next part is taken. QE_ERR_SYNTAX: malformed, or contradicts the other
 * parts; -ENOMEM. After an error the set is as it was. */
enum qe_error qe_routes_set_take(
	struct qe_routes_set *set, struct qe_bytes message, bool *ret_whole);
