/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Who answers the host's programs is told by two files: nsswitch.conf may send those of the C
 * library to systemd-resolved, and resolv.conf sends all others, perhaps to the same. So resolved
 * is told where one of the two leads to it, and resolv.conf is changed where it leads elsewhere: by
 * resolvconf, if that has written it, or by us. What fails is made up for by the next way.
 */
#include "os/host_dns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "os/resolvconf.h"
#include "os/resolved.h"

constexpr char resolv_conf[] = QE_HOST_DNS_RESOLV_CONF;
constexpr char nsswitch[] = "/etc/nsswitch.conf";

const char *qe_host_dns_method_name(enum qe_host_dns_method method)
{
	static const char *const names[] = {"none", "systemd-resolved", "resolvconf", resolv_conf};

	return names[method];
}

static uint8_t bit(enum qe_host_dns_method method)
{
	return (uint8_t)(1 << method);
}

/* Of enum qe_host_dns_method, in the journal. */
static const char *const ways[] = {nullptr, "resolved", "resolvconf", "file"};
constexpr size_t n_ways = sizeof(ways) / sizeof(ways[0]);

void qe_host_dns_init(struct qe_host_dns *dns, const char *interface)
{
	*dns = (struct qe_host_dns){};
	snprintf(dns->interface, sizeof(dns->interface), "%s", interface);
}

/* ---- what the host has ---- */

/* The addresses that resolved itself answers at. */
static bool leads_to_resolved(const struct qe_resolv_conf *conf)
{
	static const uint8_t stub[3] = {127, 0, 0};

	for (size_t i = 0; i < conf->n_servers; i++) {
		const struct qe_addr *server = &conf->servers[i];

		if (server->family != QE_FAMILY_IPV4 || memcmp(server->bytes, stub, 3) != 0 ||
			(server->bytes[3] != 53 && server->bytes[3] != 54))
			return false;
	}
	return conf->n_servers > 0;
}

/* "hosts: mymachines resolve [!UNAVAIL=return] files dns" */
static bool nss_asks_resolved(void)
{
	FILE *file = fopen(nsswitch, "re");
	char line[512], *rest = nullptr;
	bool asks = false;

	while (file && fgets(line, sizeof(line), file)) {
		const char *word = strtok_r(line, " \t\n", &rest);

		if (!word || strcmp(word, "hosts:") != 0)
			continue;
		while ((word = strtok_r(nullptr, " \t\n", &rest)) && word[0] != '#' &&
			strcmp(word, "dns") != 0)
			asks = asks || strcmp(word, "resolve") == 0;
	}
	if (file)
		fclose(file);
	return asks;
}

/* Who answers at an address of loopback asks others, through the tunnel: no help in making it. */
static void add_upstreams(struct qe_host_dns_answer *answer, const struct qe_resolv_conf *conf)
{
	for (size_t i = 0; i < conf->n_servers && answer->n_upstream < QE_HOST_DNS_UPSTREAMS_MAX;
		i++) {
		if (!qe_addr_is_loopback(&conf->servers[i]))
			answer->upstream[answer->n_upstream++] = conf->servers[i];
	}
}

/* Where those who stand between keep what they ask themselves. */
static const char *const behind[] = {QE_HOST_DNS_RESOLVED_CONF,
	"/run/NetworkManager/no-stub-resolv.conf", "/run/dnsmasq/resolv.conf"};

/* Those known from before stay where ours is all that can be found. */
static void find_upstreams(struct qe_host_dns_answer *answer, const struct qe_resolv_conf *conf)
{
	struct qe_host_dns_answer found = {.method = answer->method};
	struct qe_resolv_conf other;

	add_upstreams(&found, conf);
	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]) && found.n_upstream == 0; i++) {
		if (qe_resolv_file_read(&other, behind[i]) == QE_OK)
			add_upstreams(&found, &other);
	}
	if (found.n_upstream > 0)
		*answer = found;
}

void qe_host_dns_find_upstreams(struct qe_host_dns_answer *answer)
{
	struct qe_resolv_conf conf = {};

	(void)!qe_resolv_file_read(&conf, resolv_conf);
	find_upstreams(answer, &conf);
}

/* ---- the ways ---- */

/* It is in the journal before it is done. */
static enum qe_error begin(
	struct qe_host_dns *dns, enum qe_host_dns_method method, struct qe_text *why)
{
	const struct qe_journal_entry entry = {
		{QE_JOURNAL_RESOLVER, ways[method], dns->interface}, 3};

	if (why->len > 0)
		qe_text_add(why, "; ");
	dns->used |= bit(method);
	return qe_journal_add(dns->journal, &entry, 1);
}

