/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The types of the schema: from text and back. What is wrong is said as a predicate of the text:
 * "70000" is out of range. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/types.h"
#include "crypto/node_id.h"
#include "net/addr.h"

#define PATH_MAX_BYTES 4095
#define SHOWN_MAX 80 /* characters of a wrong value that an error repeats */

bool qe_type_refuse(struct qe_text *problem, const char *text, const char *format, ...)
{
	char why[200];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof why, format, args);
	va_end(args);
	qe_text_addf(problem, "\"%.*s%s\" %s", SHOWN_MAX, text,
		strlen(text) > SHOWN_MAX ? "..." : "", why);
	return false;
}

bool qe_type_take_string(void *to, const char *text, struct qe_text *problem)
{
	char *copy = strdup(text);

	if (!copy)
		return qe_type_refuse(problem, text, "does not fit in memory");
	memcpy(to, &copy, sizeof copy);
	return true;
}

void qe_type_format_string(
	struct qe_text *to, const void *value, [[maybe_unused]] const struct qe_schema_key *key)
{
	const char *const *string = value;

	qe_text_add(to, *string);
}

void qe_type_done_string(void *value)
{
	char **string = value;

	free(*string);
}

/* ---- name ---- */

static bool is_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > QE_NAME_MAX || !isalnum((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i]))
			return false;
	return true;
}

static bool parse_name(void *to, const char *text, [[maybe_unused]] const struct qe_schema_key *key,
	struct qe_text *problem)
{
	struct qe_node_id id;

	if (!is_name(text))
		return qe_type_refuse(problem, text, "is not a name");
	if (qe_node_id_parse(&id, text) == QE_OK)
		return qe_type_refuse(problem, text, "is a NodeId, which cannot be a name");
	return qe_type_take_string(to, text, problem);
}

const struct qe_schema_type qe_type_name = {
	.name = "name",
	.expected = "a name of up to 63 letters, digits, \".\", \"_\" and \"-\"",
	.size = sizeof(char *),
	.text = true,
	.parse = parse_name,
	.format = qe_type_format_string,
	.done = qe_type_done_string,
};

/* ---- peer ---- */

/* That there is such a peer shows only once all have been read: see check.c. */
static bool parse_peer(void *to, const char *text, [[maybe_unused]] const struct qe_schema_key *key,
	struct qe_text *problem)
{
	struct qe_node_id id;

	if (!is_name(text) && qe_node_id_parse(&id, text) != QE_OK)
		return qe_type_refuse(problem, text, "is neither a name nor a NodeId");
	return qe_type_take_string(to, text, problem);
}

const struct qe_schema_type qe_type_peer = {
	.name = "peer",
	.expected = "the name or the NodeId of a peer",
	.size = sizeof(char *),
	.text = true,
	.parse = parse_peer,
	.format = qe_type_format_string,
	.done = qe_type_done_string,
};

/* ---- path ---- */

static bool parse_path(void *to, const char *text, [[maybe_unused]] const struct qe_schema_key *key,
	struct qe_text *problem)
{
	if (text[0] == '\0')
		return qe_type_refuse(problem, text, "is empty");
	if (strlen(text) > PATH_MAX_BYTES)
		return qe_type_refuse(problem, text, "is too long");
	return qe_type_take_string(to, text, problem);
}

const struct qe_schema_type qe_type_path = {
	.name = "path",
	.expected = "a path",
	.size = sizeof(char *),
	.text = true,
	.parse = parse_path,
	.format = qe_type_format_string,
	.done = qe_type_done_string,
};

/* ---- interface name ---- */

/* What the kernel takes; and no '%', which it would replace by a number. */
static bool parse_interface_name(void *to, const char *text,
	[[maybe_unused]] const struct qe_schema_key *key, struct qe_text *problem)
{
	size_t len = strlen(text);

	if (len == 0 || len >= QE_TUN_NAME_SIZE)
		return qe_type_refuse(problem, text, "has %zu characters", len);
	if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return qe_type_refuse(problem, text, "is not an interface name");
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)text[i]) || strchr("/:%", text[i]))
			return qe_type_refuse(problem, text, "has a character that it cannot have");
	return qe_type_take_string(to, text, problem);
}

const struct qe_schema_type qe_type_interface_name = {
	.name = "interface name",
	.expected =
		"an interface name of 1 to 15 characters without \"/\", \":\", \"%\" and spaces,",
	.size = sizeof(char *),
	.text = true,
	.parse = parse_interface_name,
	.format = qe_type_format_string,
	.done = qe_type_done_string,
};

