/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Addresses, prefixes and endpoints: the structs are in include/quicether.h. Text forms: RFC 4291
 * and RFC 5952 for addresses, CIDR for prefixes, "host:port" and "[v6]:port" for endpoints.
 */
#pragma once

#include <string.h>

#include "base/text.h"

#define QE_ADDR_TEXT_SIZE 46
#define QE_PREFIX_TEXT_SIZE 50
#define QE_ENDPOINT_TEXT_SIZE 80

/* What is asked of every packet is inline. */

static inline struct qe_addr qe_addr_ipv4(const uint8_t bytes[static 4])
{
	struct qe_addr addr = {.family = QE_FAMILY_IPV4};

	memcpy(addr.bytes, bytes, 4);
	return addr;
}

static inline struct qe_addr qe_addr_ipv6(const uint8_t bytes[static 16])
{
	struct qe_addr addr = {.family = QE_FAMILY_IPV6};

	memcpy(addr.bytes, bytes, 16);
	return addr;
}

static inline bool qe_addr_equal(const struct qe_addr *a, const struct qe_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool qe_addr_is_multicast(const struct qe_addr *addr)
{
	if (addr->family == QE_FAMILY_IPV4)
		return addr->bytes[0] >> 4 == 0xe;
	return addr->bytes[0] == 0xff;
}

static inline bool qe_addr_is_broadcast(const struct qe_addr *addr)
{
	static const uint8_t ones[4] = {255, 255, 255, 255};

	return addr->family == QE_FAMILY_IPV4 && memcmp(addr->bytes, ones, sizeof(ones)) == 0;
}

static inline bool qe_addr_is_link_local(const struct qe_addr *addr)
{
	if (addr->family == QE_FAMILY_IPV4)
		return addr->bytes[0] == 169 && addr->bytes[1] == 254;
	return addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

static inline bool qe_addr_is_loopback(const struct qe_addr *addr)
{
	static const uint8_t loopback[16] = {[15] = 1};

	if (addr->family == QE_FAMILY_IPV4)
		return addr->bytes[0] == 127;
	return memcmp(addr->bytes, loopback, sizeof(loopback)) == 0;
}

static inline bool qe_addr_is_unspecified(const struct qe_addr *addr)
{
	static const uint8_t zeros[16];

	return memcmp(addr->bytes, zeros, sizeof(zeros)) == 0;
}

unsigned qe_addr_bits(const struct qe_addr *addr); /* 32 or 128 */
int qe_addr_compare(
	const struct qe_addr *a, const struct qe_addr *b); /* IPv4 first, then by value */
enum qe_error qe_addr_parse(struct qe_addr *ret_addr, const char *text);
void qe_addr_format(char to[static QE_ADDR_TEXT_SIZE], const struct qe_addr *addr);

bool qe_prefix_contains(const struct qe_prefix *prefix, const struct qe_addr *addr);
bool qe_prefix_covers(
	const struct qe_prefix *outer, const struct qe_prefix *inner); /* equal counts */
bool qe_prefix_overlaps(const struct qe_prefix *a, const struct qe_prefix *b);
/* What a LAN may claim: all of it is RFC 1918, unique local (RFC 4193) or link-local (RFC 3927,
 * RFC 4291). */
bool qe_prefix_is_lan(const struct qe_prefix *prefix);
struct qe_prefix qe_prefix_host(const struct qe_addr *addr); /* /32 or /128 */
void qe_prefix_mask(struct qe_prefix *prefix);               /* clear the host bits */
int qe_prefix_compare(const struct qe_prefix *a,
	const struct qe_prefix *b); /* by address, then the shorter first */
/* "10.0.0.0/8"; without a length it is a host. QE_ERR_HOST_BITS when bits beyond the length are
 * set: *ret_prefix then holds the prefix as it was probably meant (masked), for the error message.
 */
enum qe_error qe_prefix_parse(struct qe_prefix *ret_prefix, const char *text);
/* "100.64.0.1/24" as an interface address: the address and the prefix it lies in. Without a length:
 * /32 or /128. */
enum qe_error qe_interface_addr_parse(
	struct qe_addr *ret_addr, struct qe_prefix *ret_prefix, const char *text);
void qe_prefix_format(char to[static QE_PREFIX_TEXT_SIZE], const struct qe_prefix *prefix);

static inline bool qe_endpoint_equal(const struct qe_endpoint *a, const struct qe_endpoint *b)
{
	return qe_addr_equal(&a->addr, &b->addr) && a->port == b->port && a->scope == b->scope;
}

static inline bool qe_path_equal(const struct qe_path *a, const struct qe_path *b)
{
	return qe_endpoint_equal(&a->remote, &b->remote) && qe_endpoint_equal(&a->local, &b->local);
}

/* Literal addresses only: "192.0.2.1:7844", "[2001:db8::1]:7844", "[fe80::1%3]:7844".
 * QE_ERR_NOT_FOUND when the host part is a name. */
enum qe_error qe_endpoint_parse(struct qe_endpoint *ret_endpoint, const char *text);
/* Splits "host:port", "[v6]:port"; the host part is copied without brackets. port 1 to 65535. */
enum qe_error qe_endpoint_split(
	char *ret_host, size_t host_size, uint16_t *ret_port, const char *text);
void qe_endpoint_format(char to[static QE_ENDPOINT_TEXT_SIZE], const struct qe_endpoint *endpoint);
