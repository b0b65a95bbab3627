/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Stateless resets by the peer (RFC 9000 section 10.3). A peer that has lost its state answers with
 * a packet whose connection ID is noise and whose last 16 bytes are the token that it gave for the
 * connection ID in use. So the owner is told which tokens belong to a link, for as long as they do.
 */
#include <string.h>

#include "quic/link_internal.h"

static struct qe_bytes token_at(const struct qe_link *link, size_t at)
{
	return (struct qe_bytes){link->tokens[at], QE_RESET_TOKEN_SIZE};
}

static void remove_token_at(struct qe_link *link, size_t at)
{
	struct qe_link_context *context = link->context;

	context->ops->remove_reset(context->ops_ctx, link, token_at(link, at));
	link->n_tokens--;
	memmove(link->tokens[at], link->tokens[link->n_tokens], QE_RESET_TOKEN_SIZE);
}

static void add_token(struct qe_link *link, const uint8_t *token)
{
	struct qe_link_context *context = link->context;

	if (link->n_tokens == LINK_TOKENS_MAX)
		return;
	memcpy(link->tokens[link->n_tokens], token, QE_RESET_TOKEN_SIZE);
	context->ops->add_reset(context->ops_ctx, link, token_at(link, link->n_tokens++));
}

static void remove_token(struct qe_link *link, const uint8_t *token)
{
	for (size_t i = 0; i < link->n_tokens; i++) {
		if (memcmp(link->tokens[i], token, QE_RESET_TOKEN_SIZE) == 0) {
			remove_token_at(link, i);
			return;
		}
	}
}

static int dcid_status(ngtcp2_conn *, ngtcp2_connection_id_status_type type, uint64_t,
	const ngtcp2_cid *, const uint8_t *token, void *user_data)
{
	if (token == nullptr)
		return 0;
	switch (type) {
	case NGTCP2_CONNECTION_ID_STATUS_TYPE_ACTIVATE:
		add_token(user_data, token);
		break;
	case NGTCP2_CONNECTION_ID_STATUS_TYPE_DEACTIVATE:
		remove_token(user_data, token);
		break;
	}
	return 0;
}

void link_reset_callbacks(ngtcp2_callbacks *callbacks)
{
	callbacks->dcid_status = dcid_status;
}

void link_reset_done(struct qe_link *link)
{
	while (link->n_tokens > 0)
		remove_token_at(link, link->n_tokens - 1);
}