/* ---- choice ---- */

static bool parse_choice(
	void *to, const char *text, const struct qe_schema_key *key, struct qe_text *problem)
{
	unsigned n = 0;

	for (; key->words[n]; n++)
		if (strcmp(key->words[n], text) == 0) {
			memcpy(to, &n, sizeof n);
			return true;
		}
	const char *nearest = qe_text_nearest(text, key->words, n);
	if (nearest)
		return qe_type_refuse(problem, text, "is unknown (did you mean \"%s\"?)", nearest);
	return qe_type_refuse(problem, text, "is unknown");
}

static void format_choice(struct qe_text *to, const void *value, const struct qe_schema_key *key)
{
	unsigned choice;

	memcpy(&choice, value, sizeof choice);
	qe_text_add(to, key->words[choice]);
}

static_assert(sizeof(enum qe_role) == sizeof(unsigned) && sizeof(enum qe_pq) == sizeof(unsigned) &&
	      sizeof(enum qe_cipher) == sizeof(unsigned) &&
	      sizeof(enum qe_log_level) == sizeof(unsigned));

const struct qe_schema_type qe_type_choice = {
	.name = "choice",
	.size = sizeof(unsigned),
	.parse = parse_choice,
	.format = format_choice,
};

/* ---- integer ---- */

static bool parse_integer(
	void *to, const char *text, const struct qe_schema_key *key, struct qe_text *problem)
{
	char *end;

	if (key->zero && strcmp(text, key->zero) == 0)
		text = "0";
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || isspace((unsigned char)text[0]))
		return qe_type_refuse(problem, text, "is not an integer");
	if (errno == ERANGE || value < key->min || value > key->max)
		return qe_type_refuse(problem, text, "is out of range");
	uint16_t narrow = (uint16_t)value; /* every max is below 65536 */
	memcpy(to, &narrow, sizeof narrow);
	return true;
}

static void format_integer(struct qe_text *to, const void *value, const struct qe_schema_key *key)
{
	uint16_t integer;

	memcpy(&integer, value, sizeof integer);
	if (integer == 0 && key->zero)
		qe_text_add(to, key->zero);
	else
		qe_text_addf(to, "%u", integer);
}

const struct qe_schema_type qe_type_integer = {
	.name = "integer",
	.size = sizeof(uint16_t),
	.integer = true,
	.parse = parse_integer,
	.format = format_integer,
};

/* ---- boolean ---- */

static bool parse_boolean(void *to, const char *text,
	[[maybe_unused]] const struct qe_schema_key *key, struct qe_text *problem)
{
	bool value = strcmp(text, "true") == 0;

	if (!value && strcmp(text, "false") != 0)
		return qe_type_refuse(problem, text, "is not a boolean");
	memcpy(to, &value, sizeof value);
	return true;
}

static void format_boolean(
	struct qe_text *to, const void *value, [[maybe_unused]] const struct qe_schema_key *key)
{
	const bool *boolean = value;

	qe_text_add(to, *boolean ? "true" : "false");
}

const struct qe_schema_type qe_type_boolean = {
	.name = "true or false",
	.size = sizeof(bool),
	.boolean = true,
	.parse = parse_boolean,
	.format = format_boolean,
};

/* ---- where to listen ---- */

