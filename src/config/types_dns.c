/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The types of names: domains with their servers, one label, and URLs. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config/types.h"
#include "config/url.h"
#include "net/addr.h"

#define LABEL_MAX 63
#define HTTP "http://"
#define HTTP_PORT 80
#define DNS_PORT 53

/* Letters, digits and "-" within; "_", as some service domains have it, only if allowed. */
static bool is_label(const char *text, size_t len, bool underscore)
{
	if (len == 0 || len > LABEL_MAX || text[0] == '-' || text[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '-' &&
			!(underscore && text[i] == '_'))
			return false;
	return true;
}

/* Names are compared without regard to case. */
static void lower(char *text)
{
	for (; *text; text++)
		*text = (char)tolower((unsigned char)*text);
}

/* ---- label ---- */

static bool parse_label(void *to, const char *text,
	[[maybe_unused]] const struct qe_schema_key *key, struct qe_text *problem)
{
	char *copy;

	if (!is_label(text, strlen(text), false))
		return qe_type_refuse(problem, text, "is not a label");
	if (!qe_type_take_string(&copy, text, problem))
		return false;
	lower(copy);
	memcpy(to, &copy, sizeof copy);
	return true;
}

const struct qe_schema_type qe_type_label = {
	.name = "label",
	.expected = "one label of up to 63 letters, digits and \"-\"",
	.size = sizeof(char *),
	.text = true,
	.parse = parse_label,
	.format = qe_type_format_string,
	.done = qe_type_done_string,
};

/* ---- domain and server ---- */

/* Without the dot at its end. */
static bool is_domain(const char *text)
{
	while (true) {
		size_t len = strcspn(text, ".");
		if (!is_label(text, len, true))
			return false;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
}

/* "10.0.0.53", "fd00::53", "10.0.0.53:5353" or "[fd00::53]:5353". */
static bool parse_server(struct qe_endpoint *ret_server, const char *text)
{
	struct qe_endpoint server = {.port = DNS_PORT};

	if (qe_addr_parse(&server.addr, text) != QE_OK && qe_endpoint_parse(&server, text) != QE_OK)
		return false;
	if (qe_addr_is_multicast(&server.addr) || qe_addr_is_unspecified(&server.addr) ||
		qe_addr_is_link_local(&server.addr))
		return false;
	*ret_server = server;
	return true;
}

static bool parse_domain(void *to, const char *text,
	[[maybe_unused]] const struct qe_schema_key *key, struct qe_text *problem)
{
	const char *equals = strchr(text, '=');
	struct qe_config_domain domain = {};
	char suffix[QE_DOMAIN_MAX + 2] = "";

	if (!equals)
		return qe_type_refuse(problem, text, "is not of the form DOMAIN=SERVER");
	size_t len = (size_t)(equals - text);
	if (len < sizeof suffix)
		memcpy(suffix, text, len);
	lower(suffix);
	if (len > 1 && suffix[len - 1] == '.')
		suffix[len - 1] = '\0';
	if (!is_domain(suffix) || strlen(suffix) > QE_DOMAIN_MAX)
		return qe_type_refuse(problem, text, "begins with no domain");
	if (!parse_server(&domain.server, equals + 1))
		return qe_type_refuse(problem, text,
			"ends with no address that can be asked, with or without a port");
	if (!qe_type_take_string(&domain.suffix, suffix, problem))
		return false;
	memcpy(to, &domain, sizeof domain);
	return true;
}

static void format_domain(
	struct qe_text *to, const void *value, [[maybe_unused]] const struct qe_schema_key *key)
{
	const struct qe_config_domain *domain = value;
	char server[QE_ENDPOINT_TEXT_SIZE];

	if (domain->server.port == DNS_PORT)
		qe_addr_format(server, &domain->server.addr);
	else
		qe_endpoint_format(server, &domain->server);
	qe_text_addf(to, "%s=%s", domain->suffix, server);
}

static void done_domain(void *value)
{
	struct qe_config_domain *domain = value;

	free(domain->suffix);
}

const struct qe_schema_type qe_type_domain = {
	.name = "domain and server",
	.expected = "a table of domains and the addresses of their servers",
	.size = sizeof(struct qe_config_domain),
	.table = true,
	.parse = parse_domain,
	.format = format_domain,
	.done = done_domain,
};

/* ---- URL ---- */

/* HTTP only: a portal cannot answer in the name of an HTTPS server. An address only: it is asked
 * for beside the tunnel, and names are looked up through it. */
const char *qe_url_parse(struct qe_url *ret_url, const char *text)
{
	char authority[QE_URL_HOST_SIZE + 8] = "";
	struct qe_url url = {};

	if (strncmp(text, HTTP, strlen(HTTP)) != 0)
		return "does not begin with " HTTP;
	if (strlen(text) > QE_URL_MAX)
		return "is too long";
	for (const char *at = text; *at; at++)
		if (!isgraph((unsigned char)*at) || strchr("\"#<>\\^`{|}", *at))
			return "has a character that it cannot have";
	text += strlen(HTTP);
	size_t len = strcspn(text, "/?");
	if (text[len] == '?')
		return "has no path";
	if (len < sizeof authority)
		memcpy(authority, text, len);
	url.path = text + len;
	if (!qe_type_split_host(url.host, sizeof url.host, &url.server.port, authority, HTTP_PORT))
		return "names no host";
	if (qe_addr_parse(&url.server.addr, url.host) != QE_OK ||
		qe_addr_is_multicast(&url.server.addr) || qe_addr_is_unspecified(&url.server.addr))
		return "has no address where the host belongs";
	*ret_url = url;
	return nullptr;
}

static bool parse_url(void *to, const char *text, [[maybe_unused]] const struct qe_schema_key *key,
	struct qe_text *problem)
{
	struct qe_url url;
	const char *wrong = qe_url_parse(&url, text);

	if (wrong)
		return qe_type_refuse(problem, text, "%s", wrong);
	return qe_type_take_string(to, text, problem);
}

const struct qe_schema_type qe_type_url = {
	.name = "URL",
	.expected = "a URL of a page over HTTP, of a host by its address,",
	.size = sizeof(char *),
	.text = true,
	.parse = parse_url,
	.format = qe_type_format_string,
	.done = qe_type_done_string,
};