static enum qe_error undo_way(struct qe_host_dns *dns, enum qe_host_dns_method method)
{
	struct qe_undo undo = {};

	if (method == QE_HOST_DNS_FILE)
		qe_resolv_file_done(&dns->file);
	dns->used &= (uint8_t)~bit(method);
	return qe_undo_one(&undo, dns->journal, QE_JOURNAL_RESOLVER, ways[method]);
}

static enum qe_error finish(
	struct qe_host_dns *dns, enum qe_host_dns_method method, enum qe_error error)
{
	if (error != QE_OK)
		(void)!undo_way(dns, method);
	return error;
}

/* Nothing has come of it. */
static void forget_way(struct qe_host_dns *dns, enum qe_host_dns_method method)
{
	for (size_t i = qe_journal_count(dns->journal); i > 0; i--) {
		const struct qe_journal_entry entry = qe_journal_at(dns->journal, i - 1);

		if (strcmp(entry.words[0], QE_JOURNAL_RESOLVER) == 0 &&
			strcmp(entry.words[1], ways[method]) == 0)
			qe_journal_drop(dns->journal, i - 1);
	}
	qe_journal_save(dns->journal);
	dns->used &= (uint8_t)~bit(method);
}

static enum qe_error use_resolved(struct qe_host_dns *dns, const char *search, struct qe_text *why)
{
	enum qe_error error = begin(dns, QE_HOST_DNS_RESOLVED, why);

	if (error == QE_OK)
		error = qe_resolved_set(dns->interface, &dns->conf.servers[0], search, why);
	if (error != QE_OK)
		forget_way(dns, QE_HOST_DNS_RESOLVED);
	return error;
}

static enum qe_error use_resolvconf(struct qe_host_dns *dns, struct qe_text *why)
{
	enum qe_error error = begin(dns, QE_HOST_DNS_RESOLVCONF, why);

	if (error == QE_OK)
		error = qe_resolvconf_add(resolv_conf, &dns->conf, why);
	return finish(dns, QE_HOST_DNS_RESOLVCONF, error);
}

static enum qe_error use_file(struct qe_host_dns *dns, struct qe_text *why)
{
	enum qe_error error = begin(dns, QE_HOST_DNS_FILE, why);

	if (error == QE_OK)
		error = qe_resolv_file_put(&dns->file, resolv_conf, &dns->conf, why);
	return finish(dns, QE_HOST_DNS_FILE, error);
}

/* Ours comes first, and what the host had follows. */
static void choose_words(
	struct qe_host_dns *dns, const struct qe_resolv_conf *now, const char *search)
{
	struct qe_resolv_conf conf = *now;
	struct qe_text text = qe_text_init(conf.search, sizeof(conf.search));

	conf.n_servers = 1;
	conf.servers[0] = QE_HOST_DNS_SERVER;
	if (search) {
		qe_text_addf(&text, "%s%s", search, now->search[0] ? " " : "");
		qe_text_add(&text, now->search);
	}
	dns->conf = conf;
}

/* Of the first time, or of somebody's file in the place of ours. */
static void look(struct qe_host_dns *dns, const char *search, struct qe_resolv_conf *ret_now)
{
	*ret_now = (struct qe_resolv_conf){};
	if (!dns->used)
		(void)!qe_host_dns_unset(dns);
	if (!(dns->used & bit(QE_HOST_DNS_FILE)))
		qe_host_dns_recover();
	else if (qe_resolv_file_holds(&dns->file, resolv_conf))
		return;
	(void)!qe_resolv_file_read(ret_now, resolv_conf);
	find_upstreams(&dns->answer, ret_now);
	choose_words(dns, ret_now, search);
}

static enum qe_error change_file(
	struct qe_host_dns *dns, const struct qe_resolv_conf *now, struct qe_text *why)
{
	bool by_others = now->of_resolvconf || (dns->used & bit(QE_HOST_DNS_RESOLVCONF));

	if (!(dns->used & bit(QE_HOST_DNS_FILE)) && by_others && qe_resolvconf_find() &&
		use_resolvconf(dns, why) == QE_OK)
		return QE_OK;
	return use_file(dns, why);
}

static enum qe_host_dns_method first_used(const struct qe_host_dns *dns)
{
	enum qe_host_dns_method method = QE_HOST_DNS_RESOLVED;

	while (!(dns->used & bit(method)))
		method++;
	return method;
}

enum qe_error qe_host_dns_set(struct qe_host_dns *dns, const char *search,
	struct qe_host_dns_answer *ret_answer, struct qe_text *why)
{
	struct qe_resolv_conf now;
	enum qe_error error = -ENOENT, second = QE_OK;
	bool stub;

