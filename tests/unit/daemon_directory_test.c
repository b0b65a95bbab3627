/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Configurations that follow one another, with peers that come, go and come back, against what the
 * node says of their slots. */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "crypto/key.h"
#include "crypto/node_id.h"
#include "daemon/configured.h"
#include "daemon/directory.h"
#include "random.h"

#define PEERS 12
#define ROUNDS 300

static struct qe_key *key;

static int set_up(void **state)
{
	return random_setup(state) == 0 && qe_key_generate(&key, QE_KEY_ED25519) == QE_OK ? 0 : -1;
}

static int tear_down(void **)
{
	key = qe_key_free(key);
	return 0;
}

/* About half of them, in any order, every other one with a name. */
static struct qe_config *random_config(void)
{
	static struct qe_diagnostics diagnostics;
	char toml[2048];
	struct qe_text text = qe_text_init(toml, sizeof(toml));
	unsigned first = (unsigned)random_below(PEERS);
	struct qe_config *config;

	for (unsigned i = 0; i < PEERS; i++) {
		unsigned peer = (first + i * 5) % PEERS;

		if (random_below(2))
			qe_text_addf(&text, "[[peers]]\nid = \"%c%s\"\n", 'a' + (char)peer,
				"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		else
			continue;
		if (peer % 2)
			qe_text_addf(&text, "name = \"peer%u\"\n", peer);
	}
	assert_false(text.truncated);
	assert_int_equal(qe_config_parse(&config, &(struct qe_config_inputs){}, "c.toml",
				 (struct qe_bytes){(const uint8_t *)toml, text.len}, &diagnostics),
		QE_OK);
	return config;
}

static void check(const struct qe_directory *directory, const struct qe_config *config,
	const struct qe_node *node)
{
	size_t n = 0;

	assert_ptr_equal(qe_directory_config(directory), config);
	for (size_t i = 0; i < config->n_peers; i++) {
		const struct qe_config_peer *peer = &config->peers[i];
		size_t slot = qe_directory_slot(directory, i);
		char label[QE_NAME_MAX + 1], id[QE_NODE_ID_TEXT_SIZE];

		assert_int_equal(slot, qe_node_find_peer(node, &peer->id));
		assert_true(slot < qe_directory_slots(directory));
		assert_ptr_equal(qe_directory_peer(directory, slot), peer);
		qe_directory_label(directory, slot, label);
		qe_node_id_format(id, &peer->id);
		assert_string_equal(label, peer->name ? peer->name : id);
	}
	for (size_t i = 0; i < qe_directory_slots(directory) + 3; i++)
		n += qe_directory_peer(directory, i) != nullptr;
	assert_int_equal(n, config->n_peers);
	assert_null(qe_directory_peer(directory, SIZE_MAX));
}

static void change(
	struct qe_directory *directory, struct qe_config *next, struct qe_node *node, qe_time now)
{
	struct qe_configured configured;

	assert_int_equal(qe_directory_reserve(directory, next, node), QE_OK);
	assert_int_equal(qe_configured_init(&configured, next, key, 1, nullptr), QE_OK);
	assert_int_equal(qe_node_reconfigure(node, &configured.settings, now), QE_OK);
	qe_configured_done(&configured);
	qe_config_free(qe_directory_change(directory, next, node));
}

static void slots_are_the_nodes([[maybe_unused]] void **state)
{
	struct qe_config *config = random_config();
	struct qe_configured configured;
	struct qe_directory *directory;
	struct qe_node *node;
	qe_time now = QE_SECOND;

	assert_int_equal(qe_configured_init(&configured, config, key, 1, nullptr), QE_OK);
	assert_int_equal(qe_node_new(&node, &configured.settings), QE_OK);
	qe_configured_done(&configured);
	assert_int_equal(qe_directory_new(&directory, config), QE_OK);
	check(directory, config, node);
	for (unsigned i = 0; i < ROUNDS; i++) {
		/* Long enough, now and then, for slots to be given to others. */
		now += random_below(8) * QE_SECOND;
		config = random_config();
		change(directory, config, node, now);
		check(directory, config, node);
	}
	qe_directory_free(directory);
	qe_node_free(node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_are_the_nodes),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