static bool is_digits(const char *text)
{
	return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static bool parse_listen(void *to, const char *text,
	[[maybe_unused]] const struct qe_schema_key *key, struct qe_text *problem)
{
	const char *port = text[0] == ':' ? text + 1 : text;
	struct qe_endpoint endpoint;
	char full[64];

	if (is_digits(port))
		snprintf(full, sizeof full, "[::]:%.20s", port);
	enum qe_error error = qe_endpoint_parse(&endpoint, is_digits(port) ? full : text);
	if (error == QE_ERR_NOT_FOUND)
		return qe_type_refuse(problem, text, "has a name where an address belongs");
	if (error != QE_OK)
		return qe_type_refuse(
			problem, text, "is not an address and a port from 1 to 65535");
	if (qe_addr_is_multicast(&endpoint.addr))
		return qe_type_refuse(problem, text, "is a multicast address");
	memcpy(to, &endpoint, sizeof endpoint);
	return true;
}

static void format_endpoint(
	struct qe_text *to, const void *value, [[maybe_unused]] const struct qe_schema_key *key)
{
	char text[QE_ENDPOINT_TEXT_SIZE];

	qe_endpoint_format(text, value);
	qe_text_add(to, text);
}

const struct qe_schema_type qe_type_listen = {
	.name = "address and port",
	.expected = "an address and a port",
	.size = sizeof(struct qe_endpoint),
	.parse = parse_listen,
	.format = format_endpoint,
};

/* ---- NodeId ---- */

static bool parse_node_id(void *to, const char *text,
	[[maybe_unused]] const struct qe_schema_key *key, struct qe_text *problem)
{
	struct qe_node_id id;

	if (strlen(text) != QE_NODE_ID_TEXT_SIZE - 1)
		return qe_type_refuse(problem, text, "has %zu characters, and a NodeId has %d",
			strlen(text), QE_NODE_ID_TEXT_SIZE - 1);
	if (qe_node_id_parse(&id, text) != QE_OK)
		return qe_type_refuse(problem, text, "has characters other than a-z and 2-7");
	memcpy(to, &id, sizeof id);
	return true;
}

static void format_node_id(
	struct qe_text *to, const void *value, [[maybe_unused]] const struct qe_schema_key *key)
{
	char text[QE_NODE_ID_TEXT_SIZE];

	qe_node_id_format(text, value);
	qe_text_add(to, text);
}

const struct qe_schema_type qe_type_node_id = {
	.name = "NodeId",
	.expected = "a NodeId",
	.size = sizeof(struct qe_node_id),
	.parse = parse_node_id,
	.format = format_node_id,
};

/* ---- addresses and prefixes that go into the overlay ---- */

/* What never crosses the overlay, so that nobody can own it. */
static const char *unusable(const struct qe_prefix *prefix)
{
	if (prefix->length == 0)
		return nullptr; /* everything: a default route */
	if (qe_addr_is_multicast(&prefix->addr))
		return "is multicast, which does not cross the overlay";
	if (qe_addr_is_link_local(&prefix->addr))
		return "is link-local, which does not cross the overlay";
	if (qe_addr_is_loopback(&prefix->addr))
		return "is the host's loopback";
	if (prefix->length == qe_addr_bits(&prefix->addr) && qe_addr_is_unspecified(&prefix->addr))
		return "is the unspecified address";
	return nullptr;
}

static bool parse_interface_addr(void *to, const char *text,
	[[maybe_unused]] const struct qe_schema_key *key, struct qe_text *problem)
{
	struct qe_interface_addr addr = {};

	if (qe_interface_addr_parse(&addr.addr, &addr.prefix, text) != QE_OK)
		return qe_type_refuse(problem, text, "is not an address");
	struct qe_prefix host = qe_prefix_host(&addr.addr);
	const char *why = unusable(&host);
	if (why)
		return qe_type_refuse(problem, text, "%s", why);
	memcpy(to, &addr, sizeof addr);
	return true;
}

static void format_interface_addr(
	struct qe_text *to, const void *value, [[maybe_unused]] const struct qe_schema_key *key)
{
	const struct qe_interface_addr *addr = value;
	char text[QE_ADDR_TEXT_SIZE];

	qe_addr_format(text, &addr->addr);
	qe_text_add(to, text);
	if (addr->prefix.length != qe_addr_bits(&addr->addr))
		qe_text_addf(to, "/%u", addr->prefix.length);
}

const struct qe_schema_type qe_type_interface_addr = {
	.name = "address",
	.expected = "an IPv4 or IPv6 address, with or without a prefix length,",
	.size = sizeof(struct qe_interface_addr),
	.parse = parse_interface_addr,
	.format = format_interface_addr,
};

static bool parse_prefix(void *to, const char *text,
	[[maybe_unused]] const struct qe_schema_key *key, struct qe_text *problem)
{
	struct qe_prefix prefix;
	enum qe_error error = qe_prefix_parse(&prefix, text);

	if (error == QE_ERR_HOST_BITS) {
		char meant[QE_PREFIX_TEXT_SIZE];
		qe_prefix_format(meant, &prefix);
		return qe_type_refuse(
			problem, text, "has host bits set (did you mean \"%s\"?)", meant);
	}
	if (error != QE_OK)
		return qe_type_refuse(problem, text, "is not a prefix");
	const char *why = unusable(&prefix);
	if (why)
		return qe_type_refuse(problem, text, "%s", why);
	memcpy(to, &prefix, sizeof prefix);
	return true;
}

static void format_prefix(
	struct qe_text *to, const void *value, [[maybe_unused]] const struct qe_schema_key *key)
{
	char text[QE_PREFIX_TEXT_SIZE];

	qe_prefix_format(text, value);
	qe_text_add(to, text);
}

const struct qe_schema_type qe_type_prefix = {
	.name = "prefix",
	.expected = "a prefix",
	.size = sizeof(struct qe_prefix),
	.parse = parse_prefix,
	.format = format_prefix,
};

static bool parse_host(
	void *to, const char *text, const struct qe_schema_key *key, struct qe_text *problem)
{
	struct qe_prefix prefix;
	enum qe_error error = qe_prefix_parse(&prefix, text);

	if (error == QE_ERR_HOST_BITS ||
		(error == QE_OK && prefix.length != qe_addr_bits(&prefix.addr)))
		return qe_type_refuse(
			problem, text, "is more than one address: prefixes go into subnets");
	if (error != QE_OK)
		return qe_type_refuse(problem, text, "is not an address");
	return parse_prefix(to, text, key, problem);
}

static void format_host(
	struct qe_text *to, const void *value, [[maybe_unused]] const struct qe_schema_key *key)
{
	const struct qe_prefix *host = value;
	char text[QE_ADDR_TEXT_SIZE];

	qe_addr_format(text, &host->addr);
	qe_text_add(to, text);
}

const struct qe_schema_type qe_type_host = {
	.name = "address",
	.expected = "an IPv4 or IPv6 address",
	.size = sizeof(struct qe_prefix),
	.parse = parse_host,
	.format = format_host,
};

/* ---- host and port ---- */

static bool is_host_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > QE_HOST_NAME_MAX || text[0] == '-' || text[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i]))
			return false;
	return true;
}

