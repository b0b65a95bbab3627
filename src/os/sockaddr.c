/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "os/sockaddr.h"

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

struct qe_addr qe_sockaddr_unmap(const uint8_t bytes[static 16])
{
	if (memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0)
		return qe_addr_ipv4(bytes + sizeof(mapped_prefix));
	return qe_addr_ipv6(bytes);
}

void qe_sockaddr_map(uint8_t to[static 16], const struct qe_addr *ipv4)
{
	memcpy(to, mapped_prefix, sizeof(mapped_prefix));
	memcpy(to + sizeof(mapped_prefix), ipv4->bytes, 4);
}

socklen_t qe_sockaddr_from_endpoint(
	struct sockaddr_storage *ret_to, const struct qe_endpoint *endpoint, bool mapped)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6,
		.sin6_port = htons(endpoint->port),
		.sin6_scope_id = endpoint->scope};

	if (endpoint->addr.family == QE_FAMILY_IPV4 && !mapped) {
		memcpy(&ipv4.sin_addr, endpoint->addr.bytes, 4);
		memcpy(ret_to, &ipv4, sizeof(ipv4));
		return sizeof(ipv4);
	}
	if (endpoint->addr.family == QE_FAMILY_IPV4)
		qe_sockaddr_map(ipv6.sin6_addr.s6_addr, &endpoint->addr);
	else
		memcpy(&ipv6.sin6_addr, endpoint->addr.bytes, 16);
	memcpy(ret_to, &ipv6, sizeof(ipv6));
	return sizeof(ipv6);
}

struct qe_endpoint qe_sockaddr_to_endpoint(const struct sockaddr_storage *from)
{
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;

	if (from->ss_family == AF_INET) {
		memcpy(&ipv4, from, sizeof(ipv4));
		return (struct qe_endpoint){
			.addr = qe_addr_ipv4((const uint8_t *)&ipv4.sin_addr.s_addr),
			.port = ntohs(ipv4.sin_port),
		};
	}
	if (from->ss_family != AF_INET6)
		return (struct qe_endpoint){};
	memcpy(&ipv6, from, sizeof(ipv6));
	return (struct qe_endpoint){
		.addr = qe_sockaddr_unmap(ipv6.sin6_addr.s6_addr),
		.port = ntohs(ipv6.sin6_port),
		.scope = IN6_IS_ADDR_LINKLOCAL(&ipv6.sin6_addr) ? ipv6.sin6_scope_id : 0,
	};
}
