/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Contradictions in [vpn] and [dns]. The lists are short, so each item meets each other one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/builder.h"
#include "net/addr.h"

#define PLACE_SIZE 160

static const struct qe_schema_key *vpn_key(const char *key)
{
	return qe_schema_find("vpn", key);
}

static struct qe_origin origin_of(const struct qe_builder *builder, const struct qe_schema_key *key)
{
	return builder->config->origins[qe_schema_origin(key)];
}

/* "line 5", "QUICETHER_VPN_EXCLUDE". */
static void format_place(char to[static PLACE_SIZE], const struct qe_config *config,
	const struct qe_schema_key *key, struct qe_origin origin)
{
	struct qe_text text = qe_text_init(to, PLACE_SIZE);

	if (origin.source == QE_SOURCE_FILE)
		qe_text_addf(&text, "line %u", origin.line);
	else
		qe_origin_add_where(&text, config, key, origin);
}

/* ---- peers ---- */

static void report_no_peer(
	struct qe_builder *builder, const struct qe_schema_key *key, const char *text)
{
	const struct qe_config *config = builder->config;
	const char **names = calloc(config->n_peers + 1, sizeof *names), *nearest;
	size_t n = 0;

	if (!names) {
		builder->error = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < config->n_peers; i++)
		if (config->peers[i].name)
			names[n++] = config->peers[i].name;
	nearest = qe_text_nearest(text, names, n);
	qe_builder_report(builder, key, origin_of(builder, key),
		"there is no peer \"%s\"%s%s%s; expected the name or the NodeId of one of "
		"[[peers]]",
		text, nearest ? " (did you mean \"" : "", nearest ? nearest : "",
		nearest ? "\"?)" : "");
	free(names);
}

static void check_default_gateway(struct qe_builder *builder)
{
	const struct qe_config *config = builder->config;

	if (config->overlay.default_gateway && config->default_gateway == SIZE_MAX)
		report_no_peer(builder, qe_schema_find("overlay", "default_gateway"),
			config->overlay.default_gateway);
}

static void check_exit(struct qe_builder *builder, const struct qe_config_peer *peer)
{
	const struct qe_schema_key *via = vpn_key("via");
	char place[PLACE_SIZE];

	if (peer->exit)
		return;
	format_place(place, builder->config, qe_schema_find(QE_SCHEMA_PEERS, "id"), peer->origin);
	qe_builder_report(builder, via, origin_of(builder, via),
		"peer \"%s\" (%s) may not advertise a default route; expected a peer with "
		"exit = true",
		builder->config->vpn.via, place);
}

static void check_via(struct qe_builder *builder)
{
	const struct qe_config *config = builder->config;
	const struct qe_schema_key *enabled = vpn_key("enabled");

	if (config->vpn.via && config->vpn_gateway == SIZE_MAX)
		report_no_peer(builder, vpn_key("via"), config->vpn.via);
	else if (config->vpn.via)
		check_exit(builder, &config->peers[config->vpn_gateway]);
	else if (config->vpn.enabled && !config->overlay.default_gateway)
		qe_builder_report(builder, enabled, origin_of(builder, enabled),
			"needs a peer to send through; expected via under [vpn], --via, or "
			"default_gateway under [overlay]");
}

/* ---- exclude and include ---- */

static void check_no_default(struct qe_builder *builder, const struct qe_schema_key *key,
	const struct qe_config_list *list)
{
	char prefix[QE_PREFIX_TEXT_SIZE];

	for (size_t i = 0; i < list->n; i++) {
		if (list->prefixes[i].length > 0)
			continue;
		qe_prefix_format(prefix, &list->prefixes[i]);
		qe_builder_report(builder, key, list->origins[i], "%s is everything; expected %s",
			prefix,
			key == vpn_key("include") ? "no include at all for that"
						  : "enabled = false for that");
	}
}

