/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Any bytes as what a client of the proxy sends, and as an ICMP error that comes out of the tunnel.
 * Input: a byte that says which, then the message. What was read of a message must come out the
 * same of the message without what follows it, and not of less.
 */
#include <assert.h>
#include <stdlib.h>

#include "proxy/complaint.h"
#include "proxy/http.h"
#include "proxy/socks.h"

static void greet(struct qe_bytes in)
{
	struct qe_socks_greeting greeting;
	size_t used, again;

	if (qe_socks_read_greeting(in, &used, &greeting) != QE_OK)
		return;
	assert(used <= in.len);
	in.len = used;
	assert(qe_socks_read_greeting(in, &again, &greeting) == QE_OK && again == used);
	in.len--;
	assert(qe_socks_read_greeting(in, &again, &greeting) == QE_ERR_TRUNCATED);
}

static void log_in(struct qe_bytes in)
{
	struct qe_socks_login login;
	size_t used;

	if (qe_socks_read_login(in, &used, &login) != QE_OK)
		return;
	assert(used == 3 + strlen(login.name) + strlen(login.password));
}

static void request_by_socks(struct qe_bytes in)
{
	struct qe_socks_request request;
	size_t used, again;

	if (qe_socks_read_request(in, &used, &request) != QE_OK)
		return;
	assert(used <= in.len);
	assert(request.problem != QE_SOCKS_OK || request.target.name[0] ||
		request.target.addr.family != QE_FAMILY_NONE);
	in.len = used - 1;
	assert(qe_socks_read_request(in, &again, &request) == QE_ERR_TRUNCATED);
}

static void request_by_http(struct qe_bytes in)
{
	static uint8_t rewritten[QE_HTTP_REWRITTEN_MAX];
	struct qe_http_request request;
	size_t len;

	if (qe_http_read_request(in, &request) != QE_OK)
		return;
	assert(request.head_len <= in.len && request.target.port > 0);
	assert(request.target.name[0] || request.target.addr.family != QE_FAMILY_NONE);
	if (request.connect)
		return;
	len = qe_http_rewrite(rewritten, (struct qe_bytes){in.data, request.head_len});
	assert(len > 0 && len < QE_HTTP_REWRITTEN_MAX);
	/* It has become one for a server, and no other head stands within. */
	assert(memmem(rewritten, len, "\r\n\r\n", 4) == rewritten + len - 4);
}

static void complain(struct qe_bytes in)
{
	struct qe_packet packet;
	struct qe_complaint complaint;

	if (qe_packet_parse(&packet, in) == QE_OK &&
		(packet.protocol == QE_IP_ICMP || packet.protocol == QE_IP_ICMPV6) &&
		packet.transport < in.len && qe_complaint_read(&complaint, &packet, in))
		assert(complaint.error != QE_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const readers[])(struct qe_bytes in) = {
		greet, log_in, request_by_socks, request_by_http, complain};

	if (len > 1)
		readers[data[0] % 5]((struct qe_bytes){data + 1, len - 1});
	return 0;
}
