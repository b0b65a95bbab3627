/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "os/cable.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Towards the worker few, as with the queue of a TUN interface, so that the stack notices what the
 * tunnel cannot carry; towards the stack what all its windows together may be sent. */
constexpr size_t packets_max[2] = {2 * QE_TUN_QUEUE_LENGTH, 16384};
constexpr size_t bytes_max = 16 * 1024 * 1024;

struct packet {
	struct packet *next;
	struct qe_offload offload;
	size_t len;
	uint8_t data[];
};

/* What is on its way to one end. */
struct direction {
	pthread_mutex_t lock;
	struct packet *first, **last;
	size_t n, bytes;
	bool drained; /* the reader has found it empty, and waits */
	bool refused; /* the writer has found it full, and waits */
	int bell;     /* the reader's */
};

struct qe_cable {
	struct direction to[2];
	unsigned ends;
};

static enum qe_error init_direction(struct direction *to)
{
	to->last = &to->first;
	to->drained = true;
	if (pthread_mutex_init(&to->lock, nullptr) != 0)
		return -ENOMEM;
	to->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (to->bell >= 0)
		return QE_OK;
	pthread_mutex_destroy(&to->lock);
	return qe_error_errno();
}

static void done_direction(struct direction *to)
{
	struct packet *next;

	for (struct packet *packet = to->first; packet; packet = next) {
		next = packet->next;
		free(packet);
	}
	close(to->bell);
	pthread_mutex_destroy(&to->lock);
}

enum qe_error qe_cable_new(struct qe_cable_end ret_ends[2])
{
	struct qe_cable *cable = calloc(1, sizeof(*cable));
	enum qe_error error;

	if (!cable)
		return -ENOMEM;
	error = init_direction(&cable->to[0]);
	if (error == QE_OK) {
		error = init_direction(&cable->to[1]);
		if (error != QE_OK)
			done_direction(&cable->to[0]);
	}
	if (error != QE_OK) {
		free(cable);
		return error;
	}
	cable->ends = 2;
	ret_ends[0] = (struct qe_cable_end){cable, 0};
	ret_ends[1] = (struct qe_cable_end){cable, 1};
	return QE_OK;
}

void qe_cable_free(struct qe_cable_end *end)
{
	struct qe_cable *cable = end->cable;

	end->cable = nullptr;
	if (--cable->ends > 0)
		return;
	done_direction(&cable->to[0]);
	done_direction(&cable->to[1]);
	free(cable);
}

int qe_cable_fd(const struct qe_cable_end *end)
{
	return end->cable->to[end->side].bell;
}

/* An eventfd that is full is readable, too. */
static void ring(int bell)
{
	const uint64_t one = 1;

	while (write(bell, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* ---- reading ---- */

static struct packet *take(struct direction *to, bool *ret_has_room)
{
	struct packet *packet;

	pthread_mutex_lock(&to->lock);
	packet = to->first;
	to->drained = !packet;
	if (packet) {
		to->first = packet->next;
		if (!to->first)
			to->last = &to->first;
		to->n--;
		to->bytes -= packet->len;
	}
	/* Once there is room for many, so that a writer who is quicker is not woken for each. */
	*ret_has_room = to->refused && (!to->first || (to->n <= QE_TUN_QUEUE_LENGTH &&
							      to->bytes <= bytes_max / 2));
	if (*ret_has_room)
		to->refused = false;
	pthread_mutex_unlock(&to->lock);
	return packet;
}

enum qe_error qe_cable_read(struct qe_cable_end *end, uint8_t *to, size_t capacity,
	struct qe_offload *ret_offload, size_t *ret_len)
{
	bool has_room;
	struct packet *packet = take(&end->cable->to[end->side], &has_room);

	if (has_room)
		ring(end->cable->to[1 - end->side].bell);
	if (!packet)
		return -EAGAIN;
	*ret_offload = packet->offload;
	*ret_len = packet->len < capacity ? packet->len : capacity;
	memcpy(to, packet->data, *ret_len);
	free(packet);
	return QE_OK;
}

/* ---- writing ---- */

static bool put(struct direction *to, size_t n_max, struct packet *packet, bool *ret_wake)
{
	bool fits;

	pthread_mutex_lock(&to->lock);
	fits = to->n < n_max && to->bytes + packet->len <= bytes_max;
	to->refused |= !fits;
	*ret_wake = fits && to->drained;
	if (fits) {
		*to->last = packet;
		to->last = &packet->next;
		to->n++;
		to->bytes += packet->len;
		to->drained = false;
	}
	pthread_mutex_unlock(&to->lock);
	return fits;
}

enum qe_error qe_cable_write(
	struct qe_cable_end *end, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	const unsigned other = 1 - end->side;
	struct packet *packet = malloc(sizeof(*packet) + len);
	bool wake;

	if (!packet)
		return -ENOMEM;
	packet->next = nullptr;
	packet->offload = *offload;
	packet->len = len;
	memcpy(packet->data, data, len);
	if (!put(&end->cable->to[other], packets_max[other], packet, &wake)) {
		free(packet);
		return -EAGAIN;
	}
	if (wake)
		ring(end->cable->to[other].bell);
	return QE_OK;
}