/* An include within an exclude would be tunnelled and not. */
static void check_included(struct qe_builder *builder, size_t i, size_t e)
{
	const struct qe_config_list *includes = &builder->config->vpn.include,
				    *excludes = &builder->config->vpn.exclude;
	const struct qe_prefix *in = &includes->prefixes[i], *out = &excludes->prefixes[e];
	char prefix[QE_PREFIX_TEXT_SIZE], other[QE_PREFIX_TEXT_SIZE], place[PLACE_SIZE];

	if (out->length > in->length || !qe_prefix_overlaps(in, out))
		return;
	qe_prefix_format(prefix, in);
	qe_prefix_format(other, out);
	format_place(place, builder->config, vpn_key("exclude"), excludes->origins[e]);
	if (out->length == in->length)
		qe_builder_report(builder, vpn_key("include"), includes->origins[i],
			"%s is in exclude, too (%s); expected it in one of them", prefix, place);
	else
		qe_builder_report(builder, vpn_key("include"), includes->origins[i],
			"%s lies in %s of exclude (%s); expected what is not excluded", prefix,
			other, place);
}

static void check_excluded(struct qe_builder *builder, size_t e)
{
	const struct qe_config *config = builder->config;
	const struct qe_config_list *includes = &config->vpn.include;
	const struct qe_prefix *out = &config->vpn.exclude.prefixes[e];
	char prefix[QE_PREFIX_TEXT_SIZE], place[PLACE_SIZE];

	for (size_t i = 0; i < includes->n; i++)
		if (qe_prefix_overlaps(out, &includes->prefixes[i]))
			return;
	qe_prefix_format(prefix, out);
	format_place(place, config, vpn_key("include"), origin_of(builder, vpn_key("include")));
	qe_builder_report(builder, vpn_key("exclude"), config->vpn.exclude.origins[e],
		"%s lies in nothing of include (%s), and so is not tunnelled anyhow; expected a "
		"part of that",
		prefix, place);
}

static void check_split(struct qe_builder *builder)
{
	const struct qe_config_list *includes = &builder->config->vpn.include,
				    *excludes = &builder->config->vpn.exclude;

	check_no_default(builder, vpn_key("exclude"), excludes);
	check_no_default(builder, vpn_key("include"), includes);
	if (builder->diagnostics->n)
		return;
	for (size_t i = 0; i < includes->n; i++)
		for (size_t e = 0; e < excludes->n; e++)
			check_included(builder, i, e);
	for (size_t e = 0; includes->n && e < excludes->n; e++)
		check_excluded(builder, e);
}

/* ---- names ---- */

static void check_servers(struct qe_builder *builder)
{
	const struct qe_config_list *dns = &builder->config->vpn.dns;

	if (dns->n == 0 && !dns->word)
		qe_builder_report(builder, vpn_key("dns"), origin_of(builder, vpn_key("dns")),
			"is empty; expected \"gateway\", \"off\" or an array such as "
			"[\"10.0.0.53\"]");
}

static bool is_within(const char *domain, const char *suffix)
{
	size_t len = strlen(domain), tail = strlen(suffix);

	return len >= tail && strcmp(domain + len - tail, suffix) == 0 &&
	       (len == tail || domain[len - tail - 1] == '.');
}

static void check_domain(struct qe_builder *builder, size_t i)
{
	const struct qe_config *config = builder->config;
	const struct qe_config_list *domains = &config->dns.domains;
	const struct qe_schema_key *key = qe_schema_find("dns", "domains");
	const char *suffix = domains->domains[i].suffix;
	char own[QE_NAME_MAX + sizeof ".internal"], place[PLACE_SIZE];
	struct qe_text text = qe_text_init(own, sizeof own);

	qe_text_addf(&text, "%s.internal", config->dns.network);
	if (is_within(suffix, own))
		qe_builder_report(builder, key, domains->origins[i],
			"%s lies in %s, whose names this node answers itself; expected another "
			"domain, or network",
			suffix, own);
	for (size_t j = 0; j < i; j++) {
		if (strcmp(domains->domains[j].suffix, suffix) != 0)
			continue;
		format_place(place, config, key, domains->origins[j]);
		qe_builder_report(builder, key, domains->origins[i],
			"%s has a server already (%s); expected one for each domain", suffix,
			place);
		return;
	}
}

void qe_builder_check_vpn(struct qe_builder *builder)
{
	check_default_gateway(builder);
	check_via(builder);
	check_split(builder);
	check_servers(builder);
	for (size_t i = 0; i < builder->config->dns.domains.n; i++)
		check_domain(builder, i);
}
