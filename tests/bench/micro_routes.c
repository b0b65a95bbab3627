/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What announcements cost the control thread, from the parts of a set to the choice.
 *
 *   routes_decode     reading a set of 1,024 announcements from its parts
 *   routes_announce   the first sets of ten peers, the same 1,024 prefixes in each
 *   routes_again      the same sets again
 *   routes_excess     a set of 100,000 by one of them
 *   routes_lost       the loss of the peer that is used for all of the prefixes
 */
#include "micro.h"
#include "peer/routes.h"
#include "route/rib.h"

constexpr size_t peers = 10;
constexpr size_t set_size = 1024;
constexpr size_t excess = 100000;
constexpr size_t runs = 5;

enum measure { DECODE, ANNOUNCE, AGAIN, EXCESS, LOST, MEASURES };

static const char *const names[MEASURES] = {
	"routes_decode", "routes_announce", "routes_again", "routes_excess", "routes_lost"};

static struct qe_announcement list[excess];

static void on_changed(void *changes, const struct qe_prefix *, const struct qe_route *)
{
	++*(size_t *)changes;
}

static double milliseconds_since(qe_time start)
{
	return (double)(micro_now() - start) / 1e6;
}

static double time_decoding(void)
{
	const struct qe_routes routes = {.list = list, .n = set_size};
	struct {
		uint8_t bytes[QE_ROUTES_SIZE];
		size_t len;
	} parts[set_size / QE_ROUTES_PER_PART + 1];
	size_t n = qe_routes_parts(&routes);
	struct qe_routes_set set;
	bool whole = false;

	for (size_t i = 0; i < n; i++)
		parts[i].len = qe_routes_encode(parts[i].bytes, &routes, i);
	qe_routes_set_init(&set);
	qe_time start = micro_now();

	for (size_t i = 0; i < n; i++)
		micro_must(qe_routes_set_take(&set, (struct qe_bytes){parts[i].bytes, parts[i].len},
				   &whole) == QE_OK,
			"a part is refused");
	double time = milliseconds_since(start);

	micro_must(whole && set.n == set_size, "the set is not whole");
	qe_routes_set_done(&set);
	return time;
}

static double time_announcing(struct qe_rib *rib, size_t n_peers, size_t n)
{
	qe_time start = micro_now();

	for (uint32_t slot = 0; slot < n_peers; slot++)
		micro_must(qe_rib_announce(rib, slot, list, n, 0, 0) == QE_OK, "no memory");
	qe_rib_run(rib, 0);
	return milliseconds_since(start);
}

static double time_losing(struct qe_rib *rib)
{
	qe_time start = micro_now();

	qe_rib_peer_down(rib, 0, false, QE_SECOND);
	qe_rib_run(rib, QE_SECOND);
	return milliseconds_since(start);
}

static struct qe_rib *make_rib(size_t *changes)
{
	const struct qe_prefix grant = {{QE_FAMILY_IPV4, {10}}, 7};
	struct qe_rib *rib = nullptr;

	micro_must(qe_rib_new(&rib, &(struct qe_rib_settings){.ctx = changes,
					    .changed = on_changed}) == QE_OK,
		"no memory");
	for (uint32_t slot = 0; slot < peers; slot++) {
		struct qe_rib_peer peer = {.slot = slot, .gateway = &grant, .n_gateway = 1};

		micro_must(qe_rib_set_peer(rib, &peer, 0) == QE_OK, "no memory");
		qe_rib_peer_up(rib, slot, 0);
	}
	return rib;
}

static void routes_round(void *)
{
	double times[MEASURES][runs];

	for (size_t i = 0; i < runs; i++) {
		size_t changes = 0;
		struct qe_rib *rib = make_rib(&changes);

		times[DECODE][i] = time_decoding();
		times[ANNOUNCE][i] = time_announcing(rib, peers, set_size);
		times[AGAIN][i] = time_announcing(rib, peers, set_size);
		times[EXCESS][i] = time_announcing(rib, 1, excess);
		micro_must(changes == set_size, "not each prefix has one route");
		times[LOST][i] = time_losing(rib);
		micro_must(changes == 2 * set_size, "the routes have not moved");
		qe_rib_free(rib);
	}
	for (size_t i = 0; i < MEASURES; i++)
		micro_tell("quicether", names[i], "ms", micro_median(times[i], runs));
}

void micro_add_routes(void)
{
	for (size_t i = 0; i < excess; i++)
		list[i] = (struct qe_announcement){
			.prefix = {{QE_FAMILY_IPV4, {(uint8_t)(10 + (i >> 16)), (uint8_t)(i >> 8),
							    (uint8_t)i}},
				24},
			.gateway = true};
	micro_add(routes_round, nullptr);
}
