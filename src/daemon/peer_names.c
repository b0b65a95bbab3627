/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/peer_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"
#include "os/hosts_file.h"

constexpr char hosts_path[] = "/etc/hosts";
constexpr size_t servers_max = 3;

struct qe_peer_names {
	struct qe_resolver *resolver;
	struct qe_naming *naming;
	struct qe_helper *helper;
	void (*wake)(void *ctx);
	void *ctx;
	struct qe_resolved ready[QE_RESOLVER_QUEUE]; /* without asking anybody */
	size_t n_ready;
};

enum qe_error qe_peer_names_new(struct qe_peer_names **ret_names, struct qe_naming *naming,
	struct qe_helper *helper, void (*wake)(void *ctx), void *ctx)
{
	struct qe_peer_names *names = malloc(sizeof(*names));
	enum qe_error error;

	if (!names)
		return -ENOMEM;
	*names = (struct qe_peer_names){
		.naming = naming, .helper = helper, .wake = wake, .ctx = ctx};
	error = qe_resolver_new(&names->resolver, wake, ctx);
	if (error != QE_OK) {
		free(names);
		return error;
	}
	*ret_names = names;
	return QE_OK;
}

struct qe_peer_names *qe_peer_names_free(struct qe_peer_names *names)
{
	if (!names)
		return nullptr;
	qe_resolver_free(names->resolver);
	free(names);
	return nullptr;
}

/* ---- beside the tunnel ---- */

/* A server to whose family there is no socket is left out, as the others may do. */
static enum qe_error ask_servers(
	struct qe_peer_names *names, const struct qe_resolved *question, uint16_t port)
{
	struct qe_endpoint former[QE_DNS_SERVERS_MAX], servers[servers_max];
	size_t n_former = qe_naming_former_servers(names->naming, former), n = 0;
	enum qe_error error = QE_ERR_NOT_FOUND;
	int sockets[servers_max];

	for (size_t i = 0; i < n_former && n < servers_max; i++) {
		servers[n] = former[i];
		error = qe_helper_marked_socket(
			names->helper, (enum qe_family)servers[n].addr.family, false, &sockets[n]);
		n += error == QE_OK;
	}
	return n == 0 ? error
		      : qe_dns_lookup(qe_naming_dns(names->naming), question->cookie,
				question->host, port, servers, sockets, n);
}

static void find_in_hosts(struct qe_resolved *resolved, uint16_t port)
{
	struct qe_addr addrs[QE_RESOLVED_MAX];
	size_t n = qe_hosts_file_find(addrs, QE_RESOLVED_MAX, hosts_path, resolved->host);

	for (size_t i = 0; i < n; i++)
		resolved->endpoints[i] = (struct qe_endpoint){.addr = addrs[i], .port = port};
	resolved->n = n;
}

static enum qe_error ask_beside(
	struct qe_peer_names *names, uint64_t cookie, const char *host, uint16_t port)
{
	struct qe_resolved resolved = {.cookie = cookie};
	enum qe_error error = QE_OK;

	if (strlen(host) >= sizeof(resolved.host))
		return QE_ERR_RANGE;
	strcpy(resolved.host, host);
	find_in_hosts(&resolved, port);
	if (resolved.n == 0)
		error = ask_servers(names, &resolved, port);
	if ((resolved.n == 0 && error == QE_OK) || error == QE_ERR_FULL)
		return error;
	if (names->n_ready == QE_RESOLVER_QUEUE)
		return QE_ERR_FULL;
	if (error != QE_OK)
		snprintf(resolved.error, sizeof(resolved.error), "%s",
			error == QE_ERR_NOT_FOUND ? "no name server is known beside the tunnel"
						  : qe_error_text(error));
	names->ready[names->n_ready++] = resolved;
	names->wake(names->ctx);
	return QE_OK;
}

/* ---- calls ---- */

enum qe_error qe_peer_names_ask(
	struct qe_peer_names *names, uint64_t cookie, const char *host, uint16_t port)
{
	bool beside = qe_naming_has_vpn(names->naming);

	return beside ? ask_beside(names, cookie, host, port)
		      : qe_resolver_ask(names->resolver, cookie, host, port);
}

bool qe_peer_names_take(struct qe_peer_names *names, struct qe_resolved *ret_resolved)
{
	struct qe_resolved resolved;

	while (qe_dns_take_lookup(qe_naming_dns(names->naming), &resolved)) {
		if (qe_naming_take(names->naming, &resolved))
			continue;
		*ret_resolved = resolved;
		return true;
	}
	if (names->n_ready > 0) {
		*ret_resolved = names->ready[--names->n_ready];
		return true;
	}
	return qe_resolver_take(names->resolver, ret_resolved);
}
