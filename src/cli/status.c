/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* status and peers: what the daemon answers, for people. */
#include <inttypes.h>
#include <string.h>

#include "cli/output.h"
#include "cli/vpn.h"

#define TEXT_SIZE 512
#define ID_SHOWN 12 /* characters of a NodeId in a table: enough to name it by */

/* ---- status ---- */

static void show_summary(json_t *status)
{
	char uptime[64];
	struct qe_text text = qe_text_init(uptime, sizeof uptime);
	uint64_t configured = qe_get_uint(status, "peers.configured");

	qe_add_duration(&text, qe_get_uint(status, "uptime_secs"));
	printf("%s is %s for %s: %" PRIu64 " of %" PRIu64 " %s connected, post-quantum %s\n\n",
		qe_get_text(status, "node.name"), qe_get_text(status, "state"), uptime,
		qe_get_uint(status, "peers.connected"), configured,
		configured == 1 ? "peer" : "peers", qe_get_text(status, "crypto.pq"));
}

static void show_traffic(json_t *status, const char *label, const char *packets, const char *bytes)
{
	char amount[64];
	struct qe_text text = qe_text_init(amount, sizeof amount);
	uint64_t n = qe_get_uint(status, packets);

	qe_add_bytes(&text, qe_get_uint(status, bytes));
	printf("%-11s%s in %" PRIu64 " %s\n", label, amount, n, n == 1 ? "packet" : "packets");
}

/* Adds every count that is not 0, with its name; returns their sum. */
static json_int_t add_counts(struct qe_text *text, json_t *counts)
{
	json_int_t total = 0;
	const char *name;
	json_t *count;

	json_object_foreach(counts, name, count)
	{
		json_int_t n = json_integer_value(count);
		if (n)
			qe_text_addf(
				text, "%s%s %" JSON_INTEGER_FORMAT, total ? ", " : "", name, n);
		total += n;
	}
	return total;
}

/* The total, and behind it every reason that there was. */
static void show_drops(json_t *drops)
{
	char reasons[TEXT_SIZE];
	struct qe_text text = qe_text_init(reasons, sizeof reasons);
	json_int_t total = add_counts(&text, drops);

	printf("%-11s%" JSON_INTEGER_FORMAT " %s%s%s%s\n", "Dropped", total,
		total == 1 ? "packet" : "packets", total ? " (" : "", reasons, total ? ")" : "");
}

/* Only where there is something to tell. */
static void show_counts(const char *label, json_t *counts)
{
	char names[TEXT_SIZE];
	struct qe_text text = qe_text_init(names, sizeof names);

	if (add_counts(&text, counts))
		printf("%-11s%s\n", label, names);
}

/* What the kernel did not take or give, but for datagrams that were too big: most of those are
 * probes of the path. */
static void show_losses(json_t *counters)
{
	static const char *const names[] = {"udp_no_buffer", "udp_unreachable", "udp_failed",
		"udp_truncated", "tun_read_errors", "tun_packets_lost", "events_lost"};
	json_t *losses = json_object();

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		json_object_set(losses, names[i], json_object_get(counters, names[i]));
	show_counts("Lost", losses);
	json_decref(losses);
}

/* What this host does not use, where it may come as a surprise. */
static void show_kept_out(json_t *routes)
{
	json_t *route;
	size_t i;

	json_array_foreach(routes, i, route)
	{
		const char *reason = qe_get_text(route, "reason");

		if (strcmp(reason, "overlaps") == 0)
			printf("%-11s%s: overlaps %s on %s of this host\n", "Not routed",
				qe_get_text(route, "prefix"), qe_get_text(route, "network"),
				qe_get_text(route, "interface"));
		else if (strcmp(reason, "failed") == 0)
			printf("%-11s%s: %s\n", "Not routed", qe_get_text(route, "prefix"),
				qe_get_text(route, "error"));
	}
}

static void show_routes(json_t *routes)
{
	uint64_t prefixes = qe_get_uint(routes, "prefixes"),
		 refused = qe_get_uint(routes, "refused");

	printf("%-11sto %" PRIu64 " %s", "Routes", prefixes, prefixes == 1 ? "prefix" : "prefixes");
	if (refused)
		printf(", %" PRIu64 " refused (quicether routes --rejected)", refused);
	printf("\n");
}

static void show_vpn(json_t *vpn)
{
	char line[2 * TEXT_SIZE];
	struct qe_text text = qe_text_init(line, sizeof line);

	if (!vpn)
		return;
	qe_add_vpn(&text, vpn);
	printf("%-11s%s\n", "VPN mode", line);
}

