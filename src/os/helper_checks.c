/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "os/helper_checks.h"

#include <stddef.h>
#include <string.h>

static bool is_addr(const struct qe_addr *addr)
{
	return (addr->family == QE_FAMILY_IPV4 || addr->family == QE_FAMILY_IPV6) &&
	       !qe_addr_is_loopback(addr) && !qe_addr_is_multicast(addr);
}

bool qe_helper_is_interface_addr(const struct qe_prefix *prefix)
{
	return is_addr(&prefix->addr) && !qe_addr_is_unspecified(&prefix->addr) &&
	       prefix->length <= qe_addr_bits(&prefix->addr);
}

static bool is_prefix(const struct qe_prefix *prefix)
{
	struct qe_prefix masked = *prefix;

	if (!is_addr(&prefix->addr) || prefix->length > qe_addr_bits(&prefix->addr))
		return false;
	qe_prefix_mask(&masked);
	return qe_prefix_compare(&masked, prefix) == 0;
}

/* A default route like any other would take what the daemon itself sends to its peers. */
bool qe_helper_is_route(const struct qe_prefix *prefix)
{
	return is_prefix(prefix) && prefix->length > 0;
}

bool qe_helper_has_only(
	const struct qe_helper_request *request, bool (*good)(const struct qe_prefix *))
{
	for (size_t i = 0; i < request->n; i++) {
		if (!good(&request->prefixes[i]))
			return false;
	}
	return true;
}

bool qe_helper_is_of_families(const struct qe_helper_request *request)
{
	return request->n == 0 && !(request->flags & ~(QE_HELPER_IPV4 | QE_HELPER_IPV6));
}

static bool has_only_of(const struct qe_prefix *prefixes, size_t n, size_t most,
	bool (*good)(const struct qe_prefix *))
{
	for (size_t i = 0; i < n && i < most; i++) {
		if (!good(&prefixes[i]))
			return false;
	}
	return n <= most;
}

#define ALL_OF(gateway, list, good) \
	has_only_of((gateway)->list, (gateway)->n_##list, \
		sizeof((gateway)->list) / sizeof((gateway)->list[0]), good)

bool qe_helper_is_gateway(const struct qe_nft_gateway *gateway)
{
	return ALL_OF(gateway, masquerade, is_prefix) &&
	       ALL_OF(gateway, named, qe_helper_is_route) &&
	       ALL_OF(gateway, networks, qe_helper_is_route);
}

/* It goes into files that others read. */
bool qe_helper_is_domain(const char *domain)
{
	return domain[0] != '.' && strspn(domain, "abcdefghijklmnopqrstuvwxyz"
						  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						  "0123456789-.") == strlen(domain);
}

bool qe_helper_is_whole(const struct qe_helper_request *request, size_t len)
{
	bool domain = request->kind == QE_HELPER_SET_DNS;
	size_t head = offsetof(struct qe_helper_request, prefixes);
	size_t each = domain ? 1 : sizeof(request->prefixes[0]);
	size_t body = len >= head ? qe_helper_body_size(request) : 0;

	if (body > 0)
		return request->n == 0 && len == head + body;
	return len >= head &&
	       request->n <= (domain ? QE_HELPER_DOMAIN_MAX : QE_HELPER_PREFIXES_MAX) &&
	       len == head + request->n * each;
}
