/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * net - IP as bytes: addresses, one parse of a packet, checksums, splitting, coalescing, ICMP.
 *
 * Everything here is a pure function of its arguments: no I/O, no clock, and no allocation but in
 * qe_coalescer_new. qe_packet_parse is the gate: the rest takes a struct qe_packet as proof that
 * its offsets lie inside the bytes, and therefore does not check again. Bytes and their view
 * belong together; whoever changes a length or an offset parses again.
 */
#include "net/addr.h"

#include <string.h>

#define GROUPS 8 /* of 16 bits in an IPv6 address */

static const uint8_t ipv4_mapped[12] = {[10] = 0xff, [11] = 0xff};

unsigned qe_addr_bits(const struct qe_addr *addr)
{
	return addr->family == QE_FAMILY_IPV4 ? 32 : 128;
}

int qe_addr_compare(const struct qe_addr *a, const struct qe_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* A decimal number without sign or leading zeros, at most max. Moves *text behind it. */
static enum qe_error parse_number(uint32_t *ret_number, const char **text, uint32_t max)
{
	const char *at = *text;
	uint64_t number = 0;

	if (at[0] == '0' && at[1] >= '0' && at[1] <= '9')
		return QE_ERR_SYNTAX;
	for (; *at >= '0' && *at <= '9'; at++) {
		number = number * 10 + (uint64_t)(*at - '0');
		if (number > max)
			return QE_ERR_RANGE;
	}
	if (at == *text)
		return QE_ERR_SYNTAX;
	*text = at;
	*ret_number = (uint32_t)number;
	return QE_OK;
}

/* As parse_number, but nothing may follow. */
static enum qe_error parse_whole_number(uint32_t *ret_number, const char *text, uint32_t max)
{
	uint32_t number;

	QE_TRY(parse_number(&number, &text, max));
	if (*text)
		return QE_ERR_SYNTAX;
	*ret_number = number;
	return QE_OK;
}

static bool parse_ipv4(uint8_t to[static 4], const char *text)
{
	for (unsigned i = 0; i < 4; i++) {
		uint32_t octet;

		if (i > 0 && *text++ != '.')
			return false;
		if (parse_number(&octet, &text, 255) != QE_OK)
			return false;
		to[i] = (uint8_t)octet;
	}
	return *text == '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One to four hexadecimal digits. */
static bool parse_group(uint8_t to[static 2], const char **text)
{
	unsigned group = 0, n = 0;

	for (; n < 4 && hex_digit(**text) >= 0; n++, (*text)++)
		group = group << 4 | (unsigned)hex_digit(**text);
	qe_store_u16(to, (uint16_t)group);
	return n > 0;
}

static bool parse_ipv6(uint8_t to[static 16], const char *text)
{
	uint8_t bytes[16] = {};
	size_t n = 0, gap = SIZE_MAX; /* bytes read; how many of them stand before the "::" */

	if (text[0] == ':' && text[1] == ':') {
		gap = 0;
		text += 2;
	}
	while (*text) {
		if (n <= 12 && parse_ipv4(bytes + n, text)) {
			n += 4;
			break;
		}
		if (n >= sizeof(bytes) || !parse_group(bytes + n, &text))
			return false;
		n += 2;
		if (*text == '\0')
			break;
		if (*text++ != ':' || *text == '\0')
			return false;
		if (*text == ':') {
			if (gap != SIZE_MAX)
				return false;
			gap = n;
			text++;
		}
	}
	if (gap == SIZE_MAX ? n != sizeof(bytes) : n == sizeof(bytes))
		return false;
	if (gap == SIZE_MAX)
		gap = n;
	memset(to, 0, sizeof(bytes));
	memcpy(to, bytes, gap);
	memcpy(to + sizeof(bytes) - (n - gap), bytes + gap, n - gap);
	return true;
}

enum qe_error qe_addr_parse(struct qe_addr *ret_addr, const char *text)
{
	uint8_t bytes[16];

	if (parse_ipv4(bytes, text))
		*ret_addr = qe_addr_ipv4(bytes);
	else if (parse_ipv6(bytes, text))
		*ret_addr = qe_addr_ipv6(bytes);
	else
		return QE_ERR_SYNTAX;
	return QE_OK;
}

static void add_ipv4(struct qe_text *text, const uint8_t bytes[static 4])
{
	qe_text_addf(text, "%u.%u.%u.%u", bytes[0], bytes[1], bytes[2], bytes[3]);
}

static unsigned zero_groups_at(const uint8_t bytes[static 16], unsigned from)
{
	unsigned n = 0;

	while (from + n < GROUPS && qe_load_u16(bytes + 2 * (from + n)) == 0)
		n++;
	return n;
}

/* RFC 5952: the first of the longest runs of two or more zero groups is left out. */
static void add_ipv6(struct qe_text *text, const uint8_t bytes[static 16])
{
	unsigned gap = GROUPS, gap_len = 1;

	if (memcmp(bytes, ipv4_mapped, sizeof(ipv4_mapped)) == 0) {
		qe_text_add(text, "::ffff:");
		add_ipv4(text, bytes + sizeof(ipv4_mapped));
		return;
	}
	for (unsigned i = 0; i < GROUPS; i++) {
		if (zero_groups_at(bytes, i) > gap_len) {
			gap = i;
			gap_len = zero_groups_at(bytes, i);
		}
	}
	for (unsigned i = 0; i < GROUPS; i++) {
		if (i == gap) {
			qe_text_add(text, "::");
			i += gap_len - 1;
			continue;
		}
		qe_text_addf(text, i == 0 || i == gap + gap_len ? "%x" : ":%x",
			qe_load_u16(bytes + 2 * i));
	}
}

static void add_addr(struct qe_text *text, const struct qe_addr *addr)
{
	if (addr->family == QE_FAMILY_IPV4)
		add_ipv4(text, addr->bytes);
	else if (addr->family == QE_FAMILY_IPV6)
		add_ipv6(text, addr->bytes);
	else
		qe_text_add(text, "none");
}

void qe_addr_format(char to[static QE_ADDR_TEXT_SIZE], const struct qe_addr *addr)
{
	struct qe_text text = qe_text_init(to, QE_ADDR_TEXT_SIZE);

	add_addr(&text, addr);
}

/* ---- prefixes ---- */

static bool leading_bits_equal(const uint8_t *a, const uint8_t *b, unsigned n)
{
	unsigned bytes = n / 8, bits = n % 8;

	return memcmp(a, b, bytes) == 0 && (bits == 0 || (a[bytes] ^ b[bytes]) >> (8 - bits) == 0);
}

bool qe_prefix_contains(const struct qe_prefix *prefix, const struct qe_addr *addr)
{
	return prefix->addr.family == addr->family &&
	       leading_bits_equal(prefix->addr.bytes, addr->bytes, prefix->length);
}

bool qe_prefix_covers(const struct qe_prefix *outer, const struct qe_prefix *inner)
{
	return outer->length <= inner->length && qe_prefix_contains(outer, &inner->addr);
}

bool qe_prefix_overlaps(const struct qe_prefix *a, const struct qe_prefix *b)
{
	return qe_prefix_covers(a, b) || qe_prefix_covers(b, a);
}

bool qe_prefix_is_lan(const struct qe_prefix *prefix)
{
	static const struct qe_prefix ranges[] = {
		{{QE_FAMILY_IPV4, {10}}, 8},
		{{QE_FAMILY_IPV4, {172, 16}}, 12},
		{{QE_FAMILY_IPV4, {192, 168}}, 16},
		{{QE_FAMILY_IPV4, {169, 254}}, 16},
		{{QE_FAMILY_IPV6, {0xfc}}, 7},
		{{QE_FAMILY_IPV6, {0xfe, 0x80}}, 10},
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (qe_prefix_covers(&ranges[i], prefix))
			return true;
	}
	return false;
}

struct qe_prefix qe_prefix_host(const struct qe_addr *addr)
{
	return (struct qe_prefix){.addr = *addr, .length = (uint8_t)qe_addr_bits(addr)};
}

void qe_prefix_mask(struct qe_prefix *prefix)
{
	unsigned bytes = prefix->length / 8, bits = prefix->length % 8;

	if (bits > 0) {
		prefix->addr.bytes[bytes] &= (uint8_t)(0xff << (8 - bits));
		bytes++;
	}
	memset(prefix->addr.bytes + bytes, 0, sizeof(prefix->addr.bytes) - bytes);
}

int qe_prefix_compare(const struct qe_prefix *a, const struct qe_prefix *b)
{
	int order = qe_addr_compare(&a->addr, &b->addr);

	return order ? order : a->length - b->length;
}

/* The prefix is masked; the address is as it was written. */
static enum qe_error parse_cidr(
	struct qe_addr *ret_addr, struct qe_prefix *ret_prefix, const char *text)
{
	char host[QE_ADDR_TEXT_SIZE];
	const char *slash = strchr(text, '/');
	size_t host_len = slash ? (size_t)(slash - text) : strlen(text);
	struct qe_addr addr;
	struct qe_prefix prefix;

	if (host_len >= sizeof(host))
		return QE_ERR_SYNTAX;
	memcpy(host, text, host_len);
	host[host_len] = '\0';
	QE_TRY(qe_addr_parse(&addr, host));
	prefix = qe_prefix_host(&addr);
	if (slash) {
		uint32_t length;

		QE_TRY(parse_whole_number(&length, slash + 1, qe_addr_bits(&addr)));
		prefix.length = (uint8_t)length;
	}
	qe_prefix_mask(&prefix);
	*ret_addr = addr;
	*ret_prefix = prefix;
	return QE_OK;
}

enum qe_error qe_prefix_parse(struct qe_prefix *ret_prefix, const char *text)
{
	struct qe_addr addr;

	QE_TRY(parse_cidr(&addr, ret_prefix, text));
	return qe_addr_equal(&addr, &ret_prefix->addr) ? QE_OK : QE_ERR_HOST_BITS;
}

enum qe_error qe_interface_addr_parse(
	struct qe_addr *ret_addr, struct qe_prefix *ret_prefix, const char *text)
{
	return parse_cidr(ret_addr, ret_prefix, text);
}

void qe_prefix_format(char to[static QE_PREFIX_TEXT_SIZE], const struct qe_prefix *prefix)
{
	struct qe_text text = qe_text_init(to, QE_PREFIX_TEXT_SIZE);

	add_addr(&text, &prefix->addr);
	qe_text_addf(&text, "/%u", prefix->length);
}

/* ---- endpoints ---- */

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_';
}

/* Finds the host inside the text: what stands in brackets, or a name or IPv4 address before the
 * only colon. Moves *text to the colon before the port. */
static enum qe_error find_host(struct qe_bytes *ret_host, const char **text)
{
	bool bracketed = **text == '[';
	const char *begin = *text + bracketed, *end = strchr(begin, bracketed ? ']' : ':');

	if (!end || end == begin)
		return QE_ERR_SYNTAX;
	for (const char *at = begin; !bracketed && at < end; at++)
		if (!is_name_char(*at))
			return QE_ERR_SYNTAX;
	if (bracketed && !memchr(begin, ':', (size_t)(end - begin)))
		return QE_ERR_SYNTAX;
	*ret_host = (struct qe_bytes){(const uint8_t *)begin, (size_t)(end - begin)};
	*text = end + bracketed;
	return QE_OK;
}

enum qe_error qe_endpoint_split(
	char *ret_host, size_t host_size, uint16_t *ret_port, const char *text)
{
	struct qe_bytes host;
	uint32_t port;

	QE_TRY(find_host(&host, &text));
	if (*text++ != ':')
		return QE_ERR_SYNTAX;
	QE_TRY(parse_whole_number(&port, text, UINT16_MAX));
	if (port == 0 || host.len >= host_size)
		return QE_ERR_RANGE;
	memcpy(ret_host, host.data, host.len);
	ret_host[host.len] = '\0';
	*ret_port = (uint16_t)port;
	return QE_OK;
}

/* Cuts "%3" off the host and gives the number; 0 where there is none. */
static enum qe_error cut_scope(uint32_t *ret_scope, char *host)
{
	char *percent = strchr(host, '%');

	*ret_scope = 0;
	if (!percent)
		return QE_OK;
	*percent = '\0';
	QE_TRY(parse_whole_number(ret_scope, percent + 1, UINT32_MAX));
	return *ret_scope > 0 ? QE_OK : QE_ERR_RANGE;
}

enum qe_error qe_endpoint_parse(struct qe_endpoint *ret_endpoint, const char *text)
{
	char host[256]; /* no DNS name is longer (RFC 1035 2.3.4) */
	struct qe_endpoint endpoint = {};

	QE_TRY(qe_endpoint_split(host, sizeof(host), &endpoint.port, text));
	QE_TRY(cut_scope(&endpoint.scope, host));
	if (qe_addr_parse(&endpoint.addr, host) != QE_OK) {
		bool literal = strchr(host, ':') || host[strspn(host, "0123456789.")] == '\0';

		return literal ? QE_ERR_SYNTAX : QE_ERR_NOT_FOUND;
	}
	if (endpoint.scope > 0 && !qe_addr_is_link_local(&endpoint.addr))
		return QE_ERR_SYNTAX;
	*ret_endpoint = endpoint;
	return QE_OK;
}

void qe_endpoint_format(char to[static QE_ENDPOINT_TEXT_SIZE], const struct qe_endpoint *endpoint)
{
	struct qe_text text = qe_text_init(to, QE_ENDPOINT_TEXT_SIZE);
	bool bracketed = endpoint->addr.family == QE_FAMILY_IPV6;

	qe_text_add(&text, bracketed ? "[" : "");
	add_addr(&text, &endpoint->addr);
	if (endpoint->scope > 0)
		qe_text_addf(&text, "%%%u", endpoint->scope);
	qe_text_addf(&text, bracketed ? "]:%u" : ":%u", endpoint->port);
}
