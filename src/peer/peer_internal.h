/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the files of a peer share: its facts and its run (peer.c), which link is in use and which
 * end (choice.c), when and where to dial (dialling.c). Nobody else includes this. */
#pragma once

#include "base/time.h"
#include "peer/peer.h"

constexpr qe_time SUSPECT = 2 * QE_SECOND;
constexpr qe_time DIAL_STEADY = 2 * QE_SECOND; /* between two dials, when some have failed */
constexpr qe_time DEAD = 10 * QE_SECOND;
constexpr size_t PINGS_MAX = 16;

struct peer_link {
	struct qe_link *link;
	bool retired_here, retired_there;
	bool ready; /* as of the last look */
	bool greeted;
	uint64_t instance;   /* of the peer, once greeted */
	qe_time retired_at;  /* by this side */
	qe_time drain_until; /* once both have said it */
};

struct ping {
	uint64_t cookie;
	qe_time asked, sent; /* sent 0: not yet */
};

struct qe_peer {
	struct qe_peer_config config;
	struct qe_endpoint endpoints[QE_PEER_ENDPOINTS_MAX];
	size_t n_endpoints;
	struct qe_endpoint last_remote; /* where it was last; family none: nowhere yet */

	struct peer_link links[QE_PEER_LINKS_MAX];
	size_t n_links;
	struct qe_link *current;
	bool was_up;
	bool silent; /* what is in use has not answered for SUSPECT */

	unsigned attempts;   /* dials since the last link came up */
	unsigned early_ends; /* of links in a row, soon after they were up */
	qe_time next_dial;   /* not before */
	qe_time last_alive, wanted_until;
	qe_time moved_at; /* when this host's network last changed, or the peer was last seen
			     elsewhere */
	bool anew;        /* a dial is to be started from where this host is now */
	bool due;         /* run at once */
	qe_time deadline;

	struct ping pings[PINGS_MAX];
	size_t n_pings;
	uint64_t instance; /* of the peer, by its last HELLO */
	uint64_t rotations, reconnects;
};

/* ---- peer.c ---- */

/* False if it cannot be queued now: the peer has not opened the stream yet, or does not read. */
bool peer_send_control(
	struct qe_peer *peer, struct qe_link *link, const struct qe_control *message);
void peer_emit(struct qe_peer *peer, const struct qe_event *event);

/* ---- choice.c ---- */

struct peer_link *peer_find_link(struct qe_peer *peer, const struct qe_link *link);
void peer_forget_link(struct qe_peer *peer, struct peer_link *entry);
size_t peer_count_established(const struct qe_peer *peer);
/* Past 1.5 times its age: not to be used. */
bool peer_too_old(const struct qe_peer *peer, const struct qe_link *link, qe_time now);
/* Until when a link carries what is still under way on it, if both sides have retired it now. */
qe_time peer_drain_until(const struct qe_link *link, qe_time now);
void peer_choose(struct qe_peer *peer, qe_time now);
void peer_retire_others(struct qe_peer *peer, qe_time now);
void peer_close_finished(struct qe_peer *peer, qe_time now);
/* When it is to be closed, as things are. */
qe_time peer_close_at(const struct qe_peer *peer, const struct peer_link *entry);
/* The events for a link that is gone. */
void peer_report_down(
	struct qe_peer *peer, const struct qe_link *link, bool replaced, const char *reason);

/* ---- dialling.c ---- */

size_t peer_count_dials(const struct qe_peer *peer);
bool peer_may_dial(const struct qe_peer *peer);
void peer_dial(struct qe_peer *peer, qe_time now);
/* So that another dial may be started: the oldest under way gives way, if there are many. */
void peer_make_room_to_dial(struct qe_peer *peer);
/* From when on one is wanted in place of this one, which was the last and has ended. */
qe_time peer_redial_at(struct qe_peer *peer, const struct qe_link *link, qe_time now);
/* From when on another link is wanted, for whatever reason. */
qe_time peer_dial_at(const struct qe_peer *peer, qe_time now);
/* From when on another link is wanted because this one does not answer. */
qe_time peer_suspect_at(const struct qe_peer *peer, const struct qe_link *link);
