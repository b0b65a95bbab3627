/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The wire format of DNS: what clients ask, what servers answer, and what is made of either. The
 * only file that knows ldns. What comes in may hold anything.
 */
#pragma once

#include "dns/name.h"

/* A question of a client has one name; an answer over TCP could have 64 KiB, but none that is of
 * use has, and ldns takes its time over what is made to be slow. */
#define QE_DNS_QUERY_MAX 512
#define QE_DNS_ANSWER_MAX 16384
/* Of an answer by UDP: goes through every tunnel and every path of IPv6 in one piece. */
#define QE_DNS_UDP_MAX 1232
#define QE_DNS_PORT 53

enum qe_dns_type : uint16_t { QE_DNS_A = 1, QE_DNS_PTR = 12, QE_DNS_AAAA = 28 };

enum qe_dns_rcode : uint16_t {
	QE_DNS_NOERROR = 0,
	QE_DNS_FORMERR = 1,
	QE_DNS_SERVFAIL = 2,
	QE_DNS_NXDOMAIN = 3,
	QE_DNS_NOTIMP = 4,
	QE_DNS_REFUSED = 5,
	QE_DNS_BADVERS = 16
};

/* What an answer depends on. The class is always IN. */
struct qe_dns_question {
	struct qe_dns_name name;
	uint16_t type;
	bool checking_disabled, dnssec_ok;
};

bool qe_dns_question_equal(const struct qe_dns_question *a, const struct qe_dns_question *b);

/* A client's message. */
struct qe_dns_query {
	uint16_t id;
	struct qe_dns_question question;
	uint8_t spelling[QE_DNS_NAME_MAX]; /* of the name, which some clients look at */
	bool recursion_desired;
	bool authentic; /* wants to know whether the answer was verified */
	bool edns;
	uint16_t udp_size; /* the most that an answer by UDP may have */
};

/* On failure *ret_rcode is what to say to the client. QE_ERR_PROTOCOL: nothing, as it is not even a
 * question. */
enum qe_error qe_dns_query_parse(
	struct qe_dns_query *ret_query, struct qe_bytes message, enum qe_dns_rcode *ret_rcode);
/* An answer to a message that was not understood: a header, and EDNS if the code needs it. 0: to is
 * too small. */
size_t qe_dns_write_refusal(
	void *to, size_t capacity, struct qe_bytes message, enum qe_dns_rcode rcode);
/* What is sent to a server. edns: false for servers that do not know it. 0: to is too small. */
size_t qe_dns_write_question(
	void *to, size_t capacity, const struct qe_dns_question *question, uint16_t id, bool edns);

/* What is answered here, without asking any server. */
struct qe_dns_own {
	enum qe_dns_rcode rcode;
	bool authoritative;
	uint32_t ttl;                /* seconds */
	const struct qe_addr *addrs; /* those of the family that was asked for are the answer */
	size_t n_addrs;
	const struct qe_dns_name *target; /* of a PTR; or NULL */
	const struct qe_dns_name *zone;   /* whose SOA says how long "no" holds; or NULL */
};

/* limit: QE_DNS_UDP_MAX or less, or QE_DNS_ANSWER_MAX; what is longer is cut short, and says so. 0:
 * no memory. */
size_t qe_dns_write_own(
	void *to, size_t limit, const struct qe_dns_query *query, const struct qe_dns_own *own);

/* What a server has answered. */
struct qe_dns_answer {
	enum qe_dns_rcode rcode;
	bool truncated;
	uint32_t ttl; /* how many seconds it may be kept; 0: not at all */
};

/* QE_ERR_PROTOCOL: not an answer to this question, or malformed: as if nothing had come. */
enum qe_error qe_dns_answer_parse(struct qe_dns_answer *ret_answer, struct qe_bytes message,
	const struct qe_dns_question *question, uint16_t id);
/* The same for another client who asked the same, age seconds later; limit as above. The message
 * has been through qe_dns_answer_parse. 0: no memory. */
size_t qe_dns_write_relayed(void *to, size_t limit, const struct qe_dns_query *query,
	struct qe_bytes message, uint32_t age);

/* The addresses of an answer that has been through qe_dns_answer_parse, at the end of its chain of
 * aliases; *ret_last is that end. At most capacity. */
size_t qe_dns_answer_addrs(struct qe_addr *to, size_t capacity, struct qe_bytes message,
	const struct qe_dns_question *question, struct qe_dns_name *ret_last);