	look(dns, search, &now);
	stub = leads_to_resolved(&now);
	if (stub || nss_asks_resolved())
		error = use_resolved(dns, search, why);
	if (!stub || error != QE_OK)
		second = change_file(dns, &now, why);
	dns->answer.method = second == QE_OK ? first_used(dns) : QE_HOST_DNS_NONE;
	*ret_answer = dns->answer;
	if (second != QE_OK)
		(void)!qe_host_dns_unset(dns);
	return second;
}

/* resolv.conf may have been made to lead elsewhere. */
static bool leads_to_us(const struct qe_host_dns *dns)
{
	struct qe_resolv_conf now;

	if (dns->used & bit(QE_HOST_DNS_FILE))
		return qe_resolv_file_holds(&dns->file, resolv_conf);
	if (dns->used & bit(QE_HOST_DNS_RESOLVCONF))
		return qe_resolvconf_holds(resolv_conf, &dns->conf);
	return qe_resolv_file_read(&now, resolv_conf) == QE_OK && leads_to_resolved(&now);
}

bool qe_host_dns_holds(const struct qe_host_dns *dns)
{
	return dns->used != 0 && leads_to_us(dns) &&
	       (!(dns->used & bit(QE_HOST_DNS_RESOLVED)) ||
		       qe_resolved_holds(dns->interface, &dns->conf.servers[0]));
}

/* ---- back ---- */

enum qe_error qe_host_dns_unset(struct qe_host_dns *dns)
{
	enum qe_error first = QE_OK;

	for (enum qe_host_dns_method i = QE_HOST_DNS_RESOLVED; i < n_ways; i++) {
		enum qe_error error = QE_OK;

		if (qe_journal_has(dns->journal, QE_JOURNAL_RESOLVER, ways[i]))
			error = undo_way(dns, i);
		if (first == QE_OK)
			first = error;
	}
	dns->used = 0;
	dns->answer = (struct qe_host_dns_answer){};
	return first;
}

void qe_host_dns_done(struct qe_host_dns *dns)
{
	qe_resolv_file_done(&dns->file);
}

void qe_host_dns_recover(void)
{
	enum qe_resolv_undo undo;

	(void)!qe_resolv_file_restore(resolv_conf, false, &undo);
}

/* A link that is gone has taken with it what resolved was told. */
static bool undo_resolved(struct qe_undo *undo, const char *interface)
{
	enum qe_error error = qe_resolved_revert(interface);

	if (error == -ENODEV)
		return true;
	if (error == QE_OK)
		qe_undo_say(undo, QE_UNDONE, "systemd-resolved asks for names as before");
	else
		qe_undo_say(undo, QE_UNDO_FAILED,
			"systemd-resolved cannot be told to ask for names as before: %s: "
			"\"resolvectl revert %s\" does",
			qe_error_text(error), interface);
	return error == QE_OK;
}

static bool undo_resolvconf(struct qe_undo *undo)
{
	enum qe_error error = qe_resolvconf_remove();

	if (error == -ENOENT)
		return true;
	if (error == QE_OK)
		qe_undo_say(undo, QE_UNDONE, "resolvconf knows the former name servers only");
	else
		qe_undo_say(undo, QE_UNDO_FAILED, "resolvconf cannot be told: %s",
			qe_error_text(error));
	return error == QE_OK;
}

static bool undo_file(struct qe_undo *undo)
{
	enum qe_resolv_undo outcome = QE_RESOLV_NOTHING;
	enum qe_error error = qe_resolv_file_restore(resolv_conf, undo->force, &outcome);

	if (error == -EBUSY || outcome == QE_RESOLV_THEIRS)
		qe_undo_say(undo, QE_UNDO_THEIRS, "%s is somebody else's by now and left alone",
			resolv_conf);
	else if (error != QE_OK)
		qe_undo_say(undo, QE_UNDO_FAILED, "the former %s cannot be brought back: %s",
			resolv_conf, qe_error_text(error));
	else if (outcome == QE_RESOLV_RESTORED)
		qe_undo_say(undo, QE_UNDONE, "%s is the former one again", resolv_conf);
	return error == QE_OK || error == -EBUSY;
}

bool qe_host_dns_undo(struct qe_undo *undo, const struct qe_journal_entry *entry, size_t)
{
	const char *way = entry->words[1];

	if (strcmp(way, ways[QE_HOST_DNS_RESOLVED]) == 0)
		return undo_resolved(undo, entry->words[2]);
	if (strcmp(way, ways[QE_HOST_DNS_RESOLVCONF]) == 0)
		return undo_resolvconf(undo);
	return strcmp(way, ways[QE_HOST_DNS_FILE]) != 0 || undo_file(undo);
}
