/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Prints the nft script of a plan of VPN mode, for kill_switch_test.py: kill_switch TUN WORD...
 * WORD: system, only, kill_switch, dns, multicast, portal=SECONDS, exclude=PREFIX, include=PREFIX,
 * lan=PREFIX@INTERFACE, server=ADDRESS, address=ADDRESS. */
#include <stdlib.h>
#include <string.h>

#include "os/kill_switch.h"

static struct qe_vpn_plan plan;

[[noreturn]] static void fail(const char *word)
{
	fprintf(stderr, "kill_switch: %s?\n", word);
	exit(1);
}

static struct qe_addr to_addr(const char *text)
{
	struct qe_addr addr;

	if (qe_addr_parse(&addr, text) != QE_OK)
		fail(text);
	return addr;
}

static struct qe_prefix to_prefix(const char *text)
{
	struct qe_prefix prefix;

	if (qe_prefix_parse(&prefix, text) != QE_OK)
		fail(text);
	return prefix;
}

static void add_lan(char *value)
{
	struct qe_vpn_lan *lan = &plan.lan[plan.n_lan++];
	char *at = strchr(value, '@');

	if (!at || strlen(at + 1) >= sizeof(lan->interface))
		fail(value);
	strcpy(lan->interface, at + 1);
	*at = '\0';
	lan->prefix = to_prefix(value);
}

static bool *find_switch(const char *word)
{
	const struct {
		const char *word;
		bool *value;
	} switches[] = {{"system", &plan.system}, {"only", &plan.only},
		{"kill_switch", &plan.kill_switch}, {"dns", &plan.dns},
		{"multicast", &plan.multicast}};

	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		if (strcmp(switches[i].word, word) == 0)
			return switches[i].value;
	}
	return nullptr;
}

static void take(char *word)
{
	char *value = strchr(word, '=');
	bool *on = find_switch(word);

	if (on) {
		*on = true;
		return;
	}
	if (!value)
		fail(word);
	*value++ = '\0';
	if (strcmp(word, "portal") == 0)
		plan.portal_seconds = (uint32_t)atoi(value);
	else if (strcmp(word, "exclude") == 0)
		plan.exclude[plan.n_exclude++] = to_prefix(value);
	else if (strcmp(word, "include") == 0)
		plan.include[plan.n_include++] = to_prefix(value);
	else if (strcmp(word, "lan") == 0)
		add_lan(value);
	else if (strcmp(word, "server") == 0)
		plan.servers[plan.n_servers++] = to_addr(value);
	else if (strcmp(word, "address") == 0)
		plan.addresses[plan.n_addresses++] = to_addr(value);
	else
		fail(word);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		fail("an interface");
	for (int i = 2; i < argc; i++)
		take(argv[i]);
	qe_kill_switch_write(stdout, argv[1], &plan);
}
