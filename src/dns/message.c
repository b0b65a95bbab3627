/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "dns/message.h"

#include <stdlib.h>
#include <string.h>

#include <ldns/ldns.h>

constexpr size_t HEADER_SIZE = 12;
constexpr uint32_t TTL_MAX = 3600;
constexpr uint32_t TTL_NEGATIVE_MAX = 300;
constexpr uint32_t TTL_ZONE = 60; /* of "no such node" */

struct header {
	uint16_t id;
	uint8_t flags, more_flags;
	uint16_t questions, answers, authorities, additionals;
};

static struct header read_header(struct qe_bytes message)
{
	struct qe_reader reader = qe_reader_init(message);
	struct header header;

	header.id = qe_read_u16(&reader);
	header.flags = qe_read_u8(&reader);
	header.more_flags = qe_read_u8(&reader);
	header.questions = qe_read_u16(&reader);
	header.answers = qe_read_u16(&reader);
	header.authorities = qe_read_u16(&reader);
	header.additionals = qe_read_u16(&reader);
	return header;
}

static bool is_answer(const struct header *header)
{
	return header->flags & 0x80;
}

static unsigned opcode(const struct header *header)
{
	return header->flags >> 3 & 15;
}

bool qe_dns_question_equal(const struct qe_dns_question *a, const struct qe_dns_question *b)
{
	return a->type == b->type && a->checking_disabled == b->checking_disabled &&
	       a->dnssec_ok == b->dnssec_ok && qe_dns_name_equal(&a->name, &b->name);
}

/* ---- what is read ---- */

static struct qe_bytes rdf_bytes(const ldns_rdf *rdf)
{
	return (struct qe_bytes){ldns_rdf_data(rdf), ldns_rdf_size(rdf)};
}

/* The name and type of the one question. */
static enum qe_error read_question(
	const ldns_pkt *packet, struct qe_dns_question *to, uint8_t *ret_spelling)
{
	const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_question(packet), 0);
	struct qe_bytes name = rdf_bytes(ldns_rr_owner(rr));

	QE_TRY(qe_dns_name_from_wire(&to->name, name));
	to->type = (uint16_t)ldns_rr_get_type(rr);
	if (ret_spelling)
		memcpy(ret_spelling, name.data, name.len);
	return ldns_rr_get_class(rr) == LDNS_RR_CLASS_IN ? QE_OK : QE_ERR_UNSUPPORTED;
}

/* Transfers of zones and what else is no question about one name. */
static bool is_askable(uint16_t type)
{
	return type != 0 && type != LDNS_RR_TYPE_OPT && (type < 128 || type > LDNS_RR_TYPE_MAILA);
}

/* FORMERR by what the header alone says: ldns only sees what looks like a question. Transaction
 * signatures (TSIG) are nothing for us; the one additional record may be EDNS. */
static enum qe_error check_header(struct qe_bytes message, enum qe_dns_rcode *ret_rcode)
{
	struct header header = read_header(message);

	if (message.len < HEADER_SIZE || is_answer(&header))
		return QE_ERR_PROTOCOL;
	*ret_rcode = opcode(&header) != 0 ? QE_DNS_NOTIMP : QE_DNS_FORMERR;
	if (opcode(&header) != 0 || message.len > QE_DNS_QUERY_MAX || header.questions != 1 ||
		header.answers != 0 || header.authorities != 0 || header.additionals > 1)
		return QE_ERR_SYNTAX;
	return QE_OK;
}

static uint16_t udp_size_of(const ldns_pkt *packet)
{
	uint16_t size = ldns_pkt_edns_udp_size(packet);

	if (!ldns_pkt_edns(packet) || size < 512)
		return 512;
	return size > QE_DNS_UDP_MAX ? QE_DNS_UDP_MAX : size;
}

static enum qe_error read_query(
	const ldns_pkt *packet, struct qe_dns_query *to, enum qe_dns_rcode *ret_rcode)
{
	enum qe_error error = read_question(packet, &to->question, to->spelling);

	*ret_rcode = error == QE_ERR_UNSUPPORTED ? QE_DNS_REFUSED : QE_DNS_FORMERR;
	if (error != QE_OK)
		return error;
	to->id = ldns_pkt_id(packet);
	to->question.checking_disabled = ldns_pkt_cd(packet);
	to->question.dnssec_ok = ldns_pkt_edns_do(packet);
	to->recursion_desired = ldns_pkt_rd(packet);
	to->authentic = ldns_pkt_ad(packet) || to->question.dnssec_ok;
	to->edns = ldns_pkt_edns(packet);
	to->udp_size = udp_size_of(packet);
	*ret_rcode = ldns_pkt_edns_version(packet) > 0 ? QE_DNS_BADVERS : QE_DNS_NOTIMP;
	return *ret_rcode == QE_DNS_BADVERS || !is_askable(to->question.type) ? QE_ERR_UNSUPPORTED
									      : QE_OK;
}

