/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Packet protection as src/quic calls it: one packet at a time, with a QUIC header as the
 * additional data, a nonce that counts, and the packets of a batch one after the other. */
#include <stdio.h>
#include <stdlib.h>

#include "crypto/aead.h"
#include "crypto/random.h"
#include "micro.h"

constexpr size_t packets = 64;
constexpr size_t size_max = 1400;
constexpr size_t header_size = 13;
constexpr size_t runs = 15;

struct subject {
	char name[64];
	struct qe_aead *aead;
	uint8_t (*plain)[size_max], (*sealed)[size_max + QE_AEAD_TAG_SIZE];
};

static const struct {
	const char *name;
	enum qe_crypto_choice choice;
} providers[] = {
	{"libipsec_mb", QE_CRYPTO_IPSEC_MB},
	{"openssl", QE_CRYPTO_OPENSSL},
};

static const struct {
	const char *name;
	enum qe_suite suite;
} suites[] = {
	{"aes256gcm", QE_SUITE_AES_256_GCM_SHA384},
	{"aes128gcm", QE_SUITE_AES_128_GCM_SHA256},
	{"chacha20poly1305", QE_SUITE_CHACHA20_POLY1305_SHA256},
};

typedef enum qe_error operation(
	struct subject *subject, size_t i, size_t size, const uint8_t *nonce, struct qe_bytes aad);

static enum qe_error seal(
	struct subject *subject, size_t i, size_t size, const uint8_t *nonce, struct qe_bytes aad)
{
	return qe_aead_seal(subject->aead, subject->sealed[i],
		(struct qe_bytes){subject->plain[i], size}, nonce, aad);
}

static enum qe_error open(
	struct subject *subject, size_t i, size_t size, const uint8_t *nonce, struct qe_bytes aad)
{
	return qe_aead_open(subject->aead, subject->plain[i],
		(struct qe_bytes){subject->sealed[i], size + QE_AEAD_TAG_SIZE}, nonce, aad);
}

/* ns for each packet */
static double time_batch(struct subject *subject, operation *run, size_t size)
{
	static const uint8_t header[header_size] = {0x40};
	uint8_t nonce[QE_AEAD_NONCE_SIZE] = {};
	bool good = true;
	qe_time start = micro_now();

	for (size_t i = 0; i < packets; i++) {
		nonce[QE_AEAD_NONCE_SIZE - 1] = (uint8_t)i;
		good &= run(subject, i, size, nonce, (struct qe_bytes){header, header_size}) ==
			QE_OK;
	}
	qe_time end = micro_now();

	micro_must(good, "a packet was not sealed or opened");
	return (double)(end - start) / packets;
}

static void tell(struct subject *subject, const char *what, operation *run, size_t size)
{
	char measure[32];
	double times[runs];

	for (size_t i = 0; i < runs; i++)
		times[i] = time_batch(subject, run, size);
	snprintf(measure, sizeof(measure), "%s_%zu", what, size);
	micro_tell(subject->name, measure, "ns", micro_median(times, runs));
}

/* What is opened is what was sealed last. */
static void round_of_aead(void *ctx)
{
	static const size_t sizes[] = {64, size_max};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		tell(ctx, "seal", seal, sizes[i]);
		tell(ctx, "open", open, sizes[i]);
	}
}

static void add(const char *provider, struct qe_crypto *crypto, size_t suite)
{
	struct subject *subject = calloc(1, sizeof(*subject));
	uint8_t key[QE_AEAD_KEY_MAX];

	micro_must(subject != nullptr, "out of memory");
	qe_random(key, sizeof(key));
	snprintf(subject->name, sizeof(subject->name), "%s-%s", provider, suites[suite].name);
	subject->plain = malloc(packets * sizeof(subject->plain[0]));
	subject->sealed = malloc(packets * sizeof(subject->sealed[0]));
	micro_must(subject->plain && subject->sealed, "out of memory");
	qe_random(subject->plain, packets * sizeof(subject->plain[0]));
	micro_must(qe_aead_new(&subject->aead, crypto, suites[suite].suite, key) == QE_OK,
		"the provider refuses a key");
	micro_add(round_of_aead, subject);
}

/* A provider that does not work on this processor is left out. */
void micro_add_aead(void)
{
	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++) {
		struct qe_crypto *crypto;

		if (qe_crypto_new(&crypto, providers[i].choice) != QE_OK)
			continue;
		for (size_t j = 0; j < sizeof(suites) / sizeof(suites[0]); j++)
			add(providers[i].name, crypto, j);
	}
}
