/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Addresses and paths of a link, as ngtcp2 has them and as the rest of the program does. */
#include <netinet/in.h>
#include <string.h>

#include "net/addr.h"
#include "quic/link_internal.h"

/* An address left to the system is the wildcard of the family given. */
static ngtcp2_socklen to_sockaddr(
	ngtcp2_sockaddr_union *to, const struct qe_endpoint *endpoint, uint8_t family)
{
	*to = (ngtcp2_sockaddr_union){};
	if (family == QE_FAMILY_IPV4) {
		to->in.sin_family = AF_INET;
		to->in.sin_port = htons(endpoint->port);
		memcpy(&to->in.sin_addr, endpoint->addr.bytes, 4);
		return sizeof(to->in);
	}
	to->in6.sin6_family = AF_INET6;
	to->in6.sin6_port = htons(endpoint->port);
	to->in6.sin6_scope_id = endpoint->scope;
	memcpy(&to->in6.sin6_addr, endpoint->addr.bytes, 16);
	return sizeof(to->in6);
}

static struct qe_endpoint from_sockaddr(const ngtcp2_sockaddr *from)
{
	struct qe_endpoint endpoint = {};

	if (from->sa_family == AF_INET) {
		const ngtcp2_sockaddr_in *in = (const ngtcp2_sockaddr_in *)from;

		endpoint.addr = qe_addr_ipv4((const uint8_t *)&in->sin_addr);
		endpoint.port = ntohs(in->sin_port);
	} else if (from->sa_family == AF_INET6) {
		const ngtcp2_sockaddr_in6 *in6 = (const ngtcp2_sockaddr_in6 *)from;

		endpoint.addr = qe_addr_ipv6((const uint8_t *)&in6->sin6_addr);
		endpoint.port = ntohs(in6->sin6_port);
		endpoint.scope = in6->sin6_scope_id;
	}
	return endpoint;
}

ngtcp2_path link_path_to_ngtcp2(ngtcp2_path_storage *storage, const struct qe_path *path)
{
	uint8_t family = path->remote.addr.family;

	storage->path = (ngtcp2_path){
		.local = {&storage->local_addrbuf.sa,
			to_sockaddr(&storage->local_addrbuf, &path->local, family)},
		.remote = {&storage->remote_addrbuf.sa,
			to_sockaddr(&storage->remote_addrbuf, &path->remote, family)},
	};
	return storage->path;
}

/* Packets come in trains, and nearly all trains the same way. */
const ngtcp2_path *link_input_path(struct qe_link *link, const struct qe_path *path)
{
	if (!qe_path_equal(path, &link->input_seen)) {
		struct qe_path normal = {.remote = path->remote};

		if (link->pinned_local)
			normal.local = path->local;
		link->input_seen = *path;
		link_path_to_ngtcp2(&link->input, &normal);
	}
	return &link->input.path;
}

static struct qe_path from_ngtcp2(const struct qe_link *link, const ngtcp2_path *path)
{
	struct qe_path result = {.remote = from_sockaddr(path->remote.addr)};

	if (link->pinned_local)
		result.local = from_sockaddr(path->local.addr);
	return result;
}

const struct qe_path *link_written_path(const struct qe_link *link, struct qe_path *other)
{
	if (ngtcp2_path_eq(&link->written.path, &link->known.path))
		return &link->path;
	*other = from_ngtcp2(link, &link->written.path);
	return other;
}

void link_follow_path(struct qe_link *link)
{
	const ngtcp2_path *current = ngtcp2_conn_get_path(link->conn);

	if (link->known.path.remote.addrlen != 0 && ngtcp2_path_eq(&link->known.path, current))
		return;
	ngtcp2_path_copy(&link->known.path, current);
	link->path = from_ngtcp2(link, current);
	link->pace.widest = 0;
}
