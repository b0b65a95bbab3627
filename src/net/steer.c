/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Which worker a datagram or a packet belongs to. Both are written twice: here, and as programs
 * that the kernel runs (os/steering.c), so that nearly everything comes to the right worker at
 * once.
 *
 * The hash of a packet is the same for both directions, so that two nodes with as many workers each
 * carry a flow on workers of the same number, over one link. It has no secret: who sends into the
 * tunnel may load one worker with many flows, as with one flow.
 */
#include "quicether.h"

#include "base/bytes.h"
#include "net/packet.h"

unsigned qe_datagram_worker(const uint8_t *datagram, size_t len, unsigned workers)
{
	/* The first byte of the destination connection ID, RFC 9000 section 17. */
	size_t at = len > 0 && datagram[0] & 0x80 ? 6 : 1;

	return at < len ? datagram[at] % workers : 0;
}

/* The addresses, n bytes in all, as one word. */
static uint32_t fold(const uint8_t *addresses, size_t n)
{
	uint32_t word = 0;

	for (size_t i = 0; i < n; i++)
		word ^= (uint32_t)addresses[i] << 8 * (3 - i % 4);
	return word;
}

/* MurmurHash3's finaliser. */
static uint32_t mix(uint32_t x)
{
	x = (x ^ x >> 16) * 0x85ebca6bu;
	x = (x ^ x >> 13) * 0xc2b2ae35u;
	return x ^ x >> 16;
}

static bool has_ports(uint8_t protocol)
{
	return protocol == QE_IP_TCP || protocol == QE_IP_UDP;
}

unsigned qe_packet_worker(const uint8_t *packet, size_t len, unsigned workers)
{
	bool v4 = len >= 20 && packet[0] >> 4 == 4, v6 = len >= 40 && packet[0] >> 4 == 6;
	size_t ports = v4 ? (packet[0] & 15u) * 4u : 40;

	if (!v4 && !v6)
		return 0;
	uint32_t addresses = v4 ? fold(packet + 12, 8) : fold(packet + 8, 32);
	uint8_t protocol = packet[v4 ? 9 : 6];
	uint32_t rest = (uint32_t)protocol << 16;
	bool fragment = v4 && ((packet[6] & 0x3f) | packet[7]);

	if (has_ports(protocol) && !fragment) {
		if (ports + 4 > len)
			return 0;
		rest += (uint32_t)(packet[ports] << 8 | packet[ports + 1]) +
			(uint32_t)(packet[ports + 2] << 8 | packet[ports + 3]);
	}
	/* Of what the program returns the kernel takes 16 bits. */
	return (mix(addresses ^ rest * 0x9e3779b1u) & 0xffff) % workers;
}
