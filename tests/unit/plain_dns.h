/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* DNS messages byte by byte, made and read without any library: what the resolver is held against.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct plain_message {
	size_t len;
	uint8_t data[16384];
};

static inline void plain_u8(struct plain_message *m, unsigned value)
{
	m->data[m->len++] = (uint8_t)value;
}

static inline void plain_u16(struct plain_message *m, unsigned value)
{
	plain_u8(m, value >> 8);
	plain_u8(m, value & 255);
}

static inline void plain_u32(struct plain_message *m, uint32_t value)
{
	plain_u16(m, value >> 16);
	plain_u16(m, value & 65535);
}

static inline void plain_name(struct plain_message *m, const char *name)
{
	while (name[0] != '\0' && strcmp(name, ".") != 0) {
		size_t len = strcspn(name, ".");

		plain_u8(m, (unsigned)len);
		memcpy(m->data + m->len, name, len);
		m->len += len;
		name += len + (name[len] == '.');
	}
	plain_u8(m, 0);
}

static inline unsigned plain_get_u16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static inline uint32_t plain_get_u32(const uint8_t *at)
{
	return (uint32_t)plain_get_u16(at) << 16 | plain_get_u16(at + 2);
}

/* Adds one to a count of the header: 0 questions, 1 answers, 2 authorities, 3 additionals. */
static inline void plain_count(struct plain_message *m, unsigned section)
{
	uint8_t *at = m->data + 4 + 2 * section;
	unsigned n = plain_get_u16(at) + 1;

	at[0] = (uint8_t)(n >> 8);
	at[1] = (uint8_t)n;
}

/* flags: the 16 bits of the header, 0x0100 for a usual question, 0x8180 for a usual answer. */
static inline void plain_begin(
	struct plain_message *m, unsigned id, unsigned flags, const char *name, unsigned type)
{
	memset(m->data, 0, 12);
	m->len = 0;
	plain_u16(m, id);
	plain_u16(m, flags);
	m->len = 12;
	plain_count(m, 0);
	plain_name(m, name);
	plain_u16(m, type);
	plain_u16(m, 1);
}

static inline void plain_record(struct plain_message *m, unsigned section, const char *name,
	unsigned type, uint32_t ttl, const void *data, size_t len)
{
	plain_count(m, section);
	plain_name(m, name);
	plain_u16(m, type);
	plain_u16(m, 1);
	plain_u32(m, ttl);
	plain_u16(m, (unsigned)len);
	memcpy(m->data + m->len, data, len);
	m->len += len;
}

static inline void plain_alias(
	struct plain_message *m, const char *name, uint32_t ttl, const char *target)
{
	struct plain_message rdata = {};

	plain_name(&rdata, target);
	plain_record(m, 1, name, 5, ttl, rdata.data, rdata.len);
}

static inline void plain_soa(
	struct plain_message *m, const char *zone, uint32_t ttl, uint32_t minimum)
{
	struct plain_message rdata = {};

	plain_name(&rdata, zone);
	plain_name(&rdata, zone);
	for (int i = 0; i < 4; i++)
		plain_u32(&rdata, 1);
	plain_u32(&rdata, minimum);
	plain_record(m, 2, zone, 6, ttl, rdata.data, rdata.len);
}

static inline void plain_edns(struct plain_message *m, unsigned size, unsigned version, bool dnssec)
{
	plain_count(m, 3);
	plain_u8(m, 0);
	plain_u16(m, 41);
	plain_u16(m, size);
	plain_u8(m, 0);
	plain_u8(m, version);
	plain_u16(m, dnssec ? 0x8000 : 0);
	plain_u16(m, 0);
}

/* ---- what is read ---- */

struct plain_rr {
	unsigned section;
	char name[256];
	unsigned type, class;
	uint32_t ttl;
	const uint8_t *data;
	size_t len;
};

struct plain_answer {
	unsigned id, flags, rcode, n_rrs;
	bool has_edns;
	unsigned edns_size;
	bool dnssec;
	char question[256]; /* as spelled */
	unsigned type, n_questions;
	struct plain_rr rrs[200];
};

/* Returns where the name ends, 0 if it is none. */
static inline size_t plain_read_name(const uint8_t *data, size_t len, size_t at, char to[256])
{
	size_t end = 0, n = 0;

	for (unsigned hops = 0; hops < 64; hops++) {
		if (at >= len)
			return 0;
		if (data[at] >= 192) {
			if (at + 1 >= len)
				return 0;
			end = end ? end : at + 2;
			at = plain_get_u16(data + at) & 0x3fff;
		} else if (data[at] == 0) {
			to[n] = '\0';
			return end ? end : at + 1;
		} else {
			size_t label = data[at];

			if (label > 63 || at + 1 + label > len || n + label + 2 > 256)
				return 0;
			memcpy(to + n, data + at + 1, label);
			n += label;
			to[n++] = '.';
			at += 1 + label;
			hops = 0;
		}
	}
	return 0;
}

/* False: not what a message looks like. Nothing may follow its end. */
static inline bool plain_read(struct plain_answer *to, const uint8_t *data, size_t len)
{
	size_t at = 12;
	unsigned counts[4];

	*to = (struct plain_answer){};
	if (len < 12)
		return false;
	to->id = plain_get_u16(data);
	to->flags = plain_get_u16(data + 2);
	to->rcode = to->flags & 15;
	for (unsigned i = 0; i < 4; i++)
		counts[i] = plain_get_u16(data + 4 + 2 * i);
	to->n_questions = counts[0];
	for (unsigned i = 0; i < counts[0]; i++) {
		at = plain_read_name(data, len, at, to->question);
		if (at == 0 || at + 4 > len)
			return false;
		to->type = plain_get_u16(data + at);
		at += 4;
	}
	for (unsigned section = 1; section < 4; section++) {
		for (unsigned i = 0; i < counts[section]; i++) {
			struct plain_rr rr = {.section = section};

			at = plain_read_name(data, len, at, rr.name);
			if (at == 0 || at + 10 > len)
				return false;
			rr.type = plain_get_u16(data + at);
			rr.class = plain_get_u16(data + at + 2);
			rr.ttl = plain_get_u32(data + at + 4);
			rr.len = plain_get_u16(data + at + 8);
			rr.data = data + at + 10;
			at += 10 + rr.len;
			if (at > len)
				return false;
			if (rr.type == 41) {
				to->has_edns = true;
				to->edns_size = rr.class;
				to->dnssec = rr.ttl & 0x8000;
				to->rcode |= rr.ttl >> 24 << 4;
			} else if (to->n_rrs < 200) {
				to->rrs[to->n_rrs++] = rr;
			}
		}
	}
	return at == len;
}
