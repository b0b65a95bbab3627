/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "node/knocks.h"

#include "quic/cid.h"

void knocks_init(struct knocks *knocks, uint64_t seed)
{
	*knocks = (struct knocks){};
	qe_map_init(&knocks->salts, KNOCKS_MAX, seed);
}

void knocks_done(struct knocks *knocks)
{
	qe_map_done(&knocks->salts);
}

bool knocks_contain(const struct knocks *knocks, struct qe_bytes knock)
{
	return qe_map_get(&knocks->salts, qe_cid_map_key(knock)) != nullptr;
}

void knocks_add(struct knocks *knocks, struct qe_bytes knock)
{
	uint64_t salt = qe_cid_map_key(knock);
	uint64_t *place = &knocks->ring[knocks->next];

	if (qe_map_size(&knocks->salts) == KNOCKS_MAX)
		qe_map_remove(&knocks->salts, *place);
	if (qe_map_put(&knocks->salts, salt, knocks) != QE_OK)
		return;
	*place = salt;
	knocks->next = (knocks->next + 1) % KNOCKS_MAX;
}