enum qe_error qe_dns_query_parse(
	struct qe_dns_query *ret_query, struct qe_bytes message, enum qe_dns_rcode *ret_rcode)
{
	struct qe_dns_query query = {};
	ldns_pkt *packet;
	enum qe_error error;

	QE_TRY(check_header(message, ret_rcode));
	if (ldns_wire2pkt(&packet, message.data, message.len) != LDNS_STATUS_OK)
		return QE_ERR_SYNTAX;
	error = read_query(packet, &query, ret_rcode);
	ldns_pkt_free(packet);
	if (error == QE_OK)
		*ret_query = query;
	return error;
}

/* ---- what is written ---- */

/* 0: too long, or no memory. */
static size_t write_packet(void *to, size_t limit, const ldns_pkt *packet)
{
	ldns_buffer *buffer = ldns_buffer_new(QE_DNS_UDP_MAX); /* grows */
	size_t len = 0;

	if (!buffer)
		return 0;
	if (ldns_pkt2buffer_wire(buffer, packet) == LDNS_STATUS_OK)
		len = ldns_buffer_position(buffer);
	if (len > limit)
		len = 0;
	memcpy(to, ldns_buffer_begin(buffer), len);
	ldns_buffer_free(buffer);
	return len;
}

static ldns_rdf *new_name(const uint8_t *wire, size_t len)
{
	return ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, len, wire);
}

/* A record with so many fields, whose owner is given away. NULL: no memory. */
static ldns_rr *new_record(ldns_rdf *owner, ldns_rr_type type, uint32_t ttl)
{
	ldns_rr *rr = owner ? ldns_rr_new() : nullptr;

	if (!rr) {
		ldns_rdf_deep_free(owner);
		return nullptr;
	}
	ldns_rr_set_owner(rr, owner);
	ldns_rr_set_type(rr, type);
	ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
	ldns_rr_set_ttl(rr, ttl);
	return rr;
}

static bool push(ldns_pkt *packet, ldns_pkt_section section, ldns_rr *rr)
{
	if (rr && ldns_pkt_push_rr(packet, section, rr))
		return true;
	ldns_rr_free(rr);
	return false;
}

static bool push_question(
	ldns_pkt *packet, const struct qe_dns_question *question, const uint8_t *spelling)
{
	ldns_rr *rr = new_record(
		new_name(spelling, question->name.len), (ldns_rr_type)question->type, 0);

	if (rr)
		ldns_rr_set_question(rr, true);
	return push(packet, LDNS_SECTION_QUESTION, rr);
}

static void set_edns(ldns_pkt *packet, bool dnssec_ok)
{
	ldns_pkt_set_edns_udp_size(packet, QE_DNS_UDP_MAX);
	ldns_pkt_set_edns_do(packet, dnssec_ok);
}

size_t qe_dns_write_question(
	void *to, size_t capacity, const struct qe_dns_question *question, uint16_t id, bool edns)
{
	ldns_pkt *packet = ldns_pkt_new();
	size_t len = 0;

	if (!packet)
		return 0;
	ldns_pkt_set_id(packet, id);
	ldns_pkt_set_rd(packet, true);
	ldns_pkt_set_ad(packet, true);
	ldns_pkt_set_cd(packet, question->checking_disabled);
	if (edns)
		set_edns(packet, question->dnssec_ok);
	if (push_question(packet, question, question->name.wire))
		len = write_packet(to, capacity, packet);
	ldns_pkt_free(packet);
	return len;
}

size_t qe_dns_write_refusal(
	void *to, size_t capacity, struct qe_bytes message, enum qe_dns_rcode rcode)
{
	struct header header = read_header(message);
	struct qe_writer writer = qe_writer_init(to, capacity);

	qe_write_u16(&writer, header.id);
	qe_write_u8(&writer, 0x80 | (header.flags & 0x79)); /* the opcode, recursion desired */
	qe_write_u8(&writer, 0x80 | (rcode & 15));
	for (int i = 0; i < 3; i++)
		qe_write_u16(&writer, 0);
	qe_write_u16(&writer, rcode > 15);
	if (rcode > 15) {
		qe_write_u8(&writer, 0);
		qe_write_u16(&writer, LDNS_RR_TYPE_OPT);
		qe_write_u16(&writer, QE_DNS_UDP_MAX);
		qe_write_u32(&writer, (uint32_t)rcode >> 4 << 24);
		qe_write_u16(&writer, 0);
	}
	return writer.error == QE_OK ? qe_writer_len(&writer) : 0;
}

