/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A configuration while it is put together, layer upon layer. Private to this folder. */
#pragma once

#include "config/schema.h"

struct qe_builder {
	struct qe_config *config;
	struct qe_diagnostics *diagnostics;
	size_t peers_capacity;
	enum qe_error
		error; /* of the system, sticky; what the operator did wrong is in diagnostics */
};

/* One text that a layer gives for a value, or for one item of a list. */
struct qe_item {
	const char *text;
	struct qe_origin origin;
};

/* The configuration itself, or one of its peers: where a key's offset counts from. */
struct qe_scope {
	void *base;
	struct qe_origin *origins;
};

struct qe_scope qe_builder_scope(struct qe_builder *builder);
struct qe_scope qe_peer_scope(struct qe_config_peer *peer);

/* Parse the item and put it in place of what the key had. What does not parse is reported and
 * leaves the key as it was. */
void qe_builder_set(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_item *item);
/* For a list: make it empty, then append item by item, or several with commas, and perhaps spaces,
 * between them. */
void qe_builder_begin_list(
	struct qe_scope scope, const struct qe_schema_key *key, struct qe_origin origin);
void qe_builder_append(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_item *item);
void qe_builder_append_items(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_item *items);
/* The list anew, from a word for the whole, or from items with commas between them. */
void qe_builder_set_list(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_item *item);
/* NULL if there is no room for more, which is reported. Valid until the next call. */
struct qe_config_peer *qe_builder_add_peer(struct qe_builder *builder, struct qe_origin origin);

[[gnu::format(printf, 4, 5)]] void qe_builder_report(struct qe_builder *builder,
	const struct qe_schema_key *key, struct qe_origin origin, const char *format, ...);

/* The layers. */
void qe_builder_read_file(struct qe_builder *builder, struct qe_bytes text);
void qe_builder_read_environment(struct qe_builder *builder, char *const *environment);
void qe_builder_read_flags(
	struct qe_builder *builder, const struct qe_config_flag *flags, size_t n);

/* What only the whole can show: peers that share an id or a name, prefixes with two
 * owners, keys that need another. */
void qe_builder_check(struct qe_builder *builder);
/* What [vpn] and [dns] say, against each other and against the peers. */
void qe_builder_check_vpn(struct qe_builder *builder);

/* "/etc/quicether/config.toml", "QUICETHER_NETWORK_MTU", "--mtu" or "default". */
void qe_origin_add_where(struct qe_text *to, const struct qe_config *config,
	const struct qe_schema_key *key, struct qe_origin origin);
