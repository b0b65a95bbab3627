/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What goes between the daemon and its helper, each message a packet of a socket of their own. Both
 * are the same program, so these are plain structs; but the helper believes nothing of them. */
#pragma once

#include "os/helper.h"
#include "os/host_dns.h"

enum qe_helper_kind : uint8_t {
	QE_HELPER_ADD_ADDR, /* prefixes: one, whose host bits count */
	QE_HELPER_REMOVE_ADDR,
	QE_HELPER_ADD_ROUTES,
	QE_HELPER_REMOVE_ROUTES,
	QE_HELPER_TAKE_DEFAULTS, /* flags: the families */
	QE_HELPER_FORWARD,       /* the same */
	QE_HELPER_GATEWAY,       /* flags: perhaps on, and then a gateway follows */
	QE_HELPER_MARKED_SOCKET, /* flags: one family, perhaps stream */
	QE_HELPER_NAMES_SOCKET,  /* prefixes: one host; flags: perhaps stream */
	QE_HELPER_RECOVER,       /* flags: perhaps keep */
	QE_HELPER_VPN,           /* flags: perhaps on, and then a plan follows */
	QE_HELPER_GOODBYE,       /* flags: enum qe_goodbye */
	QE_HELPER_SET_DNS,       /* n: how long the domain is, perhaps 0 */
	QE_HELPER_UNSET_DNS,
	QE_HELPER_HAS_DNS,
};

enum qe_helper_flag : uint8_t { QE_HELPER_IPV4 = 1, QE_HELPER_IPV6 = 2, QE_HELPER_STREAM = 4 };

/* Of QE_HELPER_RECOVER, QE_HELPER_VPN and QE_HELPER_GATEWAY. */
enum qe_helper_vpn_flag : uint8_t { QE_HELPER_KEEP = 1, QE_HELPER_ON = 1 };

#define QE_HELPER_DOMAIN_MAX 253

/* Without the prefixes or the characters beyond n; or with the plan or the gateway. */
struct qe_helper_request {
	uint32_t number; /* of the answer, too */
	uint8_t kind, flags;
	uint16_t n;
	union {
		struct qe_prefix prefixes[QE_HELPER_PREFIXES_MAX];
		struct qe_vpn_plan plan;
		struct qe_nft_gateway gateway;
		char domain[QE_HELPER_DOMAIN_MAX];
	};
};

/* Of what follows the head besides prefixes and characters. */
static inline size_t qe_helper_body_size(const struct qe_helper_request *request)
{
	if (!(request->flags & QE_HELPER_ON))
		return 0;
	if (request->kind == QE_HELPER_VPN)
		return sizeof(request->plan);
	return request->kind == QE_HELPER_GATEWAY ? sizeof(request->gateway) : 0;
}

/* Without the errors beyond n: one for each route; or n is 1, and it is what was asked of DNS. A
 * socket that was asked for comes with it. */
struct qe_helper_answer {
	uint32_t number;
	int32_t error;
	char why[600];
	char via[QE_NODE_ID_TEXT_SIZE]; /* for whom VPN mode has blocked since before; or empty */
	uint16_t n;
	union {
		int16_t errors[QE_HELPER_PREFIXES_MAX];
		struct qe_host_dns_answer dns;
	};
};

/* The process itself. It reads requests from the descriptor, and returns at its end, with the host
 * as it was, or blocked. folder: where the journal is; -1: none. */
void qe_helper_serve(int fd, const char *interface, int folder);
