/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * In this order a prefix comes after those that hold it, and of them the longest that holds an
 * address holds the last one before the address, too, or is that one. So each knows the next one
 * that holds it, and a search goes up from there.
 */
#include "dns/owners.h"

#include <errno.h>
#include <stdlib.h>

constexpr size_t NONE = SIZE_MAX;

struct qe_dns_owned {
	struct qe_dns_owner is;
	size_t above; /* the next longer one that holds it */
};

static int by_prefix(const void *a, const void *b)
{
	const struct qe_dns_owned *one = a, *other = b;

	return qe_prefix_compare(&one->is.prefix, &other->is.prefix);
}

/* From i upwards, the first that holds the prefix. */
static size_t climb(const struct qe_dns_owned *all, size_t i, const struct qe_prefix *prefix)
{
	while (i != NONE && !qe_prefix_covers(&all[i].is.prefix, prefix))
		i = all[i].above;
	return i;
}

enum qe_error qe_dns_owners_init(
	struct qe_dns_owners *owners, const struct qe_dns_owner *settings, size_t n)
{
	struct qe_dns_owned *all = calloc(n + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		all[i].is = settings[i];
	qsort(all, n, sizeof(*all), by_prefix);
	for (size_t i = 0; i < n; i++)
		all[i].above = i == 0 ? NONE : climb(all, i - 1, &all[i].is.prefix);
	*owners = (struct qe_dns_owners){all, n};
	return QE_OK;
}

void qe_dns_owners_done(struct qe_dns_owners *owners)
{
	free(owners->all);
}

uint32_t qe_dns_owners_find(const struct qe_dns_owners *owners, const struct qe_addr *addr)
{
	const struct qe_prefix host = qe_prefix_host(addr);
	size_t low = 0, high = owners->n, found;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (qe_prefix_compare(&owners->all[middle].is.prefix, &host) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	found = low == 0 ? NONE : climb(owners->all, low - 1, &host);
	return found == NONE ? 0 : owners->all[found].is.owner;
}
