/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "quic/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"

/* A UDP payload: the length field of the IP header less the headers. */
constexpr size_t SEND_MAX = 65535 - 40 - 8;

enum qe_error qe_batch_init(struct qe_batch *batch, qe_batch_send *send, void *ctx)
{
	uint8_t *data = aligned_alloc(64, QE_BATCH_SIZE);

	if (data == nullptr)
		return -ENOMEM;
	*batch = (struct qe_batch){.data = data, .send = send, .ctx = ctx};
	return QE_OK;
}

void qe_batch_done(struct qe_batch *batch)
{
	free(batch->data);
	*batch = (struct qe_batch){};
}

uint8_t *qe_batch_room(struct qe_batch *batch, size_t size)
{
	assert(size > 0 && size <= QE_BATCH_SIZE);
	if (size > SEND_MAX - batch->len ||
		(batch->len > 0 && batch->len >= QE_BATCH_SEGMENTS * batch->segment_size))
		qe_batch_flush(batch);
	return batch->data + batch->len;
}

static void start_run(
	struct qe_batch *batch, size_t len, const struct qe_path *path, uint8_t ecn, uint8_t lane)
{
	batch->len = batch->segment_size = len;
	batch->path = *path;
	batch->ecn = ecn;
	batch->lane = lane;
}

void qe_batch_add(
	struct qe_batch *batch, size_t len, const struct qe_path *path, uint8_t ecn, uint8_t lane)
{
	size_t before = batch->len;

	if (before == 0) {
		start_run(batch, len, path, ecn, lane);
		return;
	}
	if (len > batch->segment_size || ecn != batch->ecn || lane != batch->lane ||
		!qe_path_equal(path, &batch->path)) {
		qe_batch_flush(batch);
		memmove(batch->data, batch->data + before, len);
		start_run(batch, len, path, ecn, lane);
		return;
	}
	batch->len += len;
	if (len < batch->segment_size)
		qe_batch_flush(batch);
}

void qe_batch_flush(struct qe_batch *batch)
{
	if (batch->len == 0)
		return;
	batch->datagrams += (batch->len + batch->segment_size - 1) / batch->segment_size;
	batch->send(
		batch->ctx, &batch->path, batch->ecn, batch->data, batch->len, batch->segment_size);
	batch->len = 0;
}