/* Whether host is an address that something can be sent to. A scope stays with it: "fe80::1%eth0",
 * whose interface may not be there yet. */
static bool is_host_addr(const char *host)
{
	char bare[QE_ADDR_TEXT_SIZE];
	size_t len = strcspn(host, "%");
	struct qe_addr addr;

	if (len >= sizeof bare || strlen(host) - len > QE_TUN_NAME_SIZE)
		return false;
	memcpy(bare, host, len);
	bare[len] = '\0';
	if (qe_addr_parse(&addr, bare) != QE_OK || qe_addr_is_multicast(&addr) ||
		qe_addr_is_unspecified(&addr))
		return false;
	return host[len] == '\0' || (qe_addr_is_link_local(&addr) && host[len + 1] != '\0');
}

bool qe_type_split_host(
	char *host, size_t size, uint16_t *ret_port, const char *text, uint16_t fallback)
{
	size_t len = strlen(text);
	bool bracketed = len > 2 && text[0] == '[' && text[len - 1] == ']';

	if (!bracketed && strchr(text, ':'))
		return qe_endpoint_split(host, size, ret_port, text) == QE_OK;
	if (bracketed) {
		text++;
		len -= 2;
	}
	if (len >= size)
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	*ret_port = fallback;
	return true;
}

/* Whether it is an address that something can be sent to, or may be the name of a host. One of
 * digits and dots is a mistyped address: resolvers would guess. */
static bool is_host(const char *host)
{
	bool dotted = host[strspn(host, "0123456789.")] == '\0';

	return is_host_addr(host) || (!dotted && is_host_name(host));
}

static bool parse_host_port(void *to, const char *text,
	[[maybe_unused]] const struct qe_schema_key *key, struct qe_text *problem)
{
	char host[QE_HOST_NAME_MAX + 1];
	struct qe_host_port endpoint = {};

	if (!qe_type_split_host(host, sizeof host, &endpoint.port, text, QE_PORT_DEFAULT))
		return qe_type_refuse(problem, text, "is not a host and a port from 1 to 65535");
	if (!is_host(host))
		return qe_type_refuse(problem, text, "has neither an address nor a name of a host");
	if (!qe_type_take_string(&endpoint.host, host, problem))
		return false;
	memcpy(to, &endpoint, sizeof endpoint);
	return true;
}

static void format_host_port(
	struct qe_text *to, const void *value, [[maybe_unused]] const struct qe_schema_key *key)
{
	const struct qe_host_port *endpoint = value;
	bool bracketed = strchr(endpoint->host, ':');

	qe_text_addf(to, "%s%s%s:%u", bracketed ? "[" : "", endpoint->host, bracketed ? "]" : "",
		endpoint->port);
}

static void done_host_port(void *value)
{
	struct qe_host_port *endpoint = value;

	free(endpoint->host);
}

const struct qe_schema_type qe_type_host_port = {
	.name = "host and port",
	.expected = "a host and a port",
	.size = sizeof(struct qe_host_port),
	.parse = parse_host_port,
	.format = format_host_port,
	.done = done_host_port,
};
