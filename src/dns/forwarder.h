/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Answers the questions of one kind of clients, this host's programs or members: from the zone,
 * from what is remembered, or by asking a server.
 *
 * Against forged answers: each try of a question has an id of its own and a socket of its own, with
 * a port that nobody can foresee, connected to the one server; an answer must come that way and
 * repeat id and question. A question that is under way already is not asked twice: whoever asks the
 * same waits with the first one. So resolvers that ask one another in a circle end up waiting for
 * themselves, and all of them for a few seconds only.
 *
 * All is bounded: questions under way, clients that wait, of one source too, and what a source may
 * ask in a second; beyond the latter questions are dropped unread. No I/O and no clock here: one
 * thread gives what comes and is told what to do by the operations.
 */
#pragma once

#include "base/time.h"
#include "dns/zone.h"

#define QE_DNS_EXCHANGES 256
#define QE_DNS_WAITING 512

struct qe_dns_client {
	struct qe_endpoint from;
	uint64_t cookie; /* the caller's */
	bool stream;     /* by TCP: there is room for a long answer */
};

struct qe_dns_ops {
	/* A fresh socket to the server for that exchange, 0 to QE_DNS_EXCHANGES - 1, and the
	 * message into it. It is closed by close alone, which may be called within. */
	enum qe_error (*open)(void *ctx, unsigned exchange, const struct qe_endpoint *server,
		bool stream, struct qe_bytes message);
	void (*close)(void *ctx, unsigned exchange);
	void (*reply)(void *ctx, const struct qe_dns_client *client, struct qe_bytes message);
	/* A client of a stream gets no answer. */
	void (*drop)(void *ctx, const struct qe_dns_client *client);
	uint64_t (*random)(void *ctx);
};

struct qe_dns_limits {
	bool members;         /* what zone and servers they get */
	unsigned burst;       /* questions of a source, an IPv4 address or IPv6 /64, at once */
	qe_time interval;     /* then one each; 0: no such limit */
	unsigned waiting_max; /* of a source */
	/* Of all sources of a member: so many questions that are under way at most are its own. */
	unsigned owner_waiting_max;
};

struct qe_dns_forwarder_counts {
	uint64_t queries;
	uint64_t own;       /* answered from the zone */
	uint64_t cached;    /* from what is remembered */
	uint64_t forwarded; /* questions put to servers; further tries do not count */
	uint64_t relayed;   /* answers of servers given to clients */
	uint64_t failed;    /* SERVFAIL of our own: no server answers, no place is free */
	uint64_t refused;   /* malformed, or nothing that is answered here */
	uint64_t dropped;   /* above the limits of a source */
	uint64_t ignored;   /* messages from servers that were no answers */
};

struct qe_dns_forwarder;

enum qe_error qe_dns_forwarder_new(struct qe_dns_forwarder **ret_forwarder,
	const struct qe_dns_limits *limits, const struct qe_dns_ops *ops, void *ctx);
/* Whoever waits gets no answer; NULL-safe. */
struct qe_dns_forwarder *qe_dns_forwarder_free(struct qe_dns_forwarder *forwarder);
/* Not owned; in place of the one before, which is not needed any more after this. What is
 * remembered is forgotten, and what is under way begins anew within its time.
 * Until the first call all questions fail. */
void qe_dns_forwarder_set_zone(
	struct qe_dns_forwarder *forwarder, const struct qe_dns_zone *zone, qe_time now);

void qe_dns_forwarder_ask(struct qe_dns_forwarder *forwarder, const struct qe_dns_client *client,
	struct qe_bytes message, qe_time now);
/* What has come by the socket of an exchange. */
void qe_dns_forwarder_answer(struct qe_dns_forwarder *forwarder, unsigned exchange,
	struct qe_bytes message, qe_time now);
/* The socket has failed, or the stream has ended. */
void qe_dns_forwarder_broken(struct qe_dns_forwarder *forwarder, unsigned exchange, qe_time now);
void qe_dns_forwarder_run(struct qe_dns_forwarder *forwarder, qe_time now); /* what is due */
qe_time qe_dns_forwarder_deadline(const struct qe_dns_forwarder *forwarder);
const struct qe_dns_forwarder_counts *qe_dns_forwarder_get_counts(
	const struct qe_dns_forwarder *forwarder);
