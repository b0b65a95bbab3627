/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Arrays on the heap that grow, with zeroes in the new items. */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The array of n items with room for so many, if not fewer than it has; NULL without memory, and
 * then the array is as it was. */
static inline void *qe_array_grow(void *array, size_t n, size_t to, size_t item_size)
{
	char *grown = reallocarray(array, to, item_size);

	if (grown)
		memset(grown + n * item_size, 0, (to - n) * item_size);
	return grown;
}
