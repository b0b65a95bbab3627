/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Prefixes with two owners, against comparing each prefix with each other. */
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "net/addr.h"
#include "random.h"

#define OWNERS 5 /* this node and four peers */
#define PREFIXES 4
#define TEXT_SIZE 4096

struct claims {
	struct qe_prefix prefixes[OWNERS][PREFIXES];
	size_t n[OWNERS];
};

/* From a small space, so that about half of the rounds are without a second owner. */
static struct qe_prefix random_prefix(void)
{
	struct qe_prefix prefix = {.addr.family = QE_FAMILY_IPV4, .addr.bytes = {10}};

	prefix.length = (uint8_t)(11 + random_below(4));
	prefix.addr.bytes[1] = (uint8_t)random_below(256);
	if (random_below(2)) {
		prefix.addr.family = QE_FAMILY_IPV6;
		prefix.addr.bytes[0] = 0x20;
	}
	qe_prefix_mask(&prefix);
	return prefix;
}

static void add_list(struct qe_text *to, const char *key, const struct claims *claims, size_t owner)
{
	qe_text_addf(to, "%s = [", key);
	for (size_t i = 0; i < claims->n[owner]; i++) {
		char text[QE_PREFIX_TEXT_SIZE];
		qe_prefix_format(text, &claims->prefixes[owner][i]);
		qe_text_addf(to, "\"%s\",", text);
	}
	qe_text_add(to, "]\n");
}

static void format_claims(struct qe_text *to, const struct claims *claims)
{
	qe_text_add(to, "[network]\n");
	add_list(to, "advertise_subnets", claims, 0);
	for (size_t owner = 1; owner < OWNERS; owner++) {
		qe_text_addf(to, "[[peers]]\nid = \"%caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n",
			'a' + (char)owner);
		add_list(to, "subnets", claims, owner);
	}
}

static bool share_one(const struct claims *claims, size_t a, size_t b)
{
	for (size_t i = 0; i < claims->n[a]; i++)
		for (size_t j = 0; j < claims->n[b]; j++)
			if (qe_prefix_compare(&claims->prefixes[a][i], &claims->prefixes[b][j]) ==
				0)
				return true;
	return false;
}

static bool any_share_one(const struct claims *claims)
{
	for (size_t a = 0; a < OWNERS; a++)
		for (size_t b = a + 1; b < OWNERS; b++)
			if (share_one(claims, a, b))
				return true;
	return false;
}

static void second_owners_are_found([[maybe_unused]] void **state)
{
	static struct qe_diagnostics diagnostics;
	size_t clashes = 0;

	for (size_t round = 0; round < 3000; round++) {
		struct claims claims;
		char toml[TEXT_SIZE];
		struct qe_text text = qe_text_init(toml, sizeof toml);
		struct qe_config *config = nullptr;
		for (size_t owner = 0; owner < OWNERS; owner++) {
			claims.n[owner] = random_below(PREFIXES + 1);
			for (size_t i = 0; i < claims.n[owner]; i++)
				claims.prefixes[owner][i] = random_prefix();
		}
		format_claims(&text, &claims);
		assert_false(text.truncated);
		enum qe_error error = qe_config_parse(&config, &(struct qe_config_inputs){},
			"c.toml", (struct qe_bytes){(const uint8_t *)toml, text.len}, &diagnostics);
		bool clash = any_share_one(&claims);
		clashes += clash;
		if ((error != QE_OK) != clash)
			print_error("%s", toml);
		assert_int_equal(error, clash ? QE_ERR_SYNTAX : QE_OK);
		qe_config_free(config);
	}
	print_message("%zu of 3000 rounds clash\n", clashes);
	assert_true(clashes > 300 && clashes < 2700);
}

/* As many as the file can hold, nested and equal, in a time that nobody notices. */
static void a_full_file_is_checked_at_once([[maybe_unused]] void **state)
{
	static struct qe_diagnostics diagnostics;
	char *toml = malloc(QE_CONFIG_FILE_MAX);
	struct qe_text text = qe_text_init(toml, QE_CONFIG_FILE_MAX);
	struct qe_config *config;

	for (unsigned i = 0; i < 9000; i++)
		qe_text_addf(&text,
			"[[peers]]\nname=\"p%u\"\nid=\"aaaaaaaaaaaaaaaaaaaaaaa%c%c%c%caaaaa\"\n"
			"addresses=[\"10.0.%u.%u\"]\n",
			i, 'a' + (char)(i % 26), 'a' + (char)(i / 26 % 26),
			'a' + (char)(i / 676 % 26), 'a' + (char)(i / 17576), i / 256, i % 256);
	assert_false(text.truncated);
	assert_int_equal(qe_config_parse(&config, &(struct qe_config_inputs){}, "c.toml",
				 (struct qe_bytes){(const uint8_t *)toml, text.len}, &diagnostics),
		QE_OK);
	assert_int_equal(config->n_peers, 9000);
	qe_config_free(config);
	free(toml);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(second_owners_are_found, random_setup),
		cmocka_unit_test(a_full_file_is_checked_at_once),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
