/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * One lane to a remote node, as one shard sees it: its links, which of them is in use, and when to
 * dial.
 *
 * The owner (node/shard.c) reports facts - a link is up, a link is lost, a control message has
 * come, a packet wants to go there - and calls qe_peer_run when qe_peer_deadline has come. The peer
 * decides, and acts through qe_peer_ops. The owner owns the links; the peer holds them between
 * qe_peer_ops.dial or qe_peer_link_up, and qe_peer_link_lost.
 */
#pragma once

#include "peer/control.h"
#include "quic/link.h"

constexpr size_t QE_PEER_LINKS_MAX = 10; /* of one peer, under way or established */

struct qe_peer;

struct qe_peer_ops {
	/* Start a link to this address; nullptr if that cannot be. The peer holds it from then on.
	 */
	struct qe_link *(*dial)(void *ctx, struct qe_peer *peer, const struct qe_endpoint *remote);
	/* Close the link, in order, and free it. qe_peer_link_lost is not called for it. */
	void (*close)(void *ctx, struct qe_link *link);
	/* Something has been queued on the link: call qe_link_write soon. */
	void (*wake)(void *ctx, struct qe_link *link);
	/* Another link is in use now, or one where there was none: what waits can be sent. */
	void (*switched)(void *ctx, struct qe_peer *peer);
	/* A ROUTES message has come. */
	void (*routes)(void *ctx, struct qe_peer *peer, struct qe_bytes message);
	/* type, and of the rest what belongs to it; peer and time are filled in by the owner. */
	void (*event)(void *ctx, struct qe_peer *peer, const struct qe_event *event);
};

struct qe_peer_config {
	size_t index;
	struct qe_node_id id;
	uint8_t lane;      /* of its links */
	bool passive;      /* where there is no link, the other side dials */
	bool rests;        /* a link that nobody needs is not replaced at its age */
	bool elector;      /* of the two nodes, this one decides which of several links stays */
	bool keep;         /* keep a link up, not only on demand */
	qe_time rotate;    /* age at which a link is replaced */
	uint64_t instance; /* of this node; another one after each start */
	const struct qe_peer_ops *ops;
	void *ops_ctx;
};

enum qe_error qe_peer_new(
	struct qe_peer **ret_peer, const struct qe_peer_config *config, qe_time now);
struct qe_peer *qe_peer_free(struct qe_peer *peer); /* its links must be gone */

/* ---- facts ---- */

/* Where it might be reached, best first; n is at most QE_PEER_ENDPOINTS_MAX. */
void qe_peer_set_endpoints(
	struct qe_peer *peer, const struct qe_endpoint *endpoints, size_t n, qe_time now);
/* Are its links alive? */
void qe_peer_check(struct qe_peer *peer);
/* Another shard has a link to it there. */
void qe_peer_seen(struct qe_peer *peer, const struct qe_endpoint *remote, qe_time now);
/* May another link of this peer be accepted? */
bool qe_peer_has_room(const struct qe_peer *peer);
/* False if there are too many of them already: the link is the owner's to close. */
bool qe_peer_link_up(struct qe_peer *peer, struct qe_link *link, qe_time now);
/* Packets came or went on the link: its state may have changed. */
void qe_peer_link_used(struct qe_peer *peer, struct qe_link *link, qe_time now);
void qe_peer_link_moved(struct qe_peer *peer, const struct qe_link *link);
/* The link is about to be freed by its owner. */
void qe_peer_link_lost(struct qe_peer *peer, struct qe_link *link, const char *reason, qe_time now);
/* False if the message is malformed. */
bool qe_peer_control(
	struct qe_peer *peer, struct qe_link *link, struct qe_bytes message, qe_time now);
/* Whether a link is to be kept up from now on. */
void qe_peer_set_keep(struct qe_peer *peer, bool keep);
/* A packet wants to go there, or went there lately. */
void qe_peer_want(struct qe_peer *peer, qe_time now);
/* This host's addresses or routes have changed. */
void qe_peer_network_changed(struct qe_peer *peer, qe_time now);
/* The answer is an event: QE_EVENT_PONG or QE_EVENT_PING_LOST. QE_ERR_FULL if too many are under
 * way. */
enum qe_error qe_peer_ping(struct qe_peer *peer, uint64_t cookie, qe_time now);

/* It is to be freed: closes all its links, and reports that. */
void qe_peer_end(struct qe_peer *peer, const char *reason);

void qe_peer_run(struct qe_peer *peer, qe_time now);
qe_time qe_peer_deadline(const struct qe_peer *peer);

/* ---- questions ---- */

/* The link to send on; nullptr if there is none that may be used. */
struct qe_link *qe_peer_link(struct qe_peer *peer, qe_time now);
size_t qe_peer_index(const struct qe_peer *peer);
const struct qe_node_id *qe_peer_id(const struct qe_peer *peer);
uint8_t qe_peer_lane(const struct qe_peer *peer);
/* It has neither link nor dial. */
bool qe_peer_is_empty(const struct qe_peer *peer);
enum qe_peer_state qe_peer_get_state(const struct qe_peer *peer);
/* All but the name, the NodeId's owner and the packet counters, which are the owner's. */
void qe_peer_get_status(const struct qe_peer *peer, struct qe_peer_status *ret_status);
/* Takes any one link out, for the owner to close and free; nullptr when none is left. */
struct qe_link *qe_peer_take_link(struct qe_peer *peer);