static void show_status(json_t *status)
{
	char addresses[TEXT_SIZE];
	struct qe_text text = qe_text_init(addresses, sizeof addresses);

	qe_add_addresses(&text, qe_get(status, "tun.addresses"));
	show_summary(status);
	printf("%-11s%s (%s)\n", "NodeId", qe_get_text(status, "node.id"),
		qe_get_text(status, "node.role"));
	printf("%-11s%s\n", "Overlay", qe_get_text(status, "node.overlay"));
	printf("%-11s%s\n", "Listens", qe_get_text(status, "listen"));
	printf("%-11s%s, MTU %" PRIu64 ", %s\n", "Interface", qe_get_text(status, "tun.name"),
		qe_get_uint(status, "tun.mtu"), addresses);
	show_vpn(qe_get(status, "vpn"));
	show_kept_out(qe_get(status, "host_routes.kept_out"));
	show_routes(qe_get(status, "routes"));
	printf("%-11s%s, cipher %s, fresh keys every %" PRIu64 " s\n", "Crypto",
		qe_get_text(status, "crypto.provider"), qe_get_text(status, "crypto.cipher"),
		qe_get_uint(status, "rotate_secs"));
	show_traffic(status, "Sent", "counters.tx_packets", "counters.tx_bytes");
	show_traffic(status, "Received", "counters.rx_packets", "counters.rx_bytes");
	show_drops(qe_get(status, "counters.drops"));
	show_losses(qe_get(status, "counters"));
	show_counts("Fallbacks", qe_get(status, "counters.fallbacks"));
	printf("%-11s%s\n", "Version", qe_get_text(status, "version"));
}

enum qe_exit qe_command_status(const struct qe_args *args)
{
	return qe_call(args, "status", nullptr, show_status);
}

/* ---- peers ---- */

static void add_amount(struct qe_table *table, uint64_t bytes)
{
	char amount[64];
	struct qe_text text = qe_text_init(amount, sizeof amount);

	qe_add_bytes(&text, bytes);
	qe_table_add(table, "%s", amount);
}

/* What is known of the link, or "-" where there is none. */
static void add_link(struct qe_table *table, json_t *link)
{
	char rtt[64] = "-", age[64] = "-";
	struct qe_text to_rtt = qe_text_init(rtt, sizeof rtt);
	struct qe_text to_age = qe_text_init(age, sizeof age);
	bool up = json_is_object(link);

	if (up)
		qe_add_ms(&to_rtt, qe_get_real(link, "rtt_ms"));
	if (up)
		qe_add_duration(&to_age, qe_get_uint(link, "age_secs"));
	qe_table_add(table, "%s", qe_get_text(link, "remote"));
	qe_table_add(table, "%s", up ? rtt : "-");
	qe_table_add(table, "%s", qe_get_text(link, "cipher"));
	qe_table_add(table, "%s", up ? age : "-");
}

static void add_peer(struct qe_table *table, json_t *peer)
{
	char addresses[TEXT_SIZE];
	struct qe_text text = qe_text_init(addresses, sizeof addresses);

	qe_add_addresses(&text, qe_get(peer, "addresses"));
	qe_table_add(table, "%s", qe_get_text(peer, "name"));
	qe_table_add(table, "%.*s", ID_SHOWN, qe_get_text(peer, "id"));
	qe_table_add(table, "%s", qe_get_text(peer, "state"));
	add_link(table, qe_get(peer, "link"));
	add_amount(table, qe_get_uint(peer, "tx_bytes"));
	add_amount(table, qe_get_uint(peer, "rx_bytes"));
	qe_table_add(table, "%s", addresses);
}

static void show_peers(json_t *result)
{
	static const char *const head[] = {"PEER", "NODEID", "STATE", "REMOTE", "RTT", "CIPHER",
		"KEY AGE", "SENT", "RECEIVED", "ADDRESSES"};
	struct qe_table table;
	json_t *peers = json_object_get(result, "peers"), *peer;
	size_t i;

	if (json_array_size(peers) == 0) {
		printf("No peers. Add [[peers]] to the configuration, or: quicether start --peer "
		       "NODEID@HOST\n");
		return;
	}
	qe_table_init(&table, head, sizeof head / sizeof *head);
	json_array_foreach(peers, i, peer) add_peer(&table, peer);
	qe_table_print(stdout, &table);
	qe_table_done(&table);
}

enum qe_exit qe_command_peers(const struct qe_args *args)
{
	return qe_call(args, "peers", nullptr, show_peers);
}
