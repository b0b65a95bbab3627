/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Servers that did not answer: for a while they are asked last. */
#pragma once

#include "base/time.h"
#include "dns/zone.h"

#define QE_DNS_SHUNNED_MAX 16

/* Zero-initialised: nobody. */
struct qe_dns_shunned {
	struct {
		struct qe_endpoint server;
		qe_time until;
	} list[QE_DNS_SHUNNED_MAX];
	size_t next;
};

void qe_dns_shun(struct qe_dns_shunned *shunned, const struct qe_endpoint *server, qe_time now);
void qe_dns_forgive(struct qe_dns_shunned *shunned, const struct qe_endpoint *server);
/* Those that are shunned come after the others, all else in the order given. n: at most
 * QE_DNS_SERVERS_MAX. */
void qe_dns_order_servers(
	const struct qe_dns_shunned *shunned, struct qe_endpoint *servers, size_t n, qe_time now);
