/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The schema: one row for each key, which gives its type, range, default, flag and help. Parsing,
 * `config show`, the environment, flags, help texts and the reference in docs/configuration.md all
 * come from it.
 */
#pragma once

#include "config/config.h"

struct qe_schema_key;

/* How one value, or one item of a list, is read and written. */
struct qe_schema_type {
	const char *name;     /* "address": for the reference */
	const char *expected; /* for errors; NULL: made from the key's words or range */
	size_t size;          /* of an item in memory */
	/* What it is in the file: a string, if nothing else. */
	bool integer, boolean;
	bool text; /* a char *, NULL if it was not given */
	/* Items are "NAME=VALUE": the list is a table of strings in the file. */
	bool table;
	/* Writes *to only on success. On failure says in problem what is wrong with the text. */
	bool (*parse)(void *to, const char *text, const struct qe_schema_key *key,
		struct qe_text *problem);
	void (*format)(struct qe_text *to, const void *value, const struct qe_schema_key *key);
	void (*done)(void *value); /* NULL if the value owns nothing */
};

/* A word for a whole list. "true" and "false" are booleans in the file. */
struct qe_schema_short {
	const char *word;
	const char *list; /* the items, with commas between them */
};

struct qe_schema_key {
	const char *section, *key;
	const struct qe_schema_type *type;
	size_t list_max; /* 0: one value; otherwise a list of so many at most */
	const struct qe_schema_short *shorts; /* of a list, up to one without a word; may be NULL */
	const char *const *words; /* of an enum, in the order of its values, then NULL */
	unsigned min, max;        /* of an integer */
	const char *zero;         /* a word for its 0; NULL if there is none */
	bool required;
	bool restart;         /* a change counts from the next start */
	const char *fallback; /* the default as a text; NULL: none, or a computed one */
	const char *computed; /* what the default is, in words, if it is computed */
	const char *example;
	/* "listen" and what follows it; NULL if there is none. A boolean's flag means true. */
	const char *flag, *metavar;
	const char *flag_help; /* NULL: help */
	const char *help;
	size_t offset; /* in struct qe_config or struct qe_config_peer */
};

#define QE_SCHEMA_KEYS (QE_CONFIG_KEYS + QE_CONFIG_PEER_KEYS)
#define QE_SCHEMA_PEERS "peers"

/* The keys of struct qe_config, section by section, then those of struct qe_config_peer. */
extern const struct qe_schema_key qe_schema[QE_SCHEMA_KEYS];

/* NULL if there is none. */
const struct qe_schema_key *qe_schema_find(const char *section, const char *key);
const struct qe_schema_key *qe_schema_find_flag(const char *flag);
bool qe_schema_has_section(const char *section);
bool qe_schema_is_peer(const struct qe_schema_key *key);
/* NULL if the word stands for nothing in that list. */
const struct qe_schema_short *qe_schema_find_short(
	const struct qe_schema_key *key, const char *word);
bool qe_schema_is_bare(const char *word); /* "true" and "false": without quotes in the file */
/* The index in origins of struct qe_config or struct qe_config_peer. */
size_t qe_schema_origin(const struct qe_schema_key *key);

void qe_schema_add_name(struct qe_text *to, const struct qe_schema_key *key); /* "network.mtu" */
/* "QUICETHER_NETWORK_MTU"; nothing for the keys of peers. */
void qe_schema_add_environment(struct qe_text *to, const struct qe_schema_key *key);
/* "an integer from 1280 to 9000", "a prefix such as "192.168.1.0/24"": what one item is to be. */
void qe_schema_add_expected_item(struct qe_text *to, const struct qe_schema_key *key);
/* What the whole value is to be in the file: "an array such as ["192.168.1.0/24"]". */
void qe_schema_add_expected(struct qe_text *to, const struct qe_schema_key *key);
/* Default as a reader understands it; "none" if there is none. */
void qe_schema_add_default(struct qe_text *to, const struct qe_schema_key *key);

/* The types, in types.c. */
extern const struct qe_schema_type qe_type_name, qe_type_path, qe_type_interface_name,
	qe_type_choice, qe_type_integer, qe_type_boolean, qe_type_peer, qe_type_listen,
	qe_type_node_id, qe_type_interface_addr, qe_type_host, qe_type_prefix, qe_type_host_port,
	qe_type_url, qe_type_label, qe_type_domain;