/* An answer to be filled, with the question and what every answer says. NULL: no memory. */
static ldns_pkt *new_answer(const struct qe_dns_query *query, unsigned rcode)
{
	ldns_pkt *packet = ldns_pkt_new();

	if (!packet)
		return nullptr;
	ldns_pkt_set_id(packet, query->id);
	ldns_pkt_set_qr(packet, true);
	ldns_pkt_set_rd(packet, query->recursion_desired);
	ldns_pkt_set_ra(packet, true);
	ldns_pkt_set_cd(packet, query->question.checking_disabled);
	if (query->edns) {
		set_edns(packet, query->question.dnssec_ok);
		ldns_pkt_set_edns_extended_rcode(packet, (uint8_t)(rcode >> 4));
	} else if (rcode > 15) {
		rcode = QE_DNS_SERVFAIL;
	}
	ldns_pkt_set_rcode(packet, rcode & 15);
	if (push_question(packet, &query->question, query->spelling))
		return packet;
	ldns_pkt_free(packet);
	return nullptr;
}

/* Nothing but the question, and that the answer is too long: records that are only a part would
 * mislead. */
static size_t write_truncated(void *to, size_t limit, const struct qe_dns_query *query)
{
	ldns_pkt *packet = new_answer(query, QE_DNS_NOERROR);
	size_t len;

	if (!packet)
		return 0;
	ldns_pkt_set_tc(packet, true);
	len = write_packet(to, limit, packet);
	ldns_pkt_free(packet);
	return len;
}

/* Takes the packet. */
static size_t write_answer(
	void *to, size_t limit, const struct qe_dns_query *query, ldns_pkt *packet)
{
	size_t len = write_packet(to, limit, packet);

	ldns_pkt_free(packet);
	return len > 0 ? len : write_truncated(to, limit, query);
}

/* ---- what is answered here ---- */

static bool push_field(ldns_rr *rr, ldns_rdf *field)
{
	if (rr && field && ldns_rr_push_rdf(rr, field))
		return true;
	ldns_rdf_deep_free(field);
	return false;
}

static bool push_record(ldns_pkt *packet, const struct qe_dns_query *query, uint32_t ttl,
	ldns_rr_type type, ldns_rdf *field)
{
	ldns_rr *rr = new_record(new_name(query->spelling, query->question.name.len), type, ttl);

	if (push_field(rr, field))
		return push(packet, LDNS_SECTION_ANSWER, rr);
	ldns_rr_free(rr);
	return false;
}

static bool push_addrs(
	ldns_pkt *packet, const struct qe_dns_query *query, const struct qe_dns_own *own)
{
	bool ipv4 = query->question.type == QE_DNS_A, ok = true;

	for (size_t i = 0; i < own->n_addrs && ok; i++) {
		const struct qe_addr *addr = &own->addrs[i];

		if ((addr->family == QE_FAMILY_IPV4) == ipv4)
			ok = push_record(packet, query, own->ttl,
				ipv4 ? LDNS_RR_TYPE_A : LDNS_RR_TYPE_AAAA,
				ldns_rdf_new_frm_data(ipv4 ? LDNS_RDF_TYPE_A : LDNS_RDF_TYPE_AAAA,
					ipv4 ? 4 : 16, addr->bytes));
	}
	return ok;
}

/* The zone exists here only: its server and its master are itself. */
static bool push_soa(ldns_pkt *packet, const struct qe_dns_name *zone)
{
	static const uint32_t numbers[] = {1, 3600, 600, 86400, TTL_ZONE};
	ldns_rr *rr = new_record(new_name(zone->wire, zone->len), LDNS_RR_TYPE_SOA, TTL_ZONE);
	bool ok = push_field(rr, new_name(zone->wire, zone->len)) &&
		  push_field(rr, new_name(zone->wire, zone->len));

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && ok; i++)
		ok = push_field(rr, ldns_native2rdf_int32(LDNS_RDF_TYPE_INT32, numbers[i]));
	if (ok)
		return push(packet, LDNS_SECTION_AUTHORITY, rr);
	ldns_rr_free(rr);
	return false;
}

