/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Addresses, prefixes and endpoints: the structs are in include/quicether.h. Text forms: RFC 4291
 * and RFC 5952 for addresses, CIDR for prefixes, "host:port" and "[v6]:port" for endpoints.
 */
#pragma once

#include "base/text.h"

#define QE_ADDR_TEXT_SIZE 46
#define QE_PREFIX_TEXT_SIZE 50
#define QE_ENDPOINT_TEXT_SIZE 80

struct qe_addr qe_addr_ipv4(const uint8_t bytes[static 4]);
struct qe_addr qe_addr_ipv6(const uint8_t bytes[static 16]);
unsigned qe_addr_bits(const struct qe_addr *addr); /* 32 or 128 */
bool qe_addr_equal(const struct qe_addr *a, const struct qe_addr *b);
int qe_addr_compare(
	const struct qe_addr *a, const struct qe_addr *b); /* IPv4 first, then by value */
bool qe_addr_is_multicast(const struct qe_addr *addr);
bool qe_addr_is_broadcast(const struct qe_addr *addr); /* 255.255.255.255 */
bool qe_addr_is_link_local(const struct qe_addr *addr);
bool qe_addr_is_loopback(const struct qe_addr *addr);
bool qe_addr_is_unspecified(const struct qe_addr *addr);
enum qe_error qe_addr_parse(struct qe_addr *ret_addr, const char *text);
void qe_addr_format(char to[static QE_ADDR_TEXT_SIZE], const struct qe_addr *addr);

bool qe_prefix_contains(const struct qe_prefix *prefix, const struct qe_addr *addr);
bool qe_prefix_covers(
	const struct qe_prefix *outer, const struct qe_prefix *inner); /* equal counts */
bool qe_prefix_overlaps(const struct qe_prefix *a, const struct qe_prefix *b);
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

bool qe_endpoint_equal(const struct qe_endpoint *a, const struct qe_endpoint *b);
/* Literal addresses only: "192.0.2.1:7844", "[2001:db8::1]:7844", "[fe80::1%3]:7844".
 * QE_ERR_NOT_FOUND when the host part is a name. */
enum qe_error qe_endpoint_parse(struct qe_endpoint *ret_endpoint, const char *text);
/* Splits "host:port", "[v6]:port"; the host part is copied without brackets. port 1 to 65535. */
enum qe_error qe_endpoint_split(
	char *ret_host, size_t host_size, uint16_t *ret_port, const char *text);
void qe_endpoint_format(char to[static QE_ENDPOINT_TEXT_SIZE], const struct qe_endpoint *endpoint);
