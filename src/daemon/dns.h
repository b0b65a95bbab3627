/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The resolver: a thread of its own that answers this host's programs and, on a gateway, members of
 * the overlay (src/dns says what and how), and that looks up the names which the tunnel itself
 * needs. All calls come from the control thread and none waits, but for the thread's end.
 */
#pragma once

#include "dns/zone.h"
#include "os/resolver.h"

struct qe_dns;

/* No thread yet. wake: called on the resolver's thread when qe_dns_take_lookup has something. */
enum qe_error qe_dns_new(struct qe_dns **ret_dns, void (*wake)(void *ctx), void *ctx);
/* Once privileges are dropped. What was asked of it before is done then. */
enum qe_error qe_dns_start(struct qe_dns *dns);
/* Ends the thread and closes all sockets; NULL-safe. Look-ups under way get no answer. */
struct qe_dns *qe_dns_free(struct qe_dns *dns);

/* Takes the sockets, bound and not blocking, the TCP one listening; also on failure; -1: none.
 * members: what comes by them is asked by members through the TUN, and is limited by source.
 * Questions fail until the first qe_dns_configure. QE_ERR_FULL: ask again later. */
enum qe_error qe_dns_listen(struct qe_dns *dns, int udp, int tcp, bool members);
/* Closes all sockets of that kind soon. QE_ERR_FULL. */
enum qe_error qe_dns_unlisten(struct qe_dns *dns, bool members);
/* In place of what was set before, as a whole; copied. As qe_dns_zone_new. */
enum qe_error qe_dns_configure(struct qe_dns *dns, const struct qe_dns_settings *settings);

struct qe_dns_counts {
	uint64_t queries;
	uint64_t own;       /* answered from what is known here */
	uint64_t cached;    /* from what is remembered */
	uint64_t forwarded; /* put to servers */
	uint64_t relayed;   /* answered with what servers said */
	uint64_t failed;    /* SERVFAIL of our own */
	uint64_t refused;   /* malformed, or nothing that is answered here */
	uint64_t dropped;   /* above the limits of a source */
	uint64_t ignored;   /* what came from servers and was no answer */
};

/* Since the sockets of that kind were last opened. */
void qe_dns_count(const struct qe_dns *dns, bool members, struct qe_dns_counts *ret_counts);

/* The source addresses of this host towards the Internet, for settings.exit_addrs; how many. */
size_t qe_dns_exit_addrs(struct qe_addr to[static 2]);

/* Asks servers 1 to n for the addresses of a host, in turn, and nobody else. sockets: one for
 * datagrams to each server, of its family, not connected, as marked ones from the helper; taken,
 * also on failure. NULL: ordinary ones. QE_ERR_FULL: ask again later; QE_ERR_SYNTAX, QE_ERR_RANGE:
 * no domain name, or no server. */
enum qe_error qe_dns_lookup(struct qe_dns *dns, uint64_t cookie, const char *host, uint16_t port,
	const struct qe_endpoint *servers, const int *sockets, size_t n);
bool qe_dns_take_lookup(struct qe_dns *dns, struct qe_resolved *ret_resolved);
