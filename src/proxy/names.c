/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A question is asked with a socket of its own for each half of each try: ports and ids that nobody
 * can guess, and of the answer the stack lets through only what comes from the server. While nobody
 * answers, which is so until the tunnel is up, it is asked again.
 */
#include "proxy/names.h"

#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/time.h"
#include "crypto/random.h"
#include "dns/lookup.h"
#include "os/clock.h"

constexpr qe_time give_up_after = 10 * QE_SECOND;

struct qe_names {
	struct qe_loop *loop;
	struct qe_stack *stack;
	struct qe_dns_zone *zone;
};

struct half {
	struct qe_question *question;
	struct qe_dgram *dgram;
};

struct qe_question {
	struct qe_names *names;
	struct qe_alarm alarm;
	void (*answered)(void *ctx, const struct qe_addr *addrs, size_t n);
	void *ctx;
	qe_time give_up;
	char *name;
	bool is_done;
	struct qe_dns_lookup lookup; /* its addresses are the answer once it is done */
	struct qe_endpoint servers[QE_DNS_SERVERS_MAX];
	size_t n_servers;
	struct half halves[2];
};

static_assert(QE_NAME_ADDRS_MAX >= QE_DNS_LOOKUP_ADDRS_MAX);

/* ---- whom to ask ---- */

static void add_server(struct qe_dns_settings *settings, const struct qe_addr *addr)
{
	if (settings->n_upstream < QE_DNS_SERVERS_MAX)
		settings->upstream[settings->n_upstream++] = (struct qe_endpoint){
			.addr = *addr, .port = QE_DNS_PORT};
}

/* A gateway answers on all its addresses; where its host has no IPv6, only by IPv4. */
static void add_gateway(struct qe_dns_settings *settings, const struct qe_config_peer *gateway)
{
	const struct qe_addr overlay = qe_node_id_overlay_addr(&gateway->id);

	add_server(settings, &overlay);
	for (size_t i = 0; i < gateway->addresses.n; i++)
		if (gateway->addresses.prefixes[i].addr.family == QE_FAMILY_IPV4)
			add_server(settings, &gateway->addresses.prefixes[i].addr);
}

static void add_upstream(struct qe_dns_settings *settings, const struct qe_config *config)
{
	if (config->vpn.dns_mode == QE_VPN_DNS_SERVERS)
		for (size_t i = 0; i < config->vpn.dns.n; i++)
			add_server(settings, &config->vpn.dns.prefixes[i].addr);
	else if (config->vpn_gateway != SIZE_MAX)
		add_gateway(settings, &config->peers[config->vpn_gateway]);
}

/* ---- the zone ---- */

struct rows {
	struct qe_dns_node *nodes;
	struct qe_addr *addrs;
	size_t n_nodes, n_addrs;
	struct qe_dns_domain *domains;
	size_t n_domains;
};

static void add_node(struct rows *rows, const struct qe_config_peer *peer)
{
	const size_t first = rows->n_addrs;

	if (!peer->name)
		return;
	rows->addrs[rows->n_addrs++] = qe_node_id_overlay_addr(&peer->id);
	for (size_t i = 0; i < peer->addresses.n; i++)
		rows->addrs[rows->n_addrs++] = peer->addresses.prefixes[i].addr;
	rows->nodes[rows->n_nodes++] = (struct qe_dns_node){
		peer->name, &rows->addrs[first], rows->n_addrs - first};
}

static void add_domains(struct rows *rows, const struct qe_config *config)
{
	for (size_t i = 0; i < config->dns.domains.n; i++) {
		const struct qe_config_domain *domain = &config->dns.domains.domains[i];

		rows->domains[rows->n_domains++] = (struct qe_dns_domain){
			domain->suffix, domain->server};
	}
}

static enum qe_error make_rows(struct rows *rows, const struct qe_config *config)
{
	size_t n_addrs = 0;

	for (size_t i = 0; i < config->n_peers; i++)
		n_addrs += 1 + config->peers[i].addresses.n;
	rows->nodes = calloc(config->n_peers + 1, sizeof(*rows->nodes));
	rows->addrs = calloc(n_addrs + 1, sizeof(*rows->addrs));
	rows->domains = calloc(config->dns.domains.n + 1, sizeof(*rows->domains));
	if (!rows->nodes || !rows->addrs || !rows->domains)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_peers; i++)
		add_node(rows, &config->peers[i]);
	add_domains(rows, config);
	return QE_OK;
}

static enum qe_error make_zone(struct qe_names *names, const struct qe_config *config)
{
	struct rows rows = {};
	enum qe_error error = make_rows(&rows, config);

	if (error == QE_OK) {
		struct qe_dns_settings settings = {
			.network = config->dns.network,
			.nodes = rows.nodes,
			.n_nodes = rows.n_nodes,
			.domains = rows.domains,
			.n_domains = rows.n_domains,
		};

		add_upstream(&settings, config);
		error = qe_dns_zone_new(&names->zone, &settings);
	}
	free(rows.nodes);
	free(rows.addrs);
	free(rows.domains);
	return error;
}

enum qe_error qe_names_new(struct qe_names **ret_names, struct qe_loop *loop,
	struct qe_stack *stack, const struct qe_config *config)
{
	struct qe_names *names = malloc(sizeof(*names));
	enum qe_error error;

	if (!names)
		return -ENOMEM;
	*names = (struct qe_names){.loop = loop, .stack = stack};
	error = make_zone(names, config);
	if (error != QE_OK) {
		free(names);
		return error;
	}
	*ret_names = names;
	return QE_OK;
}