static bool push_own(
	ldns_pkt *packet, const struct qe_dns_query *query, const struct qe_dns_own *own)
{
	const struct qe_dns_name *target = own->target;
	uint16_t type = query->question.type;

	if ((type == QE_DNS_A || type == QE_DNS_AAAA) && !push_addrs(packet, query, own))
		return false;
	if (type == QE_DNS_PTR && target &&
		!push_record(packet, query, own->ttl, LDNS_RR_TYPE_PTR,
			new_name(target->wire, target->len)))
		return false;
	return !own->zone || ldns_pkt_ancount(packet) > 0 || push_soa(packet, own->zone);
}

size_t qe_dns_write_own(
	void *to, size_t limit, const struct qe_dns_query *query, const struct qe_dns_own *own)
{
	ldns_pkt *packet = new_answer(query, own->rcode);

	if (!packet)
		return 0;
	ldns_pkt_set_aa(packet, own->authoritative);
	if (!push_own(packet, query, own)) {
		ldns_pkt_free(packet);
		return 0;
	}
	return write_answer(to, limit, query, packet);
}

/* ---- what servers answer ---- */

static uint32_t least_ttl(const ldns_rr_list *list, uint32_t least)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		uint32_t ttl = ldns_rr_ttl(ldns_rr_list_rr(list, i));

		/* RFC 2181, section 8: with the highest bit set it counts as 0. */
		ttl = ttl >> 31 ? 0 : ttl;
		least = ttl < least ? ttl : least;
	}
	return least;
}

/* RFC 2308, section 5: as long as the SOA says; without one it is not to be kept. */
static uint32_t negative_ttl(const ldns_pkt *packet)
{
	const ldns_rr_list *list = ldns_pkt_authority(packet);

	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(list, i);
		uint32_t ttl = least_ttl(list, TTL_NEGATIVE_MAX), minimum;

		if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_SOA || ldns_rr_rd_count(rr) != 7)
			continue;
		minimum = ldns_rdf2native_int32(ldns_rr_rdf(rr, 6));
		return ttl < minimum ? ttl : minimum;
	}
	return 0;
}

static uint32_t ttl_of(const ldns_pkt *packet, enum qe_dns_rcode rcode)
{
	uint32_t ttl;

	if (rcode != QE_DNS_NOERROR && rcode != QE_DNS_NXDOMAIN)
		return 0;
	if (rcode == QE_DNS_NXDOMAIN || ldns_pkt_ancount(packet) == 0)
		return negative_ttl(packet);
	ttl = least_ttl(ldns_pkt_answer(packet), TTL_MAX);
	return least_ttl(ldns_pkt_authority(packet), ttl);
}

/* A server that has not understood the question need not repeat it. */
static bool may_lack_question(const ldns_pkt *packet)
{
	return ldns_pkt_qdcount(packet) == 0 && ldns_pkt_ancount(packet) == 0 &&
	       ldns_pkt_get_rcode(packet) != LDNS_RCODE_NOERROR &&
	       ldns_pkt_get_rcode(packet) != LDNS_RCODE_NXDOMAIN;
}

static bool is_answer_to(const ldns_pkt *packet, const struct qe_dns_question *question)
{
	struct qe_dns_question asked;

	if (ldns_pkt_tsig(packet))
		return false;
	if (may_lack_question(packet))
		return true;
	return ldns_pkt_qdcount(packet) == 1 && read_question(packet, &asked, nullptr) == QE_OK &&
	       asked.type == question->type && qe_dns_name_equal(&asked.name, &question->name);
}

enum qe_error qe_dns_answer_parse(struct qe_dns_answer *ret_answer, struct qe_bytes message,
	const struct qe_dns_question *question, uint16_t id)
{
	struct header header = read_header(message);
	ldns_pkt *packet;
	bool ok;

	if (message.len < HEADER_SIZE || message.len > QE_DNS_ANSWER_MAX || !is_answer(&header) ||
		opcode(&header) != 0 || header.id != id || header.questions > 1)
		return QE_ERR_PROTOCOL;
	if (ldns_wire2pkt(&packet, message.data, message.len) != LDNS_STATUS_OK)
		return QE_ERR_PROTOCOL;
	ok = is_answer_to(packet, question);
	if (ok) {
		unsigned rcode = ldns_pkt_get_rcode(packet) |
				 (unsigned)ldns_pkt_edns_extended_rcode(packet) << 4;

		ret_answer->rcode = (enum qe_dns_rcode)rcode;
		ret_answer->truncated = ldns_pkt_tc(packet);
		ret_answer->ttl = ttl_of(packet, ret_answer->rcode);
	}
	ldns_pkt_free(packet);
	return ok ? QE_OK : QE_ERR_PROTOCOL;
}

