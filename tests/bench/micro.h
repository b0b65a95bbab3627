/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What single steps of the packet path cost, without a kernel in between. Every part of it is a
 * list of rounds; the rounds of all parts run in turn, again and again, so that what slows the
 * machine for a while slows all of them. A round takes a few ms and tells one figure per measure:
 * the median of many short runs, so that being interrupted does not count.
 */
#pragma once

#include "base/bytes.h"
#include "base/time.h"

typedef void micro_round(void *ctx);

void micro_add(micro_round *round, void *ctx);
/* Standard output gets a line: suite, subject, measure, unit, value, with tabs between them. */
void micro_tell(const char *subject, const char *measure, const char *unit, double value);

qe_time micro_now(void);
double micro_median(double *values, size_t n); /* sorts them */
/* Ends the program if something went wrong: then there is nothing to measure. */
void micro_must(bool good, const char *what);

/* The parts: each adds its rounds. What they make lives until the program ends. */
void micro_add_aead(void);    /* sealing and opening, by provider, suite and size */
void micro_add_packets(void); /* splitting and coalescing */
void micro_add_links(void);   /* two links: writing and reading datagrams, and the handshake */
void micro_add_rejects(void); /* datagrams that are not welcome */
void micro_add_routes(void);  /* announcements, from their messages to the choice */
