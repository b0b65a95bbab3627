/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "dns/shunned.h"

#include <string.h>

constexpr qe_time SHUNNED = 10 * QE_SECOND;

/* QE_DNS_SHUNNED_MAX: it is not there. */
static size_t find(const struct qe_dns_shunned *shunned, const struct qe_endpoint *server)
{
	size_t i = 0;

	while (i < QE_DNS_SHUNNED_MAX && !qe_endpoint_equal(&shunned->list[i].server, server))
		i++;
	return i;
}

static bool is_shunned(
	const struct qe_dns_shunned *shunned, const struct qe_endpoint *server, qe_time now)
{
	size_t i = find(shunned, server);

	return i < QE_DNS_SHUNNED_MAX && shunned->list[i].until > now;
}

void qe_dns_shun(struct qe_dns_shunned *shunned, const struct qe_endpoint *server, qe_time now)
{
	size_t i = find(shunned, server);

	if (i == QE_DNS_SHUNNED_MAX)
		i = shunned->next++ % QE_DNS_SHUNNED_MAX;
	shunned->list[i].server = *server;
	shunned->list[i].until = now + SHUNNED;
}

void qe_dns_forgive(struct qe_dns_shunned *shunned, const struct qe_endpoint *server)
{
	size_t i = find(shunned, server);

	if (i < QE_DNS_SHUNNED_MAX)
		shunned->list[i].until = 0;
}

void qe_dns_order_servers(
	const struct qe_dns_shunned *shunned, struct qe_endpoint *servers, size_t n, qe_time now)
{
	struct qe_endpoint last[QE_DNS_SERVERS_MAX];
	size_t n_first = 0, n_last = 0;

	for (size_t i = 0; i < n; i++) {
		const struct qe_endpoint server = servers[i];

		if (is_shunned(shunned, &server, now))
			last[n_last++] = server;
		else
			servers[n_first++] = server;
	}
	memcpy(servers + n_first, last, n_last * sizeof(*last));
}
