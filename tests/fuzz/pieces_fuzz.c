/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Halves of packets, as a peer may send them: each is a byte that says which half, how marked and
 * how much later, a length and the payload. What is put together must be no longer than a packet
 * may be, and be made of the last half and one before.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "node/pieces.h"

static void check_whole(struct qe_bytes whole, struct qe_bytes payload, bool tail)
{
	struct qe_bytes half = {payload.data + 2, payload.len - 2};

	assert(whole.len > half.len && whole.len <= HALVES_PACKET_MAX);
	assert(memcmp(whole.data + (tail ? whole.len - half.len : 0), half.data, half.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct halves halves;
	struct qe_reader reader = qe_reader_init((struct qe_bytes){data, size});
	qe_time now = 1;

	memset(&halves, 0, sizeof(halves));
	while (qe_reader_left(&reader) > 3) {
		uint8_t how = qe_read_u8(&reader);
		size_t len = qe_read_u16(&reader) % 1400, left = qe_reader_left(&reader);
		struct qe_bytes payload = qe_read_bytes(&reader, len < left ? len : left), whole;
		bool tail = how & 1;
		enum qe_ecn ecn;

		now += (qe_time)(how >> 3) * 100'000'000;
		if (halves_take(&halves, tail ? QE_CONTEXT_IP_TAIL : QE_CONTEXT_IP_HEAD, payload,
			    (enum qe_ecn)(how >> 1 & 3), now, &whole, &ecn) == HALVES_WHOLE)
			check_whole(whole, payload, tail);
	}
	return 0;
}
