/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Control messages: whatever decodes to a message that is known encodes and decodes to the same. */
#include <stdlib.h>

#include "peer/control.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qe_control message, again;
	uint8_t encoded[QE_CONTROL_SIZE];

	if (qe_control_decode(&message, (struct qe_bytes){data, size}) != QE_OK)
		return 0;
	require(message.type <= QE_CONTROL_ROUTES);
	if (message.type == QE_CONTROL_UNKNOWN || message.type == QE_CONTROL_ROUTES)
		return 0;
	size_t len = qe_control_encode(encoded, &message);

	require(len > 0 && len <= sizeof(encoded));
	require(qe_control_decode(&again, (struct qe_bytes){encoded, len}) == QE_OK);
	require(again.type == message.type);
	bool cookie = message.type == QE_CONTROL_PING || message.type == QE_CONTROL_PONG;

	require(!cookie || again.cookie == message.cookie);
	return 0;
}