static void grow_older(ldns_rr_list *list, uint32_t age)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		ldns_rr *rr = ldns_rr_list_rr(list, i);
		uint32_t ttl = ldns_rr_ttl(rr);

		ttl = ttl > TTL_MAX ? TTL_MAX : ttl;
		ldns_rr_set_ttl(rr, ttl > age ? ttl - age : 0);
	}
}

/* The records go from one packet to the other. What belongs to one hop only, as EDNS, stays. */
static void move_records(ldns_pkt *to, ldns_pkt *from)
{
	ldns_rr_list_deep_free(ldns_pkt_answer(to));
	ldns_rr_list_deep_free(ldns_pkt_authority(to));
	ldns_rr_list_deep_free(ldns_pkt_additional(to));
	ldns_pkt_set_answer(to, ldns_pkt_answer(from));
	ldns_pkt_set_authority(to, ldns_pkt_authority(from));
	ldns_pkt_set_additional(to, ldns_pkt_additional(from));
	ldns_pkt_set_ancount(to, ldns_pkt_ancount(from));
	ldns_pkt_set_nscount(to, ldns_pkt_nscount(from));
	ldns_pkt_set_arcount(to, (uint16_t)ldns_rr_list_rr_count(ldns_pkt_additional(from)));
	ldns_pkt_set_answer(from, nullptr);
	ldns_pkt_set_authority(from, nullptr);
	ldns_pkt_set_additional(from, nullptr);
}

size_t qe_dns_write_relayed(void *to, size_t limit, const struct qe_dns_query *query,
	struct qe_bytes message, uint32_t age)
{
	ldns_pkt *from, *packet;

	if (ldns_wire2pkt(&from, message.data, message.len) != LDNS_STATUS_OK)
		return 0;
	packet = new_answer(query,
		ldns_pkt_get_rcode(from) | (unsigned)ldns_pkt_edns_extended_rcode(from) << 4);
	if (packet) {
		move_records(packet, from);
		grow_older(ldns_pkt_answer(packet), age);
		grow_older(ldns_pkt_authority(packet), age);
		grow_older(ldns_pkt_additional(packet), age);
		ldns_pkt_set_ad(packet, ldns_pkt_ad(from) && query->authentic);
	}
	ldns_pkt_free(from);
	return packet ? write_answer(to, limit, query, packet) : 0;
}

/* ---- aliases and addresses ---- */

/* The record of that name and type from the given place on, or NULL. */
static const ldns_rr *find_record(
	const ldns_rr_list *list, const struct qe_dns_name *name, uint16_t type, size_t *at)
{
	while (*at < ldns_rr_list_rr_count(list)) {
		const ldns_rr *rr = ldns_rr_list_rr(list, (*at)++);
		struct qe_dns_name owner;

		if (ldns_rr_get_type(rr) == (ldns_rr_type)type && ldns_rr_rd_count(rr) == 1 &&
			qe_dns_name_from_wire(&owner, rdf_bytes(ldns_rr_owner(rr))) == QE_OK &&
			qe_dns_name_equal(&owner, name))
			return rr;
	}
	return nullptr;
}

static bool follow_alias(const ldns_rr_list *list, struct qe_dns_name *name)
{
	size_t at = 0;
	const ldns_rr *rr = find_record(list, name, LDNS_RR_TYPE_CNAME, &at);

	return rr && qe_dns_name_from_wire(name, rdf_bytes(ldns_rr_rdf(rr, 0))) == QE_OK;
}

static bool read_addr(const ldns_rr *rr, struct qe_addr *ret_addr)
{
	struct qe_bytes bytes = rdf_bytes(ldns_rr_rdf(rr, 0));

	if (bytes.len == 4)
		*ret_addr = qe_addr_ipv4(bytes.data);
	else if (bytes.len == 16)
		*ret_addr = qe_addr_ipv6(bytes.data);
	else
		return false;
	return true;
}

size_t qe_dns_answer_addrs(struct qe_addr *to, size_t capacity, struct qe_bytes message,
	const struct qe_dns_question *question, struct qe_dns_name *ret_last)
{
	constexpr unsigned aliases_max = 8;
	const ldns_rr *rr;
	ldns_pkt *packet;
	size_t n = 0, at = 0;

	*ret_last = question->name;
	if (ldns_wire2pkt(&packet, message.data, message.len) != LDNS_STATUS_OK)
		return 0;
	for (unsigned i = 0; i < aliases_max && follow_alias(ldns_pkt_answer(packet), ret_last);)
		i++;
	while (n < capacity &&
		(rr = find_record(ldns_pkt_answer(packet), ret_last, question->type, &at))) {
		if (read_addr(rr, &to[n]))
			n++;
	}
	ldns_pkt_free(packet);
	return n;
}
