/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <string.h>
#include <time.h>

#include "cli/output.h"
#include "cli/vpn.h"

#define TEXT_SIZE 512

/* Seconds from now to a time of RFC 3339; negative if it is past. */
static double seconds_to(const char *text)
{
	struct tm utc = {};

	if (sscanf(text, "%d-%d-%dT%d:%d:%d", &utc.tm_year, &utc.tm_mon, &utc.tm_mday, &utc.tm_hour,
		    &utc.tm_min, &utc.tm_sec) != 6)
		return 0;
	utc.tm_year -= 1900;
	utc.tm_mon -= 1;
	return difftime(timegm(&utc), time(nullptr));
}

static void add_seconds(struct qe_text *to, double seconds)
{
	qe_add_duration(to, seconds > 0 ? (uint64_t)seconds : 0);
}

/* "connected through gate for 3 min 12 s: why". */
static void add_state(struct qe_text *to, json_t *vpn)
{
	const char *reason = json_string_value(qe_get(vpn, "reason"));
	const char *name = qe_get_text(vpn, "via.name"), *since = qe_get_text(vpn, "since");
	bool off = strcmp(qe_get_text(vpn, "state"), "off") == 0;

	qe_text_add(to, qe_get_text(vpn, "state"));
	if (!off && json_is_object(qe_get(vpn, "via")))
		qe_text_addf(to, " through %s",
			strcmp(name, "-") != 0 ? name : qe_get_text(vpn, "via.id"));
	if (!off && strcmp(since, "-") != 0) {
		qe_text_add(to, " for ");
		add_seconds(to, -seconds_to(since));
	}
	if (reason)
		qe_text_addf(to, ": %s", reason);
}

/* Texts with commas between; the member of each item, if the items are objects. */
static void add_list(struct qe_text *to, const json_t *list, const char *member)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const json_t *text = json_is_object(item) ? json_object_get(item, member) : item;

		qe_text_addf(to, "%s%s", i ? ", " : "",
			json_is_string(text) ? json_string_value(text) : "-");
	}
}

static void add_tunnelled(struct qe_text *to, json_t *vpn)
{
	json_t *tunnelled = qe_get(vpn, "tunnelled");

	if (json_is_array(tunnelled))
		add_list(to, tunnelled, "");
	else
		qe_text_add(to, qe_get_text(vpn, "tunnelled"));
}

/* What goes beside the tunnel; nothing is added if nothing does. */
static void add_beside(struct qe_text *to, json_t *vpn)
{
	const json_t *excluded = qe_get(vpn, "excluded"), *lan = qe_get(vpn, "lan");

	add_list(to, excluded, "");
	if (json_array_size(lan)) {
		qe_text_add(to, json_array_size(excluded) ? ", LAN " : "LAN ");
		add_list(to, lan, "prefix");
	}
}

/* Nobody sees anything of a tunnel that is not there. */
static void add_public(struct qe_text *to, json_t *vpn)
{
	const char *ipv4 = json_string_value(qe_get(vpn, "exit_address.ipv4"));
	const char *ipv6 = json_string_value(qe_get(vpn, "exit_address.ipv6"));

	if (strcmp(qe_get_text(vpn, "state"), "connected") != 0)
		return;
	qe_text_addf(to, "%s%s%s", ipv4 ? ipv4 : "", ipv4 && ipv6 ? ", " : "", ipv6 ? ipv6 : "");
}

/* "10.0.0.53 (systemd-resolved)". */
static void add_dns(struct qe_text *to, json_t *vpn)
{
	const char *method = json_string_value(qe_get(vpn, "dns.method"));
	const char *state = json_string_value(qe_get(vpn, "dns.state"));
	const json_t *servers = qe_get(vpn, "dns.servers");

	if (!json_is_object(qe_get(vpn, "dns")))
		return;
	add_list(to, servers, "");
	if (json_array_size(servers) == 0)
		qe_text_add(to, "nobody");
	if (method)
		qe_text_addf(to, " (%s)", method);
	if (state && strcmp(state, "ok") != 0)
		qe_text_addf(to, ", %s", state);
}

static void add_portal(struct qe_text *to, json_t *vpn)
{
	const char *until = json_string_value(qe_get(vpn, "portal_until"));

	if (until)
		add_seconds(to, seconds_to(until));
}

/* What there is to say beyond the state, in this order. */
static const struct {
	const char *label, *before; /* of a line of its own, and within one line */
	void (*add)(struct qe_text *to, json_t *vpn);
} parts[] = {
	{"Tunnelled", "; tunnels ", add_tunnelled},
	{"Beside", " but not ", add_beside},
	{"Seen as", "; seen as ", add_public},
	{"Names by", "; names by ", add_dns},
	{"Portal", "; open to log in for ", add_portal},
};

static bool is_off(json_t *vpn)
{
	return strcmp(qe_get_text(vpn, "state"), "off") == 0;
}

void qe_add_vpn(struct qe_text *to, json_t *vpn)
{
	add_state(to, vpn);
	if (is_off(vpn))
		return;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		char text[TEXT_SIZE];
		struct qe_text part = qe_text_init(text, sizeof text);

		parts[i].add(&part, vpn);
		if (part.len)
			qe_text_addf(to, "%s%s", parts[i].before, text);
	}
	qe_text_addf(to, "; kill switch %s", qe_get_text(vpn, "kill_switch"));
}

void qe_show_vpn(FILE *to, json_t *vpn)
{
	char text[TEXT_SIZE];
	struct qe_text state = qe_text_init(text, sizeof text);

	add_state(&state, vpn);
	fprintf(to, "%-13s%s\n", "VPN mode", text);
	for (size_t i = 0; i < sizeof parts / sizeof *parts && !is_off(vpn); i++) {
		struct qe_text part = qe_text_init(text, sizeof text);

		parts[i].add(&part, vpn);
		if (part.len)
			fprintf(to, "%-13s%s\n", parts[i].label, text);
	}
	if (!is_off(vpn))
		fprintf(to, "%-13s%s\n", "Kill switch", qe_get_text(vpn, "kill_switch"));
}
