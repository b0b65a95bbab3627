/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * All routes that are known, and which of them is used for each prefix. It is told facts: what the
 * configuration grants, what peers announce, who can be reached and how far away. qe_rib_run then
 * judges and chooses, and reports each prefix whose choice has changed. See docs/protocol.md,
 * "Routes". One thread.
 */
#pragma once

#include "base/time.h"
#include "route/announcement.h"
#include "route/table.h"

struct qe_rib;

/* A refused announcement. The reason is static English text. */
struct qe_rib_rejection {
	uint32_t slot;
	struct qe_announcement announcement;
	const char *reason;
};

struct qe_rib_settings {
	void *ctx;
	/* The choice for a prefix has changed: route is NULL when there is none any more. Called by
	 * qe_rib_run alone. Neither callback may call back into the RIB. */
	void (*changed)(void *ctx, const struct qe_prefix *prefix, const struct qe_route *route);
	/* For records; may be NULL. An announcement was accepted that did not count before, or was
	 * refused for a reason that it was not refused for before; then reason is not NULL. */
	void (*judged)(void *ctx, uint32_t slot, const struct qe_announcement *announcement,
		const char *reason);
	size_t announcements_max; /* of a peer; 0: 1,024 */
	qe_time hold_down; /* how long what has failed must hold before it is preferred again; 0: 10
			      s */
	uint64_t seed;     /* against peers who choose prefixes that collide */
};

/* What the configuration says of a peer. Prefixes are copied. */
struct qe_rib_peer {
	uint32_t slot;
	const struct qe_prefix *own; /* its addresses and subnets */
	size_t n_own;
	const struct qe_prefix *gateway; /* what it may forward for */
	size_t n_gateway;
	bool exit;            /* may announce default routes */
	bool default_gateway; /* has them anyway, as the last resort; implies exit */
};

enum qe_error qe_rib_new(struct qe_rib **ret_rib, const struct qe_rib_settings *settings);
struct qe_rib *qe_rib_free(struct qe_rib *rib);

/* The functions that follow note facts; they take effect in the next qe_rib_run, for which
 * qe_rib_deadline asks at once. -ENOMEM leaves part of the change done: say it again. */

/* What is delivered here; replaces what was said before. */
enum qe_error qe_rib_set_local(struct qe_rib *rib, const struct qe_prefix *prefixes, size_t n);
/* No announcement may lie in one of these: the underlay addresses of peers, say; replaces. */
enum qe_error qe_rib_set_forbidden(struct qe_rib *rib, const struct qe_prefix *prefixes, size_t n);
/* Adds a peer, or changes its grants: what was announced is judged anew. */
enum qe_error qe_rib_set_peer(struct qe_rib *rib, const struct qe_rib_peer *peer, qe_time now);
void qe_rib_remove_peer(struct qe_rib *rib, uint32_t slot);

/* All that the peer announces now, in place of what it announced before; more: how many others
 * there were that the caller has not kept, which count as refused. QE_ERR_NOT_FOUND: no such peer.
 * What is refused is no error. */
enum qe_error qe_rib_announce(struct qe_rib *rib, uint32_t slot, const struct qe_announcement *list,
	size_t n, size_t more, qe_time now);
/* Unknown slots are ignored. */
void qe_rib_peer_up(struct qe_rib *rib, uint32_t slot, qe_time now);
/* silent: the connection stands but nothing answers; what the peer announced is kept for when it
 * does. Otherwise it is forgotten. */
void qe_rib_peer_down(struct qe_rib *rib, uint32_t slot, bool silent, qe_time now);
void qe_rib_set_rtt(struct qe_rib *rib, uint32_t slot, qe_time rtt);

void qe_rib_run(struct qe_rib *rib, qe_time now);
qe_time qe_rib_deadline(const struct qe_rib *rib); /* 0: at once */

enum qe_rib_source : uint8_t { QE_RIB_CONFIGURED, QE_RIB_ANNOUNCED };
enum qe_rib_state : uint8_t {
	QE_RIB_BEST,
	QE_RIB_STANDBY,
	QE_RIB_UNREACHABLE, /* and so not used, as something else is reachable */
	QE_RIB_HELD_DOWN,   /* has failed and is back, but not for long enough */
	QE_RIB_DAMPED,      /* changes too often */
};

struct qe_rib_entry {
	struct qe_route route;
	enum qe_rib_source source;
	enum qe_rib_state state;
	uint16_t metric;
	qe_time rtt;     /* 0: not known */
	const char *why; /* it is used, or not; static English text */
};

/* As of the last run; in the order of qe_prefix_compare, the best first. -ENOMEM. */
enum qe_error qe_rib_visit(const struct qe_rib *rib,
	void (*visit)(void *ctx, const struct qe_rib_entry *entry), void *ctx);
/* As many of each peer as are kept: the first 256. */
void qe_rib_visit_rejected(const struct qe_rib *rib,
	void (*visit)(void *ctx, const struct qe_rib_rejection *rejection), void *ctx);
/* All of the peer's announcements that are refused now, kept or not. */
size_t qe_rib_rejected(const struct qe_rib *rib, uint32_t slot);
/* Whether the peer has said what it has; and whether it says to forward for that very prefix, and
 * is believed. */
bool qe_rib_has_announced(const struct qe_rib *rib, uint32_t slot);
bool qe_rib_forwards(const struct qe_rib *rib, uint32_t slot, const struct qe_prefix *prefix);
/* What there is now, and what it has cost. */
struct qe_rib_counts {
	size_t peers, prefixes, candidates;
	uint64_t changes; /* calls of changed */
};
struct qe_rib_counts qe_rib_counts(const struct qe_rib *rib);