struct qe_names *qe_names_free(struct qe_names *names)
{
	if (names)
		qe_dns_zone_free(names->zone);
	free(names);
	return nullptr;
}

/* ---- a question ---- */

static void hang_up(struct qe_question *question)
{
	for (unsigned i = 0; i < 2; i++)
		question->halves[i].dgram = qe_dgram_free(question->halves[i].dgram);
}

static void set_alarm(struct qe_question *question, qe_time at)
{
	/* Without memory the client's own patience ends it. */
	(void)!qe_loop_set_alarm(question->names->loop, &question->alarm, at);
}

static void finish(struct qe_question *question)
{
	hang_up(question);
	question->is_done = true;
	question->answered(question->ctx, question->lookup.addrs, question->lookup.n);
}

static void ask(struct qe_question *question);
static void go_on(struct qe_question *question, enum qe_dns_progress progress);

static void is_refused(struct qe_question *question)
{
	if (qe_dns_lookup_failed(&question->lookup) == QE_DNS_DONE)
		finish(question);
	else
		ask(question);
}

/* Of errors only that nobody listens there is to the point: the others pass, as when the tunnel is
 * not up yet. */
static void on_received(void *ctx, enum qe_error error, struct qe_bytes bytes)
{
	struct half *half = ctx;
	struct qe_question *question = half->question;

	if (error == QE_OK)
		go_on(question, qe_dns_lookup_answer(&question->lookup, bytes));
	else if (error == -ECONNREFUSED)
		is_refused(question);
}

static enum qe_error ask_half(struct qe_question *question, unsigned i)
{
	const struct qe_endpoint *server =
		&question->servers[qe_dns_lookup_server(&question->lookup)];
	struct half *half = &question->halves[i];
	uint8_t message[QE_DNS_QUERY_MAX];
	size_t len = qe_dns_lookup_question(
		&question->lookup, i, qe_random_u64(), message, sizeof(message));

	if (len == 0)
		return -ENOMEM;
	half->question = question;
	QE_TRY(qe_dgram_new(&half->dgram, question->names->stack, server, on_received, half));
	return qe_dgram_send(half->dgram, (struct qe_bytes){message, len});
}

/* What cannot be sent now is as good as lost, and sent again. */
static void ask(struct qe_question *question)
{
	hang_up(question);
	for (unsigned i = 0; i < 2; i++)
		(void)!ask_half(question, i);
	qe_dns_lookup_sent(&question->lookup, qe_clock_now());
	set_alarm(question, question->lookup.until);
}

static bool was_answered(const struct qe_dns_lookup *lookup)
{
	return lookup->n > 0 || (lookup->halves[0].done && lookup->halves[1].done);
}

static void go_on(struct qe_question *question, enum qe_dns_progress progress)
{
	switch (progress) {
	case QE_DNS_WAIT:
		return;
	case QE_DNS_ASK:
		ask(question);
		return;
	case QE_DNS_DONE:
		if (was_answered(&question->lookup) || qe_clock_now() >= question->give_up ||
			qe_dns_lookup_init(
				&question->lookup, question->name, question->n_servers) != QE_OK)
			finish(question);
		else
			ask(question);
		return;
	}
}

static void alarm_rings(struct qe_alarm *alarm, qe_time)
{
	struct qe_question *question = QE_CONTAINER_OF(alarm, struct qe_question, alarm);

	if (question->is_done)
		finish(question);
	else
		go_on(question, qe_dns_lookup_failed(&question->lookup));
}

/* What is known here is told from the loop all the same. */
static bool is_known_here(struct qe_question *question)
{
	const struct qe_dns_question asked = {.name = question->lookup.name, .type = QE_DNS_AAAA};
	struct qe_dns_own own;

	if (!qe_dns_zone_answer(question->names->zone, &asked, false, &own))
		return false;
	for (size_t i = 0; i < own.n_addrs && i < QE_DNS_LOOKUP_ADDRS_MAX; i++)
		question->lookup.addrs[question->lookup.n++] = own.addrs[i];
	return true;
}

static enum qe_error begin(struct qe_question *question, qe_time now)
{
	QE_TRY(qe_dns_lookup_init(&question->lookup, question->name, 1));
	question->is_done = is_known_here(question);
	if (question->is_done) {
		set_alarm(question, now);
		return QE_OK;
	}
	question->n_servers = qe_dns_zone_servers(
		question->names->zone, &question->lookup.name, false, question->servers);
	if (question->n_servers == 0)
		return QE_ERR_NOT_FOUND;
	QE_TRY(qe_dns_lookup_init(&question->lookup, question->name, question->n_servers));
	ask(question);
	return QE_OK;
}

enum qe_error qe_question_new(struct qe_question **ret_question, struct qe_names *names,
	const char *name, void (*answered)(void *ctx, const struct qe_addr *addrs, size_t n),
	void *ctx, qe_time now)
{
	struct qe_question *question = calloc(1, sizeof(*question));
	enum qe_error error = -ENOMEM;

	if (!question)
		return -ENOMEM;
	question->names = names;
	question->alarm.ring = alarm_rings;
	question->answered = answered;
	question->ctx = ctx;
	question->give_up = now + give_up_after;
	question->name = strdup(name);
	if (question->name)
		error = begin(question, now);
	if (error != QE_OK) {
		qe_question_free(question);
		return error;
	}
	*ret_question = question;
	return QE_OK;
}

struct qe_question *qe_question_free(struct qe_question *question)
{
	if (!question)
		return nullptr;
	hang_up(question);
	set_alarm(question, QE_TIME_NEVER);
	free(question->name);
	free(question);
	return nullptr;
}
