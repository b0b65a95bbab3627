/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Who may send from where: random grants and addresses of a small world against the rules as
 * docs/protocol.md says them, "The source check". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/directory.h"
#include "random.h"

#define PEERS 4
#define PREFIXES 4
#define ROUNDS 2000
#define QUESTIONS 200

struct world {
	struct qe_prefix local[PREFIXES], forward[PREFIXES];
	struct qe_prefix own[PEERS][PREFIXES], gateway[PEERS][PREFIXES];
	struct qe_peer_settings peers[PEERS];
	struct qe_node_settings settings;
	struct qe_node_id id;
};

/* Of few bits, so that prefixes nest and meet. */
static struct qe_addr any_addr(void)
{
	struct qe_addr addr = {.family = random_below(2) ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6};

	addr.bytes[0] = 10;
	addr.bytes[1] = (uint8_t)(random_below(4) << 6);
	return addr;
}

static struct qe_prefix any_prefix(void)
{
	struct qe_prefix prefix = {any_addr(), (uint8_t)(8 + random_below(3))};

	if (random_below(8) == 0)
		prefix.length = 0;
	qe_prefix_mask(&prefix);
	return prefix;
}

static size_t fill(struct qe_prefix *prefixes)
{
	size_t n = random_below(PREFIXES);

	for (size_t i = 0; i < n; i++)
		prefixes[i] = any_prefix();
	return n;
}

static void fill_world(struct world *world)
{
	*world = (struct world){.id = {.bytes = {0xff}}};
	for (size_t i = 0; i < PEERS; i++)
		world->peers[i] = (struct qe_peer_settings){
			.id = {.bytes = {(uint8_t)(1 + i)}},
			.prefixes = world->own[i],
			.n_prefixes = fill(world->own[i]),
			.gateway_prefixes = world->gateway[i],
			.n_gateway_prefixes = fill(world->gateway[i]),
			.exit = random_below(2),
			.default_gateway = random_below(4) == 0,
		};
	world->settings = (struct qe_node_settings){
		.local = world->local,
		.n_local = fill(world->local),
		.forward = world->forward,
		.n_forward = fill(world->forward),
		.peers = world->peers,
		.n_peers = PEERS,
	};
}

/* The length of the longest that holds the address; -1: none. */
static int longest(const struct qe_prefix *prefixes, size_t n, const struct qe_addr *addr)
{
	int length = -1;

	for (size_t i = 0; i < n; i++)
		if (prefixes[i].length > length && qe_prefix_contains(&prefixes[i], addr))
			length = prefixes[i].length;
	return length;
}

static bool should_allow(const struct world *world, size_t slot, const struct qe_addr *source)
{
	const struct qe_peer_settings *peer = &world->peers[slot];
	int length = longest(world->local, world->settings.n_local, source);
	size_t owner = length < 0 ? SIZE_MAX : PEERS; /* nobody, or this node */

	for (size_t i = 0; i < PEERS; i++) {
		int its = longest(world->own[i], world->peers[i].n_prefixes, source);

		if (its > length) {
			length = its;
			owner = i;
		}
	}
	if (owner == slot || owner == PEERS)
		return owner == slot;
	int grant = longest(peer->gateway_prefixes, peer->n_gateway_prefixes, source);
	bool of_a_node = owner != SIZE_MAX &&
			 length == (source->family == QE_FAMILY_IPV4 ? 32 : 128);

	if (grant >= 0 && (!of_a_node || grant == length))
		return true;
	return owner == SIZE_MAX && (peer->exit || peer->default_gateway) &&
	       longest(world->forward, world->settings.n_forward, source) <= 0;
}

static void ask(const struct world *world, const struct directory *directory)
{
	for (unsigned i = 0; i < QUESTIONS; i++) {
		struct qe_addr source = any_addr(), destination = any_addr();
		size_t slot = random_below(PEERS);
		const struct qe_prefix *forward = world->forward;
		size_t n = world->settings.n_forward;

		assert_int_equal(grants_allow_source(directory, slot, &source),
			should_allow(world, slot, &source));
		assert_int_equal(grants_forward(&directory->grants, &source, &destination),
			longest(forward, n, &source) >= 0 ||
				longest(forward, n, &destination) >= 0);
	}
}

static void sources_are_allowed_as_granted(void **)
{
	unsigned made = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct world world;
		struct directory *directory;

		fill_world(&world);
		const struct directory_change change = {.own = &world.id, .generation = 1};
		enum qe_error error = directory_new(&directory, &change, &world.settings);

		if (error == QE_ERR_CONFLICT)
			continue; /* two owners */
		assert_int_equal(error, QE_OK);
		ask(&world, directory);
		directory_free(directory);
		made++;
	}
	assert_true(made > ROUNDS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources_are_allowed_as_granted),
	};
	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
