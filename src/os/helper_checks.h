/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the helper lets itself be asked for. Pure; it believes nothing of what has come. */
#pragma once

#include "os/helper_messages.h"

/* Of so many bytes: neither more nor less than what it says is in it. */
bool qe_helper_is_whole(const struct qe_helper_request *request, size_t len);
bool qe_helper_has_only(
	const struct qe_helper_request *request, bool (*good)(const struct qe_prefix *));
bool qe_helper_is_interface_addr(const struct qe_prefix *prefix);
bool qe_helper_is_route(const struct qe_prefix *prefix);
bool qe_helper_is_of_families(const struct qe_helper_request *request);
bool qe_helper_is_gateway(const struct qe_nft_gateway *gateway);
bool qe_helper_is_domain(const char *domain);
