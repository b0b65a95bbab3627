/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * One side of the resolver, that of this host's programs or that of members: a forwarder with its
 * sockets to clients and to servers. The resolver's thread.
 */
#pragma once

#include "dns/forwarder.h"
#include "os/loop.h"

#define QE_DNS_LISTENERS_MAX 256
#define QE_DNS_CLIENTS_MAX 32          /* connections at a time; then the oldest goes */
#define QE_DNS_CLIENTS_OF_SOURCE_MAX 8 /* of members */

struct qe_dns_side;

enum qe_error qe_dns_side_new(struct qe_dns_side **ret_side, struct qe_loop *loop, bool members);
struct qe_dns_side *qe_dns_side_free(struct qe_dns_side *side); /* NULL-safe */
/* Takes the descriptors, also on failure; -1: none. */
enum qe_error qe_dns_side_listen(struct qe_dns_side *side, int udp, int tcp);
void qe_dns_side_set_zone(struct qe_dns_side *side, const struct qe_dns_zone *zone, qe_time now);
void qe_dns_side_run(struct qe_dns_side *side, qe_time now);
qe_time qe_dns_side_deadline(const struct qe_dns_side *side);
const struct qe_dns_forwarder_counts *qe_dns_side_counts(const struct qe_dns_side *side);
