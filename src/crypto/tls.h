/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * TLS 1.3 for QUIC (RFC 9001) with raw public keys on both sides (RFC 7250), on OpenSSL's
 * third-party QUIC interface (SSL_set_quic_tls_cbs). This knows nothing of QUIC packets: it takes
 * and gives handshake bytes per level, secrets, and transport parameters. No session tickets, no
 * 0-RTT, no certificates, no SNI.
 *
 * Threads: a context may be shared by threads; a session belongs to one.
 */
#pragma once

#include "crypto/aead.h"
#include "crypto/key.h"

struct qe_tls_context;

/* The ALPN is "quicether/1". pq required: only X25519MLKEM768; preferred: that, then X25519. cipher
 * auto: AES-256-GCM, AES-128-GCM, ChaCha20-Poly1305 where the processor has AES instructions, else
 * ChaCha20-Poly1305 first; and a server follows a client that puts ChaCha20-Poly1305 first. A
 * pinned cipher is the only one. The key is copied by reference count. Signatures: Ed25519 and
 * ML-DSA-65, whatever the own key is. */
enum qe_error qe_tls_context_new(struct qe_tls_context **ret_context, const struct qe_key *key,
	enum qe_pq pq, enum qe_cipher cipher);
struct qe_tls_context *qe_tls_context_free(struct qe_tls_context *context);

enum qe_tls_level : uint8_t { QE_TLS_INITIAL, QE_TLS_HANDSHAKE, QE_TLS_APPLICATION };

/* Called from inside qe_tls_start and qe_tls_input. What returns false ends the handshake. */
struct qe_tls_ops {
	bool (*send)(void *owner, enum qe_tls_level level, struct qe_bytes bytes);
	bool (*secret)(void *owner, enum qe_tls_level level, bool transmit, enum qe_suite suite,
		struct qe_bytes secret);
	bool (*transport_params)(void *owner, struct qe_bytes params); /* the peer's */
	/* The peer's key, before its signature has been verified: whether to go on. The handshake
	 * fails with an alert if not. The peer is authenticated only when qe_tls_complete says so.
	 */
	bool (*peer)(void *owner, const struct qe_node_id *id);
	void (*alert)(void *owner, uint8_t description);
};

struct qe_tls;

/* ops is not copied and outlives the session. params: this side's transport parameters; for a
 * server they may be set later, with qe_tls_set_transport_params, until the first qe_tls_input has
 * returned. */
enum qe_error qe_tls_new(struct qe_tls **ret_tls, struct qe_tls_context *context, bool server,
	const struct qe_tls_ops *ops, void *owner);
struct qe_tls *qe_tls_free(struct qe_tls *tls); /* calls no ops */
enum qe_error qe_tls_set_transport_params(struct qe_tls *tls, struct qe_bytes params); /* copied */
enum qe_error qe_tls_start(struct qe_tls *tls); /* client: gives the ClientHello to send() */
/* CRYPTO bytes in order, at their level. Works after the handshake too (post-handshake messages are
 * an error). */
enum qe_error qe_tls_input(struct qe_tls *tls, enum qe_tls_level level, struct qe_bytes bytes);
bool qe_tls_complete(const struct qe_tls *tls);
/* Static text: "X25519MLKEM768"; NULL before it is known. */
const char *qe_tls_key_exchange(const struct qe_tls *tls);
