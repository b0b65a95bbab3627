/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* NodeIds: who a node is. The first 20 bytes of SHA-256 over the public key's SubjectPublicKeyInfo
 * (DER). */
#pragma once

#include "base/bytes.h"

enum qe_error qe_node_id_from_spki(struct qe_node_id *ret_id, struct qe_bytes spki);
bool qe_node_id_equal(const struct qe_node_id *a, const struct qe_node_id *b); /* constant time */
int qe_node_id_compare(
	const struct qe_node_id *a, const struct qe_node_id *b); /* for order, not for trust */
enum qe_error qe_node_id_parse(struct qe_node_id *ret_id, const char *text); /* all 32 characters */
void qe_node_id_format(char to[static QE_NODE_ID_TEXT_SIZE], const struct qe_node_id *id);
/* Whether the text form of id begins with text, which is 1 to 32 base32 characters. */
bool qe_node_id_has_prefix(const struct qe_node_id *id, const char *text);
/* qe_node_id_overlay_addr is in include/quicether.h: fd51:e700::/24 is QuicEther's ULA prefix ("Q",
 * 0xe7); the 104 bits behind it are the NodeId's first 104. */
