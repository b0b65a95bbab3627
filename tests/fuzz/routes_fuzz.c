/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* ROUTES: the input is cut into messages at each 0xff 0xff and fed to one set, and each set that
 * becomes whole to a RIB. What is believed lies within what is granted, and a whole set comes back
 * the same when it is written and read again. */
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"
#include "peer/routes.h"
#include "route/rib.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

static const struct qe_prefix own = {{QE_FAMILY_IPV4, {10, 1}}, 16};
static const struct qe_prefix gateway = {{QE_FAMILY_IPV6, {0xfd}}, 8};

static void on_changed(void *, const struct qe_prefix *prefix, const struct qe_route *route)
{
	if (route != nullptr)
		require(qe_prefix_covers(
			route->next_hop == QE_NEXT_HOP_GATEWAY ? &gateway : &own, prefix));
}

static struct qe_rib *make_rib(void)
{
	struct qe_rib_settings settings = {.changed = on_changed};
	struct qe_rib_peer peer = {
		.slot = 3, .own = &own, .n_own = 1, .gateway = &gateway, .n_gateway = 1};
	struct qe_rib *rib = nullptr;

	require(qe_rib_new(&rib, &settings) == QE_OK && qe_rib_set_peer(rib, &peer, 0) == QE_OK);
	qe_rib_peer_up(rib, peer.slot, 0);
	return rib;
}

static void write_and_read(const struct qe_routes_set *set)
{
	struct qe_routes routes = {
		.instance = set->instance, .number = set->number, .list = set->list, .n = set->n};
	struct qe_routes_set again;
	uint8_t bytes[QE_ROUTES_SIZE];
	bool whole = false;

	qe_routes_set_init(&again);
	for (size_t i = 0; i < qe_routes_parts(&routes); i++) {
		size_t len = qe_routes_encode(bytes, &routes, i);

		require(len <= sizeof(bytes));
		require(qe_routes_set_take(&again, (struct qe_bytes){bytes, len}, &whole) == QE_OK);
	}
	require(whole && again.n == set->n);
	for (size_t i = 0; i < set->n; i++)
		require(memcmp(&again.list[i].prefix, &set->list[i].prefix,
				sizeof(set->list[i].prefix)) == 0 &&
			again.list[i].gateway == set->list[i].gateway &&
			again.list[i].metric == set->list[i].metric);
	qe_routes_set_done(&again);
}

static size_t message_len(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 1 < size; i++)
		if (data[i] == 0xff && data[i + 1] == 0xff)
			return i;
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qe_rib *rib = make_rib();
	struct qe_routes_set set;
	qe_time now = 0;

	qe_routes_set_init(&set);
	while (size > 0) {
		size_t len = message_len(data, size), step = len + 2 < size ? len + 2 : size;
		bool whole = false;

		if (qe_routes_set_take(&set, (struct qe_bytes){data, len}, &whole) == QE_OK &&
			whole) {
			write_and_read(&set);
			require(qe_rib_announce(rib, 3, set.list, set.n, set.more, now) == QE_OK);
			require(qe_rib_rejected(rib, 3) <= set.n + set.more);
		}
		qe_rib_run(rib, now += QE_SECOND);
		data += step;
		size -= step;
	}
	qe_routes_set_done(&set);
	qe_rib_free(rib);
	return 0;
}
