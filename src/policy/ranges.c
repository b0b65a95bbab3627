/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "policy/ranges.h"

#include <errno.h>
#include <stdlib.h>

enum qe_error ranges_init(struct ranges *ranges, size_t n)
{
	/* Each prefix has a begin, and an end at which what is around it goes on. */
	size_t most = 2 * n + 1;

	*ranges = (struct ranges){
		.max = most,
		.begins = calloc(most, sizeof(*ranges->begins)),
		.classes = calloc(most, sizeof(*ranges->classes)),
	};
	if (ranges->begins == nullptr || ranges->classes == nullptr) {
		ranges_done(ranges);
		return -ENOMEM;
	}
	ranges_append(ranges, 0, 0);
	return QE_OK;
}

void ranges_done(struct ranges *ranges)
{
	free(ranges->begins);
	free(ranges->classes);
	*ranges = (struct ranges){};
}

void ranges_append(struct ranges *ranges, address_key begin, uint32_t class)
{
	if (ranges->n > 0 && ranges->begins[ranges->n - 1] == begin)
		ranges->n--;
	if (ranges->n > 0 && ranges->classes[ranges->n - 1] == class)
		return;
	ranges->begins[ranges->n] = begin;
	ranges->classes[ranges->n] = class;
	ranges->n++;
}

size_t ranges_memory(const struct ranges *ranges)
{
	return ranges->max * (sizeof(*ranges->begins) + sizeof(*ranges->classes));
}
