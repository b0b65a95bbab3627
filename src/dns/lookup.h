/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The addresses of one name, asked by ourselves and not through the system's resolver: of given
 * servers, each twice, A and AAAA at once, along chains of aliases. For the names that the tunnel
 * itself needs. No I/O and no clock: the caller has a socket to each server, on which nothing but
 * this is spoken, and which is connected to it.
 */
#pragma once

#include "base/time.h"
#include "dns/zone.h"

#define QE_DNS_LOOKUP_ADDRS_MAX 16

struct qe_dns_lookup {
	struct qe_dns_name name; /* or the alias that is asked for now */
	unsigned aliases;
	size_t n_servers, tries; /* the try under way is of server tries % n_servers */
	qe_time until;           /* of this try */
	struct qe_dns_lookup_half {
		uint16_t type, id;
		bool done;
	} halves[2];
	struct qe_dns_name next; /* where the aliases lead, if they do */
	bool leads_on;
	bool no_such_name;
	size_t n;
	struct qe_addr addrs[QE_DNS_LOOKUP_ADDRS_MAX];
};

enum qe_dns_progress : uint8_t {
	QE_DNS_ASK,  /* send both questions to server qe_dns_lookup_server */
	QE_DNS_WAIT, /* until an answer comes, or the time in until */
	QE_DNS_DONE /* with n addresses, IPv6 and IPv4 in turn; 0: there are none, or nobody said */
};

/* Begins with QE_DNS_ASK. QE_ERR_SYNTAX, QE_ERR_RANGE: no domain name. n_servers: at least 1. */
enum qe_error qe_dns_lookup_init(
	struct qe_dns_lookup *ret_lookup, const char *name, size_t n_servers);
size_t qe_dns_lookup_server(const struct qe_dns_lookup *lookup);
/* Makes the question of either half, for the next try. random: ids nobody can guess. 0: no memory.
 */
size_t qe_dns_lookup_question(
	struct qe_dns_lookup *lookup, unsigned half, uint64_t random, void *to, size_t capacity);
/* After both have been sent. */
void qe_dns_lookup_sent(struct qe_dns_lookup *lookup, qe_time now);
/* What came from the server that was asked. */
enum qe_dns_progress qe_dns_lookup_answer(struct qe_dns_lookup *lookup, struct qe_bytes message);
/* The try has failed, as its time is over or the server cannot be reached. */
enum qe_dns_progress qe_dns_lookup_failed(struct qe_dns_lookup *lookup);
