/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/peer_names.h"

#include <errno.h>
#include <stdlib.h>

#include "os/socket.h"

struct beside {
	uint64_t cookie;
	uint16_t port;
};

struct qe_peer_names {
	struct qe_naming *naming;
	struct qe_helper *helper;
	struct qe_resolver *resolver;               /* the system's */
	struct beside under_way[QE_RESOLVER_QUEUE]; /* asked beside the tunnel */
	size_t n_under_way;
};

static enum qe_error open_sockets(struct qe_peer_names *names, const struct qe_endpoint *servers,
	int sockets[QE_DNS_SERVERS_MAX], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		enum qe_error error = qe_helper_marked_socket(
			names->helper, (enum qe_family)servers[i].addr.family, false, &sockets[i]);

		if (error == QE_OK)
			continue;
		while (i > 0)
			qe_socket_close(sockets[--i]);
		return error;
	}
	return QE_OK;
}

static enum qe_error ask_beside(
	struct qe_peer_names *names, uint64_t cookie, const char *host, uint16_t port)
{
	struct qe_endpoint servers[QE_DNS_SERVERS_MAX];
	int sockets[QE_DNS_SERVERS_MAX];
	size_t n = qe_naming_former_servers(names->naming, servers);

	if (n == 0)
		return QE_ERR_NOT_FOUND;
	if (names->n_under_way == QE_RESOLVER_QUEUE)
		return QE_ERR_FULL;
	QE_TRY(open_sockets(names, servers, sockets, n));
	QE_TRY(qe_dns_lookup(
		qe_naming_dns(names->naming), cookie, host, port, servers, sockets, n));
	names->under_way[names->n_under_way++] = (struct beside){cookie, port};
	return QE_OK;
}

enum qe_error qe_peer_names_ask(
	struct qe_peer_names *names, uint64_t cookie, const char *host, uint16_t port)
{
	if (ask_beside(names, cookie, host, port) == QE_OK)
		return QE_OK;
	return qe_resolver_ask(names->resolver, cookie, host, port);
}

static bool forget(struct qe_peer_names *names, uint64_t cookie, struct beside *ret_beside)
{
	for (size_t i = 0; i < names->n_under_way; i++) {
		if (names->under_way[i].cookie != cookie)
			continue;
		*ret_beside = names->under_way[i];
		names->under_way[i] = names->under_way[--names->n_under_way];
		return true;
	}
	return false;
}

/* What was not found beside the tunnel is asked of the system once more. */
static bool is_last_word(struct qe_peer_names *names, const struct qe_resolved *resolved)
{
	struct beside beside;

	if (!forget(names, resolved->cookie, &beside))
		return false;
	return resolved->n > 0 || qe_resolver_ask(names->resolver, beside.cookie, resolved->host,
					  beside.port) != QE_OK;
}

bool qe_peer_names_take(struct qe_peer_names *names, struct qe_resolved *ret_resolved)
{
	while (qe_dns_take_lookup(qe_naming_dns(names->naming), ret_resolved)) {
		if (!qe_naming_take(names->naming, ret_resolved) &&
			is_last_word(names, ret_resolved))
			return true;
	}
	return qe_resolver_take(names->resolver, ret_resolved);
}

enum qe_error qe_peer_names_new(struct qe_peer_names **ret_names, struct qe_naming *naming,
	struct qe_helper *helper, void (*wake)(void *ctx), void *ctx)
{
	struct qe_peer_names *names = malloc(sizeof(*names));
	enum qe_error error;

	if (!names)
		return -ENOMEM;
	*names = (struct qe_peer_names){.naming = naming, .helper = helper};
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
