/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* version: this program, what it was built with, and what it runs on. */
#include <stdio.h>

#include "cli/build.h"
#include "cli/output.h"
#include "crypto/aead.h"

/* Libraries whose version is settled when they are linked; the others are asked. */
static const struct {
	const char *name, *version;
} built_with[] = {
	{"ngtcp2", QE_BUILD_NGTCP2},
	{"libnl", QE_BUILD_LIBNL},
	{"libcbor", QE_BUILD_LIBCBOR},
	{"toml++", QE_BUILD_TOMLPLUSPLUS},
	{"lwIP", QE_BUILD_LWIP},
	{"libcap-ng", QE_BUILD_LIBCAP_NG},
};

/* "OpenSSL 3.5.7", "libipsec_mb 2.0 (AVX512)"; "none" if it does not work on this machine. */
static json_t *provider(enum qe_crypto_choice choice)
{
	struct qe_crypto *crypto;

	if (qe_crypto_new(&crypto, choice) != QE_OK)
		return json_string("none");
	json_t *name = json_string(qe_crypto_name(crypto));
	qe_crypto_free(crypto);
	return name;
}

static json_t *libraries(void)
{
	json_t *json = json_object();

	for (size_t i = 0; i < sizeof built_with / sizeof *built_with; i++)
		json_object_set_new(json, built_with[i].name, json_string(built_with[i].version));
	json_object_set_new(json, "jansson", json_string(jansson_version_str()));
	return json;
}

static void show(json_t *version)
{
	const char *name, *between = "";
	json_t *library;

	printf("quicether %s (%s), %s\n", qe_get_text(version, "version"),
		qe_get_text(version, "commit"), qe_get_text(version, "build"));
	printf("Packets are protected by %s, handshakes by %s\n", qe_get_text(version, "packets"),
		qe_get_text(version, "tls"));
	printf("Built with");
	json_object_foreach(json_object_get(version, "libraries"), name, library)
	{
		printf("%s %s %s", between, name, json_string_value(library));
		between = ",";
	}
	printf("\n");
}

enum qe_exit qe_command_version(const struct qe_args *args)
{
	json_t *version = json_pack("{s:s,s:s,s:s,s:o,s:o,s:o}", "version", QE_BUILD_VERSION,
		"commit", qe_build_commit, "build", QE_BUILD_COMPILER, "packets",
		provider(QE_CRYPTO_BEST), "tls", provider(QE_CRYPTO_OPENSSL), "libraries",
		libraries());

	if (qe_args_get(args, "json"))
		return qe_print_json(version);
	show(version);
	json_decref(version);
	return QE_EXIT_OK;
}
