/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "dns/name.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

constexpr size_t LABEL_MAX = 63;

static const struct qe_dns_name tree_ipv4 = {14, "\7in-addr\4arpa"};
static const struct qe_dns_name tree_ipv6 = {10, "\3ip6\4arpa"};

/* The C library's know of locales. */
static uint8_t to_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool is_plain(uint8_t c)
{
	c = to_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static enum qe_error add_label(struct qe_dns_name *name, const char *label, size_t len)
{
	if (len > LABEL_MAX || name->len + 1 + len + 1 > QE_DNS_NAME_MAX)
		return QE_ERR_RANGE;
	name->wire[name->len++] = (uint8_t)len;
	for (size_t i = 0; i < len; i++) {
		if (!is_plain((uint8_t)label[i]))
			return QE_ERR_SYNTAX;
		name->wire[name->len++] = to_lower((uint8_t)label[i]);
	}
	return QE_OK;
}

enum qe_error qe_dns_name_parse(struct qe_dns_name *ret_name, const char *text)
{
	struct qe_dns_name name = {};

	if (strcmp(text, ".") == 0)
		text++;
	else if (text[0] == '\0')
		return QE_ERR_SYNTAX;
	while (text[0] != '\0') {
		size_t len = strcspn(text, ".");

		if (len == 0)
			return QE_ERR_SYNTAX;
		QE_TRY(add_label(&name, text, len));
		text += len + (text[len] == '.');
	}
	name.wire[name.len++] = 0;
	*ret_name = name;
	return QE_OK;
}

/* The lengths of labels are below "A", so that all bytes can be treated alike. */
enum qe_error qe_dns_name_from_wire(struct qe_dns_name *ret_name, struct qe_bytes wire)
{
	struct qe_dns_name name = {};
	size_t at = 0;

	while (at < wire.len && wire.data[at] > 0 && wire.data[at] <= LABEL_MAX)
		at += 1 + wire.data[at];
	if (wire.len > QE_DNS_NAME_MAX || at + 1 != wire.len || wire.data[at] != 0)
		return QE_ERR_SYNTAX;
	name.len = (uint8_t)wire.len;
	for (size_t i = 0; i < wire.len; i++)
		name.wire[i] = to_lower(wire.data[i]);
	*ret_name = name;
	return QE_OK;
}

int qe_dns_name_compare(const struct qe_dns_name *a, const struct qe_dns_name *b)
{
	return a->len != b->len ? a->len - b->len : memcmp(a->wire, b->wire, a->len);
}

bool qe_dns_name_equal(const struct qe_dns_name *a, const struct qe_dns_name *b)
{
	return qe_dns_name_compare(a, b) == 0;
}

bool qe_dns_name_is_under(const struct qe_dns_name *name, const struct qe_dns_name *suffix)
{
	unsigned at = 0;

	while (name->len - at > suffix->len)
		at += 1 + name->wire[at];
	return name->len - at == suffix->len &&
	       memcmp(name->wire + at, suffix->wire, suffix->len) == 0;
}

unsigned qe_dns_name_labels(const struct qe_dns_name *name)
{
	unsigned n = 0;

	for (unsigned at = 0; name->wire[at] > 0; at += 1 + name->wire[at])
		n++;
	return n;
}

/* ---- addresses ---- */

static char *write_reverse_ipv6(char *at, const uint8_t bytes[16])
{
	for (int i = 15; i >= 0; i--)
		at += sprintf(at, "%x.%x.", bytes[i] & 15, bytes[i] >> 4);
	return at;
}

void qe_dns_name_reverse(struct qe_dns_name *ret_name, const struct qe_addr *addr)
{
	const uint8_t *b = addr->bytes;
	char text[80];

	if (addr->family == QE_FAMILY_IPV4)
		sprintf(text, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
	else
		strcpy(write_reverse_ipv6(text, b), "ip6.arpa");
	(void)!qe_dns_name_parse(ret_name, text); /* which text of ours always is */
}

/* A number without leading zeros. */
static bool read_number(const uint8_t *label, int base, unsigned max, unsigned *ret_value)
{
	char text[4] = {};
	char *end;
	unsigned long value;

	if (label[0] >= sizeof(text) || !isxdigit(label[1]) || (label[0] > 1 && label[1] == '0'))
		return false;
	memcpy(text, label + 1, label[0]);
	value = strtoul(text, &end, base);
	if (*end != '\0' || value > max)
		return false;
	*ret_value = (unsigned)value;
	return true;
}

/* The labels come in backward order: the last before the tree's is the first of the address. */
static uint8_t read_labels(const struct qe_dns_name *name, const uint8_t starts[], unsigned n,
	unsigned bits, uint8_t bytes[16])
{
	unsigned value, most = bits == 8 ? 4 : 32, i;

	for (i = 0; i < n && i < most; i++) {
		const uint8_t *label = name->wire + starts[n - 1 - i];

		if (!read_number(label, bits == 8 ? 10 : 16, (1u << bits) - 1, &value))
			break;
		bytes[i * bits / 8] |= (uint8_t)(bits == 4 && i % 2 == 0 ? value << 4 : value);
	}
	return (uint8_t)(i * bits);
}

bool qe_dns_name_prefix(const struct qe_dns_name *name, struct qe_prefix *ret_prefix)
{
	bool ipv4 = qe_dns_name_is_under(name, &tree_ipv4);
	uint8_t starts[QE_DNS_NAME_MAX / 2];
	unsigned n = 0;

	if (!ipv4 && !qe_dns_name_is_under(name, &tree_ipv6))
		return false;
	for (unsigned at = 0; name->wire[at] > 0; at += 1 + name->wire[at])
		starts[n++] = (uint8_t)at;
	*ret_prefix = (struct qe_prefix){.addr.family = ipv4 ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6};
	ret_prefix->length = read_labels(name, starts, n - 2, ipv4 ? 8 : 4, ret_prefix->addr.bytes);
	return true;
}
