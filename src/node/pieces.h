/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Packets that must pass and do not fit the path. IPv4 without DF becomes fragments, which the
 * receiving host puts together. IPv6 of up to 1,280 bytes, which every link has to carry (RFC 8200,
 * section 5), travels in two datagrams, and the other end of the link puts them together: that is
 * the whole of struct halves. docs/protocol.md has the format.
 */
#pragma once

#include "net/packet.h"
#include "quic/link.h"

/* ---- sending ---- */

struct pieces {
	struct qe_packet packet;
	uint16_t mtu, id;
	unsigned index;
	uint8_t context; /* the datagrams' context byte */
};

/* Whether it may be cut. partial: its transport checksum is, and is made whole. */
bool pieces_begin(
	struct pieces *pieces, struct qe_bytes bytes, bool partial, uint16_t mtu, uint16_t id);
/* Writes the next piece, at most pieces->mtu bytes, and sets its context byte; 0 after the last.
 * The next one is written after pieces->index has gone up. */
size_t pieces_write(struct pieces *pieces, uint8_t to[static QE_MTU_MAX], struct qe_bytes bytes);

/* ---- receiving ---- */

constexpr size_t HALVES_SLOTS = 8; /* packets of which one half has come */
constexpr size_t HALVES_PACKET_MAX = 1280;
constexpr qe_time HALVES_WAIT = 1'000'000'000;

struct half {
	uint16_t id, len; /* len 0: the slot is free */
	bool tail;        /* which one it is */
	enum qe_ecn ecn;
	qe_time arrived;
	uint8_t bytes[HALVES_PACKET_MAX]; /* a tail stands at the end */
};

struct halves {
	struct half slots[HALVES_SLOTS];
};

enum halves_result : uint8_t {
	HALVES_WHOLE,
	HALVES_WAITING,
	HALVES_REPLACED, /* waiting, and another packet's half has been given up for it */
	HALVES_MALFORMED,
};

/* payload: of a datagram with the context byte of a half. For HALVES_WHOLE the packet, which lives
 * until the next call, and what routers made of the two datagrams together. */
enum halves_result halves_take(struct halves *halves, uint8_t context, struct qe_bytes payload,
	enum qe_ecn ecn, qe_time now, struct qe_bytes *ret_packet, enum qe_ecn *ret_ecn);
unsigned halves_waiting(const struct halves *halves); /* how many wait for the other one */
